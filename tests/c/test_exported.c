/* test_exported.c: tree specifications and base64; loading torch.export archives when memory runs out */
#include <string.h>

#include "base/memory.h"
#include "bertc.h"
#include "check.h"
#include "format/base64.h"
#include "load/pytree.h"

static const struct bertc_options one_thread = {.threads = 1};

static void test_base64(void)
{
    static const struct {
        const char *text, *bytes;
    } good[] = {{"", ""},
                {"YQ==", "a"},
                {"YWI=", "ab"},
                {"YWJj", "abc"},
                {"+/+/YWJj", "\xfb\xff\xbf"
                             "abc"}};
    static const char *const bad[] = {"YQ=", "YQ", "Y===", "YQ==YQ==", "YW-j", "YW j", "Y\nJj"};
    struct bt_arena arena = {0};
    struct bt_span out;
    bool memory;
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        CHECK(bt_base64_decode(good[i].text, strlen(good[i].text), &arena, &out, &memory));
        CHECK(out.size == strlen(good[i].bytes) && !memcmp(out.data, good[i].bytes, out.size));
    }
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CHECK(!bt_base64_decode(bad[i], strlen(bad[i]), &arena, &out, &memory) && !memory);
    }
    bt_arena_free(&arena);
}

#define LEAF "{\"type\": null, \"context\": null, \"children_spec\": []}"
#define NODE(type, context, children) \
    "{\"type\": \"" type "\", \"context\": " context ", \"children_spec\": [" children "]}"

static void test_pytree(void)
{
    static const char *const leaf_types[] = {"Tensor", "Tensor", "int"};
    static const struct {
        const char *text, *type; /* NULL: refused */
    } cases[] = {
        {"[1, " LEAF "]", "Tensor"},
        {"[1, " NODE("builtins.tuple", "\"null\"", LEAF ", " LEAF) "]", "Tuple[Tensor, Tensor]"},
        {"[1, " NODE("builtins.list", "\"null\"", LEAF ", " LEAF) "]", "List[Tensor]"},
        {"[1, " NODE("builtins.list", "\"null\"", LEAF ", " LEAF ", " LEAF) "]", "Tuple[Tensor, Tensor, int]"},
        {"[1, " NODE("builtins.tuple", "\"null\"", "") "]", "Tuple[]"},
        {"[1, " NODE("builtins.dict", "\"[\\\"a\\\", 7]\"", LEAF ", " LEAF) "]", "Dict[str, Tensor]"},
        {"[1, " NODE("collections.defaultdict", "\"{\\\"dict_context\\\": [\\\"a\\\"]}\"", LEAF) "]",
         "Dict[str, Tensor]"},
        {"[1, " NODE("a.Dataclass", "\"[[\\\"a\\\"], [\\\"b\\\"]]\"", LEAF) "]", "Dict[str, Tensor]"},
        {"[1, " NODE("a.Other", "\"3\"", LEAF ", " LEAF) "]", "Tuple[Tensor, Tensor]"},
        {"[1, " NODE("builtins.dict", "\"[\\\"a\\\"]\"", LEAF ", " LEAF) "]", NULL},
        {"[1, " NODE("builtins.dict", "null", LEAF) "]", NULL},
        {"[1, " NODE("builtins.dict", "\"[\"", LEAF) "]", NULL},
        {"[1, {\"type\": 3, \"context\": null, \"children_spec\": []}]", NULL},
        {"[1, {\"type\": null}]", NULL},
        {"[2, " LEAF "]", NULL},
        {"[1]", NULL},
        {"{}", NULL},
        {"", NULL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct bt_arena arena = {0};
        struct bertc_error err = {0};
        struct bt_pytree tree;
        size_t leaves;
        enum bertc_status status = bt_pytree_parse(cases[i].text, &arena, &tree, &leaves, &err);
        CHECK((status == BERTC_OK) == (cases[i].type != NULL));
        CHECK(status == BERTC_OK || strlen(err.text) > 0);
        CHECK(status != BERTC_OK || !strcmp(bt_pytree_type(&tree, leaf_types, &arena), cases[i].type));
        bt_arena_free(&arena);
    }
}

static void test_out_of_memory(void)
{
    static const char *const paths[] = {"tests/data/pt2/torch2.1.2-dynamic.pt2",
                                        "tests/data/pt2/torch2.6.0-dynamic.pt2",
                                        "tests/data/pt2/torch2.13.0-dynamic.pt2"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct bertc_error err = {0};
        struct bertc_model *model = NULL;
        enum bertc_status status = BERTC_MEMORY;
        long n = 0;
        while (status == BERTC_MEMORY && n < 10000) {
            bt_alloc_fail_at(++n);
            status = bertc_model_load(paths[i], &one_thread, &model, &err);
        }
        bt_alloc_fail_at(0);
        CHECK(status == BERTC_OK && n > 10);
        bertc_model_free(model);
    }
}

int main(void)
{
    check_group("base64", test_base64);
    check_group("tree specifications", test_pytree);
    check_group("exported out of memory", test_out_of_memory);
    return check_result();
}
