/* stub.h - between the parts of the stub driver. */
#ifndef STUB_H
#define STUB_H

/* The number behind `key=` in $KB_STUB. */
long stub_script(const char *key, long otherwise);
/* A kernel or a memset of a stream, not of a graph, took this time of the stub's clock. */
void stub_ran(double start_ns, double end_ns, int is_memset);

/* From here on nodes of graphs take so much longer. */
void stub_slower(double ns);

#endif
