/* aten.c: find an operator, choose the overload that takes the arguments, lower it, and write back in-place results */
#include "load/aten.h"

#include <assert.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "load/lower.h"

typedef void lowering(struct bt_call *c);

static const struct entry {
    const char *name; /* with overload */
    const char *schema;
    lowering *lower;
    int detail;
} entries[] = {
#define ATEN(name, schema, lowering, detail) {name, schema, bt_aten_##lowering, detail},
#include "load/aten.inc"
#undef ATEN
};

enum { ENTRIES = sizeof entries / sizeof *entries, BUCKETS = 1024, PARAMS = 4 * ENTRIES };

/* Built once a process: names hashed without their overload, overloads chained in the table's order, schemas parsed. */
static pthread_once_t once = PTHREAD_ONCE_INIT;
static int16_t buckets[BUCKETS]; /* entry + 1 */
static int16_t next[ENTRIES]; /* entry + 1 */
static struct bt_param params[PARAMS];
static struct {
    int16_t first;
    int16_t count;
} spans[ENTRIES];

/* The schema "..." is for what is refused, or ignored, whatever its arguments. */
static bool takes_anything(const struct entry *entry)
{
    return entry->schema[0] == '.';
}

/* "aten::add" of "aten::add.Tensor". */
static size_t base_size(const char *name)
{
    const char *colon = strstr(name, "::");
    return strcspn(colon ? colon : name, ".") + (size_t)(colon ? colon - name : 0);
}

static bool same_base(const char *entry, const char *name, size_t size)
{
    return base_size(entry) == size && memcmp(entry, name, size) == 0;
}

/* The bucket that holds the name's first overload, or the empty one where it would go. */
static size_t find_bucket(const char *name, size_t size)
{
    uint32_t hash = 2166136261u;
    for (size_t i = 0; i < size; i++) {
        hash = (hash ^ (uint8_t)name[i]) * 16777619u;
    }
    size_t at = (hash ^ hash >> 15) % BUCKETS;
    while (buckets[at] && !same_base(entries[buckets[at] - 1].name, name, size)) {
        at = (at + 1) % BUCKETS;
    }
    return at;
}

static void build_index(void)
{
    static_assert(ENTRIES < BUCKETS / 2, "the hash table is too full");
    int used = 0;
    for (int i = 0; i < ENTRIES; i++) {
        struct bt_param parsed[BT_MAX_PARAMS];
        int count = takes_anything(&entries[i]) ? 0 : bt_schema_parse(entries[i].schema, parsed);
        assert(used + count <= PARAMS);
        spans[i].first = (int16_t)used;
        spans[i].count = (int16_t)count;
        memcpy(params + used, parsed, (size_t)count * sizeof *parsed);
        used += count;
        int16_t *link = &buckets[find_bucket(entries[i].name, base_size(entries[i].name))];
        while (*link) {
            link = &next[*link - 1];
        }
        *link = (int16_t)(i + 1);
    }
}

/* The first overload + 1, or 0. */
static int find(const char *name, size_t size)
{
    return buckets[find_bucket(name, size)];
}

/* "(Tensor, int, dtype=int)" */
static void describe(const struct bt_lower *l, const struct bt_aten_args *args, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, "(");
    for (size_t i = 0; i < args->count && used < size; i++) {
        const char *key = args->names && args->names[i] ? args->names[i] : "";
        used += (size_t)snprintf(text + used, size - used, "%s%s%s%s", i ? ", " : "", key, *key ? "=" : "",
                                 bt_dyn_type_name(l, &args->items[i]));
    }
    if (used < size) {
        snprintf(text + used, size - used, ")");
    }
}

