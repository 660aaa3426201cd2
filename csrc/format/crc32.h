/* crc32.h: the CRC-32 of zip archives (ITU-T V.42), at the speed of memory where the CPU can */
#ifndef BT_FORMAT_CRC32_H
#define BT_FORMAT_CRC32_H

#include "base/file.h"

/* On as many threads as bt_parallel_begin was told. */
uint32_t bt_crc32(struct bt_span bytes);

#endif
