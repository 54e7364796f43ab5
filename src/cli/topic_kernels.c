/* topic_kernels.c - kbench help kernels: how a kernel file of one's own is written. The
 * whole of it, with limits and defaults, is kernels/README.md. */
#include "cli/page.h"

/* Right as it stands: a test runs it as it is printed. */
static const char example[] =
    "/* kbench\n"
    "{ \"ops\": [\"silu\"], \"variants\": { \"plain\": {\n"
    "    \"let\": { \"packed\": \"in_pitch == 0 && out_pitch == 0\",\n"
    "             \"plain\": \"round == once && clamp == 0 && inplace == no\" },\n"
    "    \"when\": \"packed && plain && layout == gate_up && filter == none\",\n"
    "    \"entry\": \"my_silu<KB_T>\",\n"
    "    \"grid\": \"ceil_div(tokens * hidden, 256)\", \"block\": 256,\n"
    "    \"args\": [\"input\", \"out\", \"i64 tokens * hidden\", \"i32 hidden\"] } } }\n"
    "*/\n"
    "#include \"kb.cuh\"\n"
    "template <class T>\n"
    "__global__ void __launch_bounds__(256)\n"
    "    my_silu(const T *input, T *out, long long n, int hidden) {\n"
    "    long long i = blockIdx.x * 256ll + threadIdx.x;\n"
    "    if (i < n) {\n"
    "        const T *gate = input + i / hidden * 2 * hidden + i % hidden;\n"
    "        float x = to_f32(gate[0]), up = to_f32(gate[hidden]);\n"
    "        out[i] = from_f32<T>(x / (1.0f + expf(-x)) * up);\n"
    "    }\n"
    "}\n";

static void file_keys(struct kb_page *page) {
    kb_page_heading(page, "the contract");
    kb_page_entry(page, "ops", "", "ops that it computes; required");
    kb_page_entry(page, "variants", "",
                  "name to variant; required. The first whose `when` holds is the default");
    kb_page_entry(page, "why", "", "a sentence, of the file as of a variant");
    kb_page_text(page,
                 "Beside `variants`, for all of them: dtypes, defines, let, grid, block, "
                 "args, smem, cluster, cooperative and pdl.");
}

static void variant_keys(struct kb_page *page) {
    kb_page_heading(page, "a variant");
    kb_page_entry(page, "entry", "", "the kernel as a C++ name; required");
    kb_page_entry(
        page, "grid, block", "",
        "an expression, or a list of 1 to 3; required. A grid of 0 launches nothing");
    kb_page_entry(page, "args", "", "in the order of the kernel's parameters; required");
    kb_page_entry(page, "when", "", "an expression: false is a SKIP that says which part");
    kb_page_entry(page, "let", "", "name to expression, for the expressions after it");
    kb_page_entry(page, "smem", "", "bytes of dynamic shared memory; above 48 KB as well");
    kb_page_entry(page, "cluster", "", "thread blocks in a cluster, as block; sm_90");
    kb_page_entry(page, "cooperative", "", "true: all blocks are resident at once");
    kb_page_entry(page, "pdl", "",
                  "true: it waits (kb_wait_inputs()) before it reads or writes anything");
    kb_page_entry(
        page, "launches", "",
        "a chain: a list of objects with the keys from entry to pdl but for when and "
        "let, run in order");
    kb_page_entry(page, "scratch", "",
                  "memory between launches: name to { \"bytes\": expression, \"start\": "
                  "\"zero\", \"poison\" or \"keep\" }");
    kb_page_entry(page, "dtypes", "", "those that it takes; all of the op's without it");
    kb_page_entry(page, "backends", "", "[\"cuda\"] where it has no meaning on a CPU");
    kb_page_entry(page, "arch", "",
                  "\"90\": sm_90 or later; \"90a\": sm_90 alone; \"100f\": sm_100 and its "
                  "family");
    kb_page_entry(page, "align", "",
                  "bytes that addresses are a multiple of; it is tried with no more (16)");
    kb_page_entry(page, "defines", "",
                  "macro to text or number, which --define sweeps: { \"KB_TILE\": 64 }");
}

static void argument_forms(struct kb_page *page) {
    kb_page_heading(page, "arguments");
    kb_page_entry(
        page, "\"input\"", "",
        "the address of that tensor (kbench help OP), null where it is absent; or of "
        "scratch. Every output must be one");
    kb_page_entry(page, "\"i32 EXPR\"", "", "a number, as i32 i64 u32 u64 f32 or f64");
    kb_page_entry(page, "{ \"tma\": ... }", "",
                  "a CUtensorMap of a tensor, with dims, strides, box, swizzle, l2, oob "
                  "(kernels/README.md)");
}

static void what_stands_in_text(struct kb_page *page) {
    kb_page_heading(page, "expressions");
    kb_page_text(
        page,
        "As in C, in whole numbers of 64 bits, or in double behind a `.`: ?: || && "
        "== != < <= > >= + - * / % !, and ceil_div(a, b), align_up(a, b), "
        "next_pow2(a), min, max; of a list sum, max, count. Overflow and division by "
        "zero are errors. Names are the op's axes, parameters and what kbench help OP "
        "calls names; dtype_bytes; the device's sm (90), sm_count, smem_per_block; "
        "those of `let`; `defines` that are numbers. A parameter of words is compared "
        "with them: layout == up_gate.");
    kb_page_heading(page, "entries and macros");
    kb_page_text(page,
                 "In `entry`, KB_T is the C++ type of the dtype; a parameter of words is a "
                 "number in the order of its words, such as KB_ROUND; {EXPR} is its value; "
                 "`defines` are replaced. The code may use them, too.");
    kb_page_heading(page, "code");
    kb_page_text(
        page,
        "C++17 for the device alone, without the standard library. kb.cuh has to_f32, "
        "from_f32<T>, vectors, KB_DYNAMIC_SMEM and the waits of pdl; it is found from "
        "anywhere. On a CPU it is the same file through a C++ compiler: barriers, warp "
        "collectives, atomics and shared memory work (kernels/host/README.md), inline "
        "PTX needs an #ifdef KB_HOST beside it.");
}

void kb_page_kernels(struct kb_page *page) {
    kb_page_text(page, "A kernel file says in its first comment, in JSON, which ops it "
                       "computes and how it is launched. This is a whole one:");
    kb_page_example(page, example);
    kb_page_text(page,
                 "kbench help OP lists the op's tensors, axes and parameters; a kernel "
                 "that does not know a parameter says so in `when`, or it is wrong where "
                 "a case sets it. What is wrong with the contract is told with its "
                 "line.");
    kb_page_example(page, "kbench list variants --kernel mine.cu\n"
                          "kbench --op silu --shape 83x1000 --kernel mine.cu\n"
                          "kbench --op silu --shape 83x1000 --kernel mine.cu --fuzz 200\n"
                          "kbench cases/ --op silu --tag ci --kernel mine.cu\n");
    file_keys(page);
    variant_keys(page);
    argument_forms(page);
    what_stands_in_text(page);
}
