/* bytes.h: little-endian integers at any address */
#ifndef BT_FORMAT_BYTES_H
#define BT_FORMAT_BYTES_H

#include <stdint.h>

static inline uint16_t bt_le16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static inline uint32_t bt_le32(const uint8_t *p)
{
    return bt_le16(p) | (uint32_t)bt_le16(p + 2) << 16;
}

static inline uint64_t bt_le64(const uint8_t *p)
{
    return bt_le32(p) | (uint64_t)bt_le32(p + 4) << 32;
}

#endif
