/* What the loops of programs in C are made of. Reading the C library's headers would take ten milliseconds: what is
   needed of them is declared here. */

typedef __PTRDIFF_TYPE__ ptrdiff_t;
typedef __UINT32_TYPE__ bits_float;
typedef __UINT64_TYPE__ bits_double;

#define NAN __builtin_nanf("")
#define INFINITY __builtin_inff()

float fabsf(float), floorf(float), ceilf(float), sqrtf(float), exp2f(float), log2f(float), log10f(float),
    sinf(float), cosf(float), tanf(float), asinf(float), acosf(float), atanf(float), sinhf(float), coshf(float),
    asinhf(float), acoshf(float), atanhf(float), erff(float), hypotf(float, float), atan2f(float, float),
    powf(float, float), copysignf(float, float);
double fabs(double), floor(double), ceil(double), sqrt(double), exp2(double), log2(double), log10(double),
    sin(double), cos(double), tan(double), asin(double), acos(double), atan(double), sinh(double), cosh(double),
    asinh(double), acosh(double), atanh(double), erf(double), hypot(double, double), atan2(double, double),
    pow(double, double), copysign(double, double);

/* NumPy's: NaN if one of the two is. */
#define maximum(x, y) ((x) > (y) || (x) != (x) ? (x) : (y))
#define minimum(x, y) ((x) < (y) || (x) != (x) ? (x) : (y))
#define sign_of(x) ((x) > 0 ? 1 : (x) < 0 ? -1 : (x) != (x) ? (x) : 0)

/* A parameter: out [rows, columns] = x [rows, inner] w [inner, columns], of product.c. */
#define product_of(real)                                                                                             \
    void (*product)(ptrdiff_t rows, ptrdiff_t inner, ptrdiff_t columns, const real *x, ptrdiff_t x_row,              \
                    ptrdiff_t x_step, const real *w, real *out, ptrdiff_t out_row)

/* A parameter: cblas_sgemm or cblas_dgemm, which is out [rows, columns] = x [rows, inner] w [inner, columns] for α = 1,
   β = 0; x_row, w_row and out_row lead from a row to the next. */
#define gemm_of(real)                                                                                                \
    void (*gemm)(int order, int x_turned, int w_turned, ptrdiff_t rows, ptrdiff_t columns, ptrdiff_t inner, real alpha,    \
                 const real *x, ptrdiff_t x_row, const real *w, ptrdiff_t w_row, real beta, real *out, ptrdiff_t out_row)
enum { CblasRowMajor = 101, CblasNoTrans = 111 };

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

/* Functions of which compilers can do many at once, as they can't of the library's: arithmetic, bits and choices. What
   is outside a formula's range is chosen last, of a result that may be anything: GCC takes a choice between constants
   that comes first for a path of its own. All polynomials are fitted, minimax.

   The largest errors, in units in the last place, with and without fused products, of every 521st float and 20 million
   doubles of all magnitudes, against long double:
   tanh 1.33 (double: 1.48), eˣ 0.88, eˣ − 1 1.34, log x 0.83, log (1 + x) 0.84 (double: 0.85), σ 2.04 (double: 1.9). */

#define inlined static inline __attribute__((always_inline))

/* x y + z, rounded once where the processor can do it. */
#if defined(__FMA__) || defined(__ARM_FEATURE_FMA)
#define fused_float __builtin_fmaf
#define fused_double __builtin_fma
#else
#define fused_float(x, y, z) ((x) * (y) + (z))
#define fused_double(x, y, z) ((x) * (y) + (z))
#endif

inlined float float_of(bits_float x) { return ((union { bits_float bits; float number; }){x}).number; }
inlined double double_of(bits_double x) { return ((union { bits_double bits; double number; }){x}).number; }
inlined bits_float bits_of_float(float x) { return ((union { float number; bits_float bits; }){x}).bits; }
inlined bits_double bits_of_double(double x) { return ((union { double number; bits_double bits; }){x}).bits; }

/* Added to a number, it leaves the nearest whole one in its last bits: 1.5 · 2²³ and 1.5 · 2⁵². */
#define WHOLE_FLOAT 12582912.0f
#define WHOLE_DOUBLE 6755399441055744.0

/* |x| = n ln 2 / 2 + r, n whole, 0.2 ≤ r ≤ 0.55; for |x| up to that, where n ≤ 0, r = |x|. T = tanh r = r + r³ P(r²),
   and tanh |x| = 1 − 2 p (1 − T) / (1 + p + (1 − p) T) with p = 2⁻ⁿ, or T for n ≤ 0. */