/* `self` now means the result. */
static enum bertc_status write_back(struct bt_call *c, struct bt_dyn self)
{
    if (self.kind == BT_DYN_LIST && c->out.kind == BT_DYN_LIST) {
        *self.seq = *c->out.seq;
        return BERTC_OK;
    }
    if (self.kind != BT_DYN_TENSOR || (c->out.kind == BT_DYN_TENSOR && c->out.tensor == self.tensor)) {
        return BERTC_OK;
    }
    if (c->out.kind == BT_DYN_TENSOR && c->out.tensor->base == self.tensor) {
        return bt_error_set(c->err, BERTC_UNSUPPORTED, "%s changes a tensor's shape in place, which is not implemented",
                            c->name);
    }
    if (!self.tensor->base && self.tensor->number >= 0 && bt_lower_is_number(c->out)) {
        self.tensor->number = bt_number_convert(c->x, bt_lower_expr(c, c->out), bt_var_dtype(c->l, self.tensor));
        self.tensor->dtype = bt_var_dtype(c->l, self.tensor);
        self.tensor->plain = false;
        self.tensor->value = BT_NO_VALUE;
        self.tensor->version++;
        return c->status;
    }
    struct bt_arg value = bt_lower_value(c, c->out);
    return c->status == BERTC_OK ? bt_var_write(c->l, self.tensor, value.value, c->err) : c->status;
}

/* The first overload of the chain that takes the arguments, strictly if any does, with its parameters in the call. */
static const struct entry *choose(struct bt_call *c, int chain, const struct bt_aten_args *args)
{
    for (int strict = 1; strict >= 0; strict--) {
        for (int i = chain; i; i = next[i - 1]) {
            bool fits;
            if (takes_anything(&entries[i - 1])) {
                return &entries[i - 1];
            }
            memset(c->args, 0, sizeof c->args);
            c->status = bt_schema_bind(c->l, params + spans[i - 1].first, spans[i - 1].count, args, strict, c->args,
                                       &fits, c->err);
            if (c->status != BERTC_OK) {
                return NULL;
            }
            if (fits) {
                return &entries[i - 1];
            }
        }
    }
    char text[400];
    describe(c->l, args, text, sizeof text);
    c->status = bt_error_set(c->err, BERTC_UNSUPPORTED, "operator %s does not take the arguments %s", c->name, text);
    return NULL;
}

enum bertc_status bt_aten_call(struct bt_lower *l, const char *name, const struct bt_aten_args *args,
                               struct bt_dyn *out, struct bertc_error *err)
{
    pthread_once(&once, build_index);
    size_t size = base_size(name);
    char base[96];
    if (size >= sizeof base) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "operator %.80s... is not implemented", name);
    }
    memcpy(base, name, size);
    base[size] = '\0';
    int chain = find(base, size);
    /* Any add_ that is not listed is add, and its result replaces self. */
    bool in_place = size > 2 && base[size - 1] == '_' && base[size - 2] != '_' && base[size - 2] != ':';
    if (!chain && in_place) {
        chain = find(base, size - 1);
    }
    if (!chain) {
        return bt_error_set(err, BERTC_UNSUPPORTED, "operator %s is not implemented", base);
    }
    struct bt_call call = {.l = l, .g = l->graph, .x = l->graph->exprs, .name = base, .out = bt_dyn_none(), .err = err};
    const struct entry *entry = choose(&call, chain, args);
    if (!entry) {
        return call.status;
    }
    call.detail = entry->detail;
    entry->lower(&call);
    if (call.out.kind == BT_DYN_SCALAR) {
        bt_lower_checked(&call, call.out.scalar);
    }
    if (call.status != BERTC_OK) {
        return call.status;
    }
    if (!in_place) {
        *out = call.out;
        return BERTC_OK;
    }
    *out = call.args[0];
    return write_back(&call, call.args[0]);
}

static enum bertc_status convert(struct bt_lower *l, const struct bt_dyn *x, enum bt_dtype dtype, const char *name,
                                 bt_expr *out, struct bertc_error *err)
{
    struct bt_call call = {.l = l, .g = l->graph, .x = l->graph->exprs, .name = name, .err = err};
    *out = bt_lower_checked(&call, bt_number_convert(call.x, bt_lower_expr(&call, *x), dtype));
    return call.status;
}

enum bertc_status bt_aten_to_int(struct bt_lower *l, const struct bt_dyn *x, bt_expr *out, struct bertc_error *err)
{
    return convert(l, x, BT_I64, "aten::Int", out, err);
}

enum bertc_status bt_aten_to_float(struct bt_lower *l, const struct bt_dyn *x, bt_expr *out, struct bertc_error *err)
{
    return convert(l, x, BT_F64, "aten::Float", out, err);
}

enum bertc_status bt_aten_to_bool(struct bt_lower *l, const struct bt_dyn *x, bt_expr *out, struct bertc_error *err)
{
    return convert(l, x, BT_BOOL, "aten::Bool", out, err);
}
