/* What the loops of programs in C are made of. */

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <tgmath.h>

/* tanh x in single precision, to 1.33 units in the last place; other than the library's, compilers can do many at once.
   x + x³ P(x²) for small x, 1 − 2 / (e²ˣ + 1) for others, with e²ˣ = 2ⁿ (1 + r + r² Q(r)); P and Q are fitted, minimax. */
static inline float tanh_single(float x)
{
    float a = fabsf(x), u = a * a;
    float p = -0.33333299f + u * (0.13331958f + u * (-0.05378668f + u * (0.02080538f + u * -0.00590586f)));
    float b = 2.0f * (a < 10.0f ? a : 10.0f);
    float n = b * 1.44269504f + 12582912.0f; /* 1.5 · 2²³: what is left of a number's fraction is its nearest integer */
    union { float number; uint32_t bits; } power = {n};
    power.bits = (power.bits + 127) << 23; /* 2ⁿ */
    n -= 12582912.0f;
    float r = (b - n * 0.693359375f) + n * 2.12194440e-4f; /* b − n log 2 */
    float q = 0.50000001f + r * (0.16666513f + r * (0.04166619f + r * (0.00836959f + r * 0.00139517f)));
    float e = (1.0f + (r + r * r * q)) * power.number;
    return copysignf(a >= 0.6f ? 1.0f - 2.0f / (e + 1.0f) : a + a * u * p, x);
}

#define hyperbolic_tangent(x) _Generic((x), float: tanh_single, default: (tanh))(x)

/* NumPy's: NaN if one of the two is. */
#define maximum(x, y) ((x) > (y) || (x) != (x) ? (x) : (y))
#define minimum(x, y) ((x) < (y) || (x) != (x) ? (x) : (y))
#define sign_of(x) ((x) > 0 ? 1 : (x) < 0 ? -1 : (x) != (x) ? (x) : 0)

/* A parameter: out [rows, columns] = x [rows, inner] w [inner, columns], of product.c. */
#define product_of(real)                                                                                             \
    void (*product)(ptrdiff_t rows, ptrdiff_t inner, ptrdiff_t columns, const real *x, ptrdiff_t x_row,              \
                    ptrdiff_t x_step, const real *w, real *out, ptrdiff_t out_row)

/* A matrix [inner, columns] in panels of 64 bytes' columns, as product.c wants it; row and step lead from one to the next. */
#define PACK(real)                                                                                                   \
    static inline void pack_##real(ptrdiff_t inner, ptrdiff_t columns, const real *from, ptrdiff_t row, ptrdiff_t step, \
                                   real *to)                                                                          \
    {                                                                                                                 \
        const ptrdiff_t width = 64 / (ptrdiff_t)sizeof(real);                                                         \
        for (ptrdiff_t first = 0; first < columns; first += width)                                                    \
            for (ptrdiff_t k = 0; k < inner; k++)                                                                     \
                for (ptrdiff_t j = first; j < first + width; j++) *to++ = j < columns ? from[k * row + j * step] : 0; \
    }
PACK(float)
PACK(double)