inlined float tanh_float(float x)
{
    float a = fabsf(x), n = fused_float(a, 2.88539008f, -1.085f) + WHOLE_FLOAT;
    float p = float_of((127 - bits_of_float(n)) << 23);
    n -= WHOLE_FLOAT;
    float reduced = fused_float(n, -7.14303383e-7f, fused_float(n, -0.346572876f, a));
    float r = n > 0.0f ? reduced : a, u = r * r;
    float P = fused_float(u, -0.0062428494f, 0.021050714f);
    P = fused_float(u, fused_float(u, P, -0.0538475476f), 0.133325443f);
    float T = fused_float(r * u, fused_float(u, P, -0.333333164f), r);
    float rest = fused_float(-2.0f * p, T, 2.0f * p) / fused_float(1.0f - p, T, 1.0f + p);
    return copysignf(n > 0.0f ? 1.0f - (a > 10.0f ? 0.0f : rest) : T, x);
}

inlined double tanh_double(double x)
{
    double a = fabs(x), n = fused_double(a, 2.8853900817779268, -1.085) + WHOLE_DOUBLE;
    double p = double_of((1023 - bits_of_double(n)) << 52);
    n -= WHOLE_DOUBLE;
    double reduced = fused_double(n, -2.7489615093541856e-14, fused_double(n, -0.34657359027994517, a));
    double r = n > 0.0 ? reduced : a, u = r * r;
    double P = fused_double(u, -1.948509732622775e-05, 8.330129881449037e-05);
    P = fused_double(u, fused_double(u, P, -0.00023337126966017785), 0.0005884405491891131);
    P = fused_double(u, fused_double(u, P, -0.0014555419160034745), 0.003592091890383293);
    P = fused_double(u, fused_double(u, P, -0.008863232588023235), 0.021869488385065836);
    P = fused_double(u, fused_double(u, P, -0.05396825396373412), 0.13333333333326577);
    double T = fused_double(r * u, fused_double(u, P, -0.333333333333333), r);
    double rest = fused_double(-2.0 * p, T, 2.0 * p) / fused_double(1.0 - p, T, 1.0 + p);
    return copysign(n > 0.0 ? 1.0 - (a > 20.0 ? 0.0 : rest) : T, x);
}

/* x = n ln 2 + r, n whole and |r| ≤ ln 2 / 2; eˣ = 2ⁿ eʳ, eʳ = 1 + r + s, s = r² Q(r) and what r was rounded by. */
struct power_float { float n, r, s; bits_float bits; };
struct power_double { double n, r, s; bits_double bits; };

inlined struct power_float power_float(float x)
{
    float n = fused_float(x, 1.44269504f, WHOLE_FLOAT);
    bits_float bits = bits_of_float(n);
    n -= WHOLE_FLOAT;
    float most = fused_float(n, -0.693145752f, x);
    float r = fused_float(n, -1.42860677e-6f, most);
    float rounded = fused_float(n, -1.42860677e-6f, most - r);
    float Q = fused_float(r, 0.00138383429f, 0.0083691664f);
    Q = fused_float(r, fused_float(r, Q, 0.0416681021f), 0.166665167f);
    Q = fused_float(r, Q, 0.49999994f);
    return (struct power_float){n, r, fused_float(r * r, Q, rounded), bits};
}

inlined struct power_double power_double(double x)
{
    double n = fused_double(x, 1.4426950408889634, WHOLE_DOUBLE);
    bits_double bits = bits_of_double(n);
    n -= WHOLE_DOUBLE;
    double most = fused_double(n, -0.6931471805598903, x);
    double r = fused_double(n, -5.497923018708371e-14, most);
    double rounded = fused_double(n, -5.497923018708371e-14, most - r);
    double Q = fused_double(r, 2.4993345669007746e-8, 2.7628599929871595e-7);
    Q = fused_double(r, fused_double(r, Q, 2.7557603189387253e-6), 2.480149826886469e-5);
    Q = fused_double(r, fused_double(r, Q, 0.00019841269494492314), 0.0013888888937916967);
    Q = fused_double(r, fused_double(r, Q, 0.008333333333495606), 0.04166666666655597);
    Q = fused_double(r, fused_double(r, Q, 0.16666666666666421), 0.5000000000000007);
    return (struct power_double){n, r, fused_double(r * r, Q, rounded), bits};
}

/* 2ⁿ is two factors, for it may be too large, or the result too small, for one. */
inlined float exp_float(float x)
{
    struct power_float e = power_float(x);
    bits_float both = e.bits + 2 * 127, half = both >> 1;
    float result = (1.0f + (e.r + e.s)) * float_of(half << 23) * float_of((both - half) << 23);
    return x > 89.0f ? INFINITY : x < -104.0f ? 0.0f : result;
}

inlined double exp_double(double x)
{
    struct power_double e = power_double(x);
    bits_double both = e.bits + 2 * 1023, half = both >> 1;
    double result = (1.0 + (e.r + e.s)) * double_of(half << 52) * double_of((both - half) << 52);
    return x > 710.0 ? INFINITY : x < -746.0 ? 0.0 : result;
}

