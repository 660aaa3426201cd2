/* poly.h: polynomials with integer coefficients over atoms, in one canonical order
 * Atoms are expression ids. Terms are in graded lexicographic order, greatest first, which makes division work. */
#ifndef BT_GRAPH_POLY_H
#define BT_GRAPH_POLY_H

#include <stdbool.h>
#include <stdint.h>

#define BT_POLY_TERMS 16
#define BT_POLY_ATOMS 8

struct bt_term {
    int64_t coef; /* never 0 */
    int32_t degree;
    int32_t atoms[BT_POLY_ATOMS]; /* ascending, with repetition; zero beyond degree */
};

struct bt_poly {
    int32_t count;
    struct bt_term terms[BT_POLY_TERMS];
};

/* All return false when a coefficient overflows or a limit is exceeded; the result is then unusable. */
bool bt_poly_add_term(struct bt_poly *poly, const struct bt_term *term);
bool bt_poly_add(struct bt_poly *poly, const struct bt_poly *other, int64_t scale); /* poly += scale * other */
bool bt_poly_mul(const struct bt_poly *a, const struct bt_poly *b, struct bt_poly *out);
/* a = quotient * divisor + rest, in which no term of rest is divisible by the divisor's leading term. */
bool bt_poly_divide(const struct bt_poly *a, const struct bt_poly *divisor, struct bt_poly *quotient,
                    struct bt_poly *rest);

#endif
