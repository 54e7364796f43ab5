/* student.c - medians, Student's t, ranks, and many tests at once. */
#include "diff.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { MANY = 1000000 }; /* degrees of freedom from which on t is normal */

double kb_middle_of(double *values, int n) {
    kb_sort(values, (size_t)n);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* ---- Student's t -----------------------------------------------------------------------
 */

/* The continued fraction of the incomplete beta function, by Lentz's method. */
static double beta_fraction(double a, double b, double x) {
    const double tiny = 1e-300;
    double c = 1, d = 1 - (a + b) * x / (a + 1);
    d = 1 / (fabs(d) < tiny ? tiny : d);
    double h = d;
    for (int m = 1; m < 500; m++) {
        double even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m));
        double odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1));
        for (int k = 0; k < 2; k++) {
            double term = k ? odd : even;
            d = 1 + term * d;
            c = 1 + term / c;
            d = 1 / (fabs(d) < tiny ? tiny : d);
            c = fabs(c) < tiny ? tiny : c;
            h *= d * c;
        }
        if (fabs(d * c - 1) < 1e-14)
            break;
    }
    return h;
}

/* I_x(a, b), regularized. */
static double beta_share(double a, double b, double x) {
    if (!(x > 0))
        return 0;
    if (x >= 1)
        return 1;
    double front = exp(lgamma(a + b) - lgamma(a) - lgamma(b) + a * log(x) + b * log1p(-x));
    if (x < (a + 1) / (a + b + 2))
        return front * beta_fraction(a, b, x) / a;
    return 1 - front * beta_fraction(b, a, 1 - x) / b;
}

double kb_student_tail(double t, double df) {
    if (isnan(t))
        return NAN;
    if (t < 0)
        return 1 - kb_student_tail(-t, df);
    if (!(df < MANY))
        return erfc(t / sqrt(2)) / 2;
    if (isinf(t))
        return 0;
    return beta_share(df / 2, 0.5, df / (df + t * t)) / 2;
}

double kb_student_quantile(double tail, double df) {
    double low = 0, high = 1;
    if (!(tail > 0))
        return INFINITY;
    if (tail >= 0.5)
        return tail == 0.5 ? 0 : -kb_student_quantile(1 - tail, df);
    while (kb_student_tail(high, df) > tail && high < 1e12)
        high *= 2;
    for (int i = 0; i < 60 && high - low > 1e-12 * high; i++) {
        double middle = (low + high) / 2;
        if (kb_student_tail(middle, df) > tail)
            low = middle;
        else
            high = middle;
    }
    return high;
}

/* ---- ranks -----------------------------------------------------------------------------
 */

double kb_rank_test(const double *a, int n_a, const double *b, int n_b) {
    double x[KB_BLOCK_MEDIANS], y[KB_BLOCK_MEDIANS], ranks = 0, ties = 0;
    if (n_a < 6 || n_b < 6 || n_a > KB_BLOCK_MEDIANS || n_b > KB_BLOCK_MEDIANS)
        return NAN;
    memcpy(x, a, (size_t)n_a * sizeof *x);
    memcpy(y, b, (size_t)n_b * sizeof *y);
    kb_sort(x, (size_t)n_a);
    kb_sort(y, (size_t)n_b);
    for (int i = 0, k = 0; i < n_a || k < n_b;) {
        double value = k == n_b || (i < n_a && x[i] <= y[k]) ? x[i] : y[k];
        int before = i + k, of_a = 0;
        for (; i < n_a && x[i] == value; i++)
            of_a++;
        for (; k < n_b && y[k] == value; k++)
            ;
        double tied = i + k - before;
        ranks += of_a * (before + (tied + 1) / 2);
        ties += tied * tied * tied - tied;
    }
    double n = n_a + n_b, product = (double)n_a * n_b;
    double u = ranks - (double)n_a * (n_a + 1) / 2;
    double variance = product / 12 * (n + 1 - ties / (n * (n - 1)));
    double off = fmax(fabs(u - product / 2) - 0.5, 0);
    return variance > 0 ? erfc(off / sqrt(2 * variance)) : 1;
}

double kb_significant_p(double *p, size_t n, double q) {
    double found = 0;
    if (n == 0)
        return q;
    kb_sort(p, n);
    for (size_t i = 0; i < n; i++)
        if (p[i] <= q * (double)(i + 1) / (double)n)
            found = q * (double)(i + 1) / (double)n;
    return found > 0 ? found : q / (double)n;
}
