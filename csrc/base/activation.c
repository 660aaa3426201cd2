/* activation.c: the names of activations */
#include "base/activation.h"

const char *bt_activation_name(enum bt_activation activation)
{
    static const char *const names[BT_ACT_COUNT] = {"none", "gelu", "gelu_tanh", "tanh", "relu", "silu", "sigmoid"};
    return names[activation];
}
