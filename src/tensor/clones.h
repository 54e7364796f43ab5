/* clones.h - loops over elements that are compiled for wider vectors as well.
 *
 * Nothing is contracted, so that the bits are the same by whichever code: what a CPU offers
 * decides the speed alone. gcc picks when the program is loaded; clang has the plain code.
 */
#ifndef KB_TENSOR_CLONES_H
#define KB_TENSOR_CLONES_H

#include <features.h>

#if defined(__x86_64__) && defined(__GNUC__) && !defined(__clang__) && defined(__GLIBC__)
#define KB_CLONES __attribute__((target_clones("arch=x86-64-v4", "avx2", "default")))
#else
#define KB_CLONES
#endif

#endif
