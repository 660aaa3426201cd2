/* simplify.h: the parts of simplification, each a rule of its own */
#ifndef BT_PASS_SIMPLIFY_H
#define BT_PASS_SIMPLIFY_H

#include "pass/rewrite.h"

/* Arithmetic with known numbers. */
bt_rewrite_rule bt_simplify_algebra;
/* Views of views. */
bt_rewrite_rule bt_simplify_view;
/* Views of constants. */
bt_rewrite_rule bt_simplify_constant;
/* Indexing that only reshapes or slices, padding by nothing. */
bt_rewrite_rule bt_simplify_index;
/* Work on merged dimensions: done before they are merged. */
bt_rewrite_rule bt_simplify_merge;
/* Work on expanded operands: done before they are expanded. */
bt_rewrite_rule bt_simplify_expand;

/* full(dims and dtype of `like`, number) */
bt_value bt_simplify_full(struct bt_rewriter *r, bt_value like, bt_expr number);

#endif
