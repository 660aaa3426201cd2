/* activation.h: the functions that a product may apply to its result before it leaves the cache */
#ifndef BT_BASE_ACTIVATION_H
#define BT_BASE_ACTIVATION_H

enum bt_activation {
    BT_ACT_NONE,
    BT_ACT_GELU_ERF,
    BT_ACT_GELU_TANH,
    BT_ACT_TANH,
    BT_ACT_RELU,
    BT_ACT_SILU,
    BT_ACT_SIGMOID,
    BT_ACT_COUNT
};

const char *bt_activation_name(enum bt_activation activation);

#endif
