/* arch.c: the table of architectures */
#include "load/arch.h"

#include <string.h>

static const struct bt_arch *const archs[] = {
    &bt_arch_bert,
};

enum bertc_status bt_arch_find(const char *model_type, const struct bt_arch **out, struct bertc_error *err)
{
    for (size_t i = 0; i < sizeof archs / sizeof archs[0]; i++) {
        if (strcmp(archs[i]->model_type, model_type) == 0) {
            *out = archs[i];
            return BERTC_OK;
        }
    }
    bt_error_set(err, BERTC_UNSUPPORTED, "config.json: model_type '%.100s' is not supported as a directory (",
                 model_type);
    for (size_t i = 0; i < sizeof archs / sizeof archs[0]; i++) {
        bt_error_append(err, "%s%s", i ? ", " : "known: ", archs[i]->model_type);
    }
    bt_error_append(err, "); trace it with torch.jit.trace and load that file");
    return BERTC_UNSUPPORTED;
}
