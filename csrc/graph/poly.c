/* poly.c: addition, multiplication and division of small polynomials */
#include "graph/poly.h"

#include <string.h>

#include "base/memory.h"

/* Negative when a comes before b. */
static int compare_monomials(const struct bt_term *a, const struct bt_term *b)
{
    if (a->degree != b->degree) {
        return b->degree - a->degree;
    }
    for (int i = 0; i < a->degree; i++) {
        if (a->atoms[i] != b->atoms[i]) {
            return a->atoms[i] < b->atoms[i] ? -1 : 1;
        }
    }
    return 0;
}

static void remove_term(struct bt_poly *poly, int at)
{
    poly->count--;
    memmove(&poly->terms[at], &poly->terms[at + 1], (size_t)(poly->count - at) * sizeof(poly->terms[0]));
}

bool bt_poly_add_term(struct bt_poly *poly, const struct bt_term *term)
{
    if (term->coef == 0) {
        return true;
    }
    int at = 0;
    while (at < poly->count && compare_monomials(&poly->terms[at], term) < 0) {
        at++;
    }
    if (at < poly->count && compare_monomials(&poly->terms[at], term) == 0) {
        if (!bt_add_i64(poly->terms[at].coef, term->coef, &poly->terms[at].coef)) {
            return false;
        }
        if (poly->terms[at].coef == 0) {
            remove_term(poly, at);
        }
        return true;
    }
    if (poly->count == BT_POLY_TERMS) {
        return false;
    }
    memmove(&poly->terms[at + 1], &poly->terms[at], (size_t)(poly->count - at) * sizeof(poly->terms[0]));
    poly->terms[at] = *term;
    poly->count++;
    return true;
}

bool bt_poly_add(struct bt_poly *poly, const struct bt_poly *other, int64_t scale)
{
    for (int i = 0; i < other->count; i++) {
        struct bt_term term = other->terms[i];
        if (!bt_mul_i64(term.coef, scale, &term.coef) || !bt_poly_add_term(poly, &term)) {
            return false;
        }
    }
    return true;
}

static bool multiply_terms(const struct bt_term *a, const struct bt_term *b, struct bt_term *out)
{
    memset(out, 0, sizeof(*out));
    if (a->degree + b->degree > BT_POLY_ATOMS || !bt_mul_i64(a->coef, b->coef, &out->coef)) {
        return false;
    }
    out->degree = a->degree + b->degree;
    for (int i = 0, j = 0, k = 0; k < out->degree; k++) {
        bool first = j == b->degree || (i < a->degree && a->atoms[i] <= b->atoms[j]);
        out->atoms[k] = first ? a->atoms[i++] : b->atoms[j++];
    }
    return true;
}

static bool divide_terms(const struct bt_term *a, const struct bt_term *b, struct bt_term *out)
{
    memset(out, 0, sizeof(*out));
    if (b->coef == -1 ? a->coef == INT64_MIN : a->coef % b->coef != 0) {
        return false;
    }
    out->coef = a->coef / b->coef;
    int matched = 0;
    for (int i = 0; i < a->degree; i++) {
        if (matched < b->degree && a->atoms[i] == b->atoms[matched]) {
            matched++;
        } else {
            out->atoms[out->degree++] = a->atoms[i];
        }
    }
    return matched == b->degree;
}

static bool add_product(struct bt_poly *poly, const struct bt_poly *a, const struct bt_term *factor)
{
    for (int i = 0; i < a->count; i++) {
        struct bt_term term;
        if (!multiply_terms(&a->terms[i], factor, &term) || !bt_poly_add_term(poly, &term)) {
            return false;
        }
    }
    return true;
}

bool bt_poly_mul(const struct bt_poly *a, const struct bt_poly *b, struct bt_poly *out)
{
    out->count = 0;
    for (int i = 0; i < b->count; i++) {
        if (!add_product(out, a, &b->terms[i])) {
            return false;
        }
    }
    return true;
}

bool bt_poly_divide(const struct bt_poly *a, const struct bt_poly *divisor, struct bt_poly *quotient,
                    struct bt_poly *rest)
{
    if (divisor->count == 0) {
        return false;
    }
    struct bt_poly left = *a;
    quotient->count = 0;
    rest->count = 0;
    while (left.count > 0) {
        struct bt_term factor;
        if (!divide_terms(&left.terms[0], &divisor->terms[0], &factor)) {
            if (!bt_poly_add_term(rest, &left.terms[0])) {
                return false;
            }
            remove_term(&left, 0);
            continue;
        }
        if (factor.coef == INT64_MIN || !bt_poly_add_term(quotient, &factor)) {
            return false;
        }
        factor.coef = -factor.coef;
        if (!add_product(&left, divisor, &factor)) {
            return false;
        }
    }
    return true;
}
