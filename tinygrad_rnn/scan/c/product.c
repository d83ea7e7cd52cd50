/* The product of loops in C, with a matrix that comes in panels. `real` is defined before: float or double. */

#include <stddef.h>
#include <string.h>

/* A matrix [inner, columns] comes in panels of PANEL columns, [columns / PANEL, inner, PANEL], the last one filled up
   with zeros. A tile of the result, a few rows by a few panels, is kept in registers while k runs over the inner axis.
   Every number of the result is added up in the order of k, whatever its tile is. */

#define PANEL (64 / (ptrdiff_t)sizeof(real))
typedef real panel __attribute__((vector_size(64), aligned(sizeof(real)), may_alias));

#if defined(__clang__)
#define FUSED
#define FUSE _Pragma("clang fp contract(fast)")
#else
#define FUSED __attribute__((optimize("fp-contract=fast")))
#define FUSE
#endif

#define TILE(ROWS, PANELS)                                                                                            \
    static FUSED void tile_##ROWS##_##PANELS(                                                                         \
        ptrdiff_t inner, const real *x, ptrdiff_t x_row, ptrdiff_t x_step, const real *w, real *out, ptrdiff_t out_row,   \
        ptrdiff_t last)                                                                                               \
    {                                                                                                                 \
        FUSE                                                                                                          \
        panel sums[ROWS][PANELS] = {0};                                                                               \
        for (ptrdiff_t k = 0; k < inner; k++) {                                                                       \
            panel ws[PANELS];                                                                                         \
            for (int j = 0; j < PANELS; j++) ws[j] = *(const panel *)(w + (j * inner + k) * PANEL);                   \
            for (int i = 0; i < ROWS; i++)                                                                            \
                for (int j = 0; j < PANELS; j++) sums[i][j] += x[i * x_row + k * x_step] * ws[j];                     \
        }                                                                                                             \
        for (int i = 0; i < ROWS; i++)                                                                                \
            for (int j = 0; j < PANELS; j++)                                                                          \
                if (j < PANELS - 1 || last == PANEL)                                                                  \
                    *(panel *)(out + i * out_row + j * PANEL) = sums[i][j];                                           \
                else                                                                                                  \
                    memcpy(out + i * out_row + j * PANEL, &sums[i][j], last * sizeof(real));                          \
    }

/* As many registers as there are: 32 of 64 bytes, or fewer and smaller ones. */
#if defined(__AVX512F__)
TILE(8, 2) TILE(8, 1) TILE(4, 4) TILE(4, 1) TILE(2, 4) TILE(2, 1) TILE(1, 8) TILE(1, 1)
#define BROAD_8 2, tile_8_2, tile_8_1
#define BROAD_4 4, tile_4_4, tile_4_1
#define BROAD_2 4, tile_2_4, tile_2_1
#define BROAD_1 8, tile_1_8, tile_1_1
#else
TILE(4, 1) TILE(2, 2) TILE(2, 1) TILE(1, 4) TILE(1, 1)
#define BROAD_4 1, tile_4_1, tile_4_1
#define BROAD_2 2, tile_2_2, tile_2_1
#define BROAD_1 4, tile_1_4, tile_1_1
#endif

typedef void tile(ptrdiff_t, const real *, ptrdiff_t, ptrdiff_t, const real *, real *, ptrdiff_t, ptrdiff_t);

/* As many rows as fill whole tiles of `tall`, by panels `broad` at a time and then one by one. Returns how many. */
static ptrdiff_t rows_of_tiles(ptrdiff_t rows, ptrdiff_t inner, ptrdiff_t columns, const real *x, ptrdiff_t x_row,
                               ptrdiff_t x_step, const real *w, real *out, ptrdiff_t out_row, ptrdiff_t tall,
                               ptrdiff_t broad, tile *many, tile *one)
{
    ptrdiff_t whole = rows / tall * tall, step;
    for (ptrdiff_t j = 0; j < columns && whole; j += step) {
        step = columns - j > (broad - 1) * PANEL ? broad * PANEL : PANEL;
        ptrdiff_t last = columns - j < step ? columns - j - (step - PANEL) : PANEL;
        for (ptrdiff_t i = 0; i < whole; i += tall)
            (step > PANEL ? many : one)(inner, x + i * x_row, x_row, x_step, w + j * inner, out + i * out_row + j, out_row,
                                        last);
    }
    return whole;
}

/* out [rows, columns] = x [rows, inner] w [inner, columns]; x_row and x_step lead from a row and a column to the next. */
void product(ptrdiff_t rows, ptrdiff_t inner, ptrdiff_t columns, const real *x, ptrdiff_t x_row, ptrdiff_t x_step,
             const real *w, real *out, ptrdiff_t out_row)
{
    ptrdiff_t done = 0;
#define TILES(...)                                                                                                    \
    done += rows_of_tiles(rows - done, inner, columns, x + done * x_row, x_row, x_step, w, out + done * out_row, out_row, \
                          __VA_ARGS__)
#ifdef BROAD_8
    TILES(8, BROAD_8);
#endif
    TILES(4, BROAD_4);
    TILES(2, BROAD_2);
    TILES(1, BROAD_1);
#undef TILES
}
