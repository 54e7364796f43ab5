/* sort.c - numbers in ascending order. */
#include "base.h"

#include <stdlib.h>

static int by_value(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Of few, a call for each comparison takes most of the time. */
static void insert_each(double *values, size_t n) {
    for (size_t i = 1; i < n; i++) {
        double value = values[i];
        size_t k = i;
        for (; k > 0 && values[k - 1] > value; k--)
            values[k] = values[k - 1];
        values[k] = value;
    }
}

void kb_sort(double *values, size_t n) {
    enum { FEW = 64 };

    if (n <= FEW)
        insert_each(values, n);
    else
        qsort(values, n, sizeof *values, by_value);
}
