/* load.c: the table of file formats, and what to say of files in none of them */
#include "load/load.h"

#include <stdio.h>
#include <string.h>

#include "format/safetensors.h"

static const struct bt_loader loaders[] = {
    {"torch.export archive", bt_exported_probe, bt_exported_load},
    {"ONNX model", bt_onnx_probe, bt_onnx_load},
    {"TorchScript archive", bt_torchscript_probe, bt_torchscript_load},
};

/* Beginnings of files that people pass by mistake, or that are not supported yet. */
static const struct {
    const char *head;
    size_t size;
    enum bertc_status status;
    const char *text;
} heads[] = {
#define HEAD(text) text, sizeof text - 1
    {HEAD("version https://git-lfs"), BERTC_FORMAT,
     "this is a Git LFS pointer, not the file itself; fetch it with 'git lfs pull'"},
    {HEAD("<!DOCTYPE"), BERTC_FORMAT, "this is an HTML page, probably of a download that failed"},
    {HEAD("<!doctype"), BERTC_FORMAT, "this is an HTML page, probably of a download that failed"},
    {HEAD("<html"), BERTC_FORMAT, "this is an HTML page, probably of a download that failed"},
    {HEAD("\x1f\x8b"), BERTC_FORMAT, "this is gzip-compressed; decompress it first"},
    {HEAD("BZh"), BERTC_FORMAT, "this is bzip2-compressed; decompress it first"},
    {HEAD("\xfd"
          "7zXZ"),
     BERTC_FORMAT, "this is xz-compressed; decompress it first"},
    {HEAD("\x28\xb5\x2f\xfd"), BERTC_FORMAT, "this is zstd-compressed; decompress it first"},
    {HEAD("\x89HDF\r\n\x1a\n"), BERTC_UNSUPPORTED, "this is an HDF5 file, as Keras writes; it is not supported"},
    {HEAD("GGUF"), BERTC_UNSUPPORTED, "this is a GGUF file; it is not supported"},
    {HEAD("\x93NUMPY"), BERTC_UNSUPPORTED, "this is a NumPy array, not a model"},
    {HEAD("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19"), BERTC_UNSUPPORTED,
     "this holds weights saved by torch.save, without code to run; trace the model and save that"},
    {HEAD("\x80"), BERTC_UNSUPPORTED,
     "this is a plain pickle, which is not a model that can run; trace the model with "
     "torch.jit.trace and save that"},
#undef HEAD
};

static enum bertc_status refuse(struct bt_span bytes, struct bertc_error *err)
{
    if (bytes.size == 0) {
        return bt_error_set(err, BERTC_FORMAT, "the file is empty");
    }
    if (bt_safetensors_probe(bytes)) {
        return bt_error_set(err, BERTC_UNSUPPORTED,
                            "this is a safetensors file: weights without a model; load the folder that also has "
                            "its config.json");
    }
    for (size_t i = 0; i < sizeof heads / sizeof heads[0]; i++) {
        if (bytes.size >= heads[i].size && !memcmp(bytes.data, heads[i].head, heads[i].size)) {
            return bt_error_set(err, heads[i].status, "%s", heads[i].text);
        }
    }
    if (bytes.size > 262 && !memcmp(bytes.data + 257, "ustar", 5)) {
        return bt_error_set(err, BERTC_FORMAT, "this is a tar archive; unpack it first");
    }
    char hex[3 * 8 + 1] = "";
    for (size_t i = 0; i < 8 && i < bytes.size; i++) {
        snprintf(hex + 3 * i, 4, " %02x", bytes.data[i]);
    }
    return bt_error_set(err, BERTC_FORMAT, "not a model file that bertc knows: %zu bytes that begin with%s", bytes.size,
                        hex);
}

enum bertc_status bt_load(struct bt_file *file, const char *name, struct bt_program **out, struct bertc_error *err)
{
    struct bt_span bytes = bt_file_bytes(file);
    for (size_t i = 0; i < sizeof loaders / sizeof loaders[0]; i++) {
        if (loaders[i].probe(bytes)) {
            return loaders[i].load(file, name, out, err);
        }
    }
    return refuse(bytes, err);
}
