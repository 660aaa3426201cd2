/* pickle.c: read a pickle, check the tree that it makes, look values up */
#include "format/pickle.h"

#include <string.h>

#include "format/pickle_reader.h"

#define MAX_DEPTH 256                    /* users of the tree may recurse */
#define MAX_UNFOLDED ((uint64_t)1 << 24) /* users may walk shared values as often as they meet them */

static size_t child_count(const struct bt_pickle_node *node)
{
    return node->value.items ? node->value.size : 0;
}

/* All children are done. */
static enum bertc_status close_node(struct bt_pickle_reader *r, struct bt_pickle_node *node)
{
    node->open = false;
    node->unfolded = 1;
    for (size_t i = 0; i < child_count(node); i++) {
        const struct bt_pickle_node *child = (const struct bt_pickle_node *)node->value.items[i];
        node->unfolded += child->unfolded;
        node->height = child->height >= node->height ? child->height + 1 : node->height;
        if (node->unfolded > MAX_UNFOLDED) {
            return bt_pickle_fail(r, "shared values multiply to too many");
        }
    }
    return node->height < MAX_DEPTH ? BERTC_OK : bt_pickle_fail(r, "nested too deeply");
}

/* Depth first without recursion: refuses containers in themselves, and trees that would hurt whoever walks them. */
static enum bertc_status check_tree(struct bt_pickle_reader *r)
{
    struct {
        struct bt_pickle_node *node;
        size_t next;
    } path[MAX_DEPTH];
    size_t depth = 1;
    path[0].node = (struct bt_pickle_node *)r->result;
    path[0].next = 0;
    while (depth > 0) {
        struct bt_pickle_node *node = path[depth - 1].node;
        node->open = true;
        if (path[depth - 1].next == child_count(node)) {
            enum bertc_status status = close_node(r, node);
            if (status != BERTC_OK) {
                return status;
            }
            depth--;
            continue;
        }
        struct bt_pickle_node *child = (struct bt_pickle_node *)node->value.items[path[depth - 1].next++];
        if (child->open) {
            return bt_pickle_fail(r, "a container contains itself");
        }
        if (child->unfolded == 0) {
            if (depth == MAX_DEPTH) {
                return bt_pickle_fail(r, "nested too deeply");
            }
            path[depth].node = child;
            path[depth].next = 0;
            depth++;
        }
    }
    return BERTC_OK;
}

static enum bertc_status read_all(struct bt_pickle_reader *r)
{
    if (r->size < 2 || r->data[0] != 0x80) {
        return bt_pickle_fail(r, "not a pickle of protocol 2 or later");
    }
    enum bertc_status status = bt_pickle_new(r, BT_PICKLE_NONE, &r->none);
    for (int i = 0; i < 2 && status == BERTC_OK; i++) {
        status = bt_pickle_new(r, BT_PICKLE_BOOL, &r->booleans[i]);
        if (status == BERTC_OK) {
            r->booleans[i]->boolean = i == 1;
        }
    }
    while (status == BERTC_OK && !r->result) {
        status = bt_pickle_step(r);
    }
    return status == BERTC_OK ? check_tree(r) : status;
}

enum bertc_status bt_pickle_read(struct bt_span bytes, const struct bt_pickle_options *options, struct bt_arena *arena,
                                 struct bt_pickle **out, size_t *used, struct bertc_error *err)
{
    struct bt_pickle_reader r = {
        .data = bytes.data, .size = bytes.size, .options = options, .arena = arena, .err = err};
    enum bertc_status status = read_all(&r);
    bt_arena_free(&r.scratch);
    if (status == BERTC_OK) {
        *out = r.result;
        if (used) {
            *used = r.at;
        }
    } else if (status != BERTC_MEMORY) {
        bt_error_prefix(err, "%s: pickle byte %zu", options->name, r.at);
    }
    return status;
}

const struct bt_pickle *bt_pickle_get(const struct bt_pickle *dict, const char *key)
{
    if (dict && dict->kind == BT_PICKLE_DICT) {
        for (size_t i = dict->size; i >= 2; i -= 2) { /* the last one set counts */
            const struct bt_pickle *name = dict->items[i - 2];
            if (name->kind == BT_PICKLE_STRING && strcmp(name->text, key) == 0) {
                return dict->items[i - 1];
            }
        }
    }
    return NULL;
}

const struct bt_pickle *bt_pickle_attr(const struct bt_pickle *object, const char *name)
{
    bool built = object && object->kind == BT_PICKLE_OBJECT && object->size > 0;
    return built ? bt_pickle_get(object->items[0], name) : NULL;
}