/* eˣ − 1 = 2 (h − ½ + h r + h s) with h = 2ⁿ⁻¹, or r + s for n = 0. */
inlined float expm1_float(float x)
{
    struct power_float e = power_float(x);
    float h = float_of((e.bits + 126) << 23);
    float half = fused_float(h, e.s, fused_float(h, e.r, h - 0.5f));
    return x > 89.0f ? INFINITY : copysignf(x < -20.0f ? 1.0f : e.n == 0.0f ? e.r + e.s : 2.0f * half, x);
}

inlined double expm1_double(double x)
{
    struct power_double e = power_double(x);
    double h = double_of((e.bits + 1022) << 52);
    double half = fused_double(h, e.s, fused_double(h, e.r, h - 0.5));
    return x > 710.0 ? INFINITY : copysign(x < -40.0 ? 1.0 : e.n == 0.0 ? e.r + e.s : 2.0 * half, x);
}

/* log u + rest, which is small: u = 2ᵏ (1 + f), √½ ≤ 1 + f < √2; with s = f / (2 + f) and h = f² / 2,
   log (1 + f) = f − h + s (h + s² R(s²)). `scale` is added to k. */
inlined float logarithm_float(float u, float rest, float scale)
{
    bits_float bits = bits_of_float(u) + (0x3f800000 - 0x3f3504f3); /* 1 and √½ */
    float k = float_of(bits >> 23 | 0x4b000000) - (0x1p23f + 127.0f) + scale;
    float f = float_of((bits & 0x7fffff) + 0x3f3504f3) - 1.0f, h = 0.5f * f * f;
    float s = f / (2.0f + f), z = s * s;
    float R = fused_float(z, fused_float(z, 0.298714608f, 0.399775684f), 0.666667759f);
    float low = fused_float(k, 1.42860677e-6f, rest);
    return fused_float(k, 0.693145752f, f - (h - fused_float(s, fused_float(z, R, h), low)));
}

inlined double logarithm_double(double u, double rest, double scale)
{
    bits_double bits = bits_of_double(u) + (0x3ff0000000000000 - 0x3fe6a09e667f3bcd);
    double k = double_of(bits >> 52 | 0x4330000000000000) - (0x1p52 + 1023.0) + scale;
    double f = double_of((bits & 0xfffffffffffff) + 0x3fe6a09e667f3bcd) - 1.0, h = 0.5 * f * f;
    double s = f / (2.0 + f), z = s * s;
    double R = fused_double(z, 0.14798247336501696, 0.1531383322984392);
    R = fused_double(z, fused_double(z, R, 0.1818357231685726), 0.2222219842962785);
    R = fused_double(z, fused_double(z, R, 0.28571428743681204), 0.3999999999940937);
    R = fused_double(z, R, 0.6666666666666735);
    double low = fused_double(k, 5.497923018708371e-14, rest);
    return fused_double(k, 0.6931471805598903, f - (h - fused_double(s, fused_double(z, R, h), low)));
}

inlined float log_float(float x)
{
    _Bool small = x < 0x1p-126f; /* subnormal */
    float result = logarithm_float(small ? x * 0x1p25f : x, 0.0f, small ? -25.0f : 0.0f);
    return x > 0.0f ? x < INFINITY ? result : x : x == 0.0f ? -INFINITY : NAN;
}

inlined double log_double(double x)
{
    _Bool small = x < 0x1p-1022; /* subnormal */
    double result = logarithm_double(small ? x * 0x1p54 : x, 0.0, small ? -54.0 : 0.0);
    return x > 0.0 ? x < INFINITY ? result : x : x == 0.0 ? -INFINITY : NAN;
}

/* log (1 + x) = log u + c / u, c being what u = 1 + x was rounded by. */
inlined float log1p_float(float x)
{
    float u = 1.0f + x, y = u - 1.0f, c = (1.0f - (u - y)) + (x - y);
    float result = copysignf(logarithm_float(u, c / u, 0.0f), x);
    return x > -1.0f ? x < INFINITY ? result : x : x == -1.0f ? -INFINITY : NAN;
}

inlined double log1p_double(double x)
{
    double u = 1.0 + x, y = u - 1.0, c = (1.0 - (u - y)) + (x - y);
    double result = copysign(logarithm_double(u, c / u, 0.0), x);
    return x > -1.0 ? x < INFINITY ? result : x : x == -1.0 ? -INFINITY : NAN;
}

/* log (1 + eˣ), without overflow. */
inlined float softplus_float(float x) { return maximum(x, 0.0f) + log1p_float(exp_float(-fabsf(x))); }
inlined double softplus_double(double x) { return maximum(x, 0.0) + log1p_double(exp_double(-fabs(x))); }

/* 1 / (1 + e⁻ˣ), or e⁻ᵃ / (1 + e⁻ᵃ) for x = −a < 0: without overflow. */
inlined float sigmoid_float(float x)
{
    float e = exp_float(-fabsf(x));
    return (x < 0.0f ? e : 1.0f) / (1.0f + e);
}

inlined double sigmoid_double(double x)
{
    double e = exp_double(-fabs(x));
    return (x < 0.0 ? e : 1.0) / (1.0 + e);
}
