/* topic_code.c - kbench help code: builds, compiling ahead, macros that are swept, and what
 * is left for profilers and readers of machine code. */
#include "cli/page.h"
#include "cli/table.h"

/* Of each build, in the order of their names. */
static const char *const builds[] = {
    "the default: no flag that costs accuracy",
    "--use_fast_math; an op may allow it more error",
    "fast-math below sm_100, precise from there",
    "precise, ahead of time by nvcc",
    "fast-math, ahead of time by nvcc",
};

void kb_page_code(struct kb_page *page) {
    kb_page_text(page,
                 "Code is compiled when a case first needs it, and kept in the cache "
                 "(kbench help environment) by its source, headers, flags, "
                 "architecture and compiler. Cases that come to the same entries of a "
                 "kernel file share it.");
    kb_page_heading(page, "builds");
    for (size_t i = 0; i < KB_COUNT(builds) && kb_build_names[i]; i++)
        kb_page_entry(page, kb_build_names[i], "", builds[i]);
    kb_page_entry(
        page, "NAME=FLAGS", "",
        "any other: 'mine=-O3 -DN=8'. Blanks separate its flags; commas end it, but in "
        "a list such as that of -Xptxas=-v,-warn-spills");
    kb_page_heading(page, "compiling ahead");
    kb_page_text(page,
                 "--mode build compiles all that the cases need, --jobs at a time, and "
                 "has a row for each distinct code: registers, spills, sizes, what "
                 "compiling took or that it was cached, what loading took. "
                 "kbench's own kernels come with it, so that a run with --no-compile "
                 "finds everything. Entries of a file are compiled several at a "
                 "time; each row has its share.");
    kb_page_heading(page, "macros");
    kb_page_text(page, "--define KB_THREADS=64,128 sweeps a macro of the contract's "
                       "`defines`: the entry, -D and the contract's expressions have the "
                       "value, so that grid and block follow. Each value is a build of its "
                       "own, precise+KB_THREADS=64, which --build takes as well. Variants "
                       "without the macro are a SKIP.");
    kb_page_heading(page, "profilers");
    kb_page_text(page,
                 "--profile checks a case by one run, launches it once to warm up and "
                 "once between cuProfilerStart and cuProfilerStop, in an NVTX range of "
                 "the case's id, and times nothing:");
    kb_page_example(
        page, "ncu --profile-from-start off kbench --case silu/64x2048/bf16 "
              "--profile\n"
              "nsys profile -c cudaProfilerApi kbench --op silu --shape 7x16 --profile\n");
    kb_page_text(page,
                 "--dump-ptx, --dump-sass and --keep leave a file for each distinct "
                 "code, named by its first case, variant and build: PTX; machine code "
                 "by nvdisasm or cuobjdump; the source as compiled, with a script that "
                 "compiles it by nvcc with the same flags.");
}
