/* mla_prefill.c - op mla_prefill: attention of MLA in prefill, over a ragged batch.
 *
 * Formula. Sequence b has q_lens[b] queries and kv_lens[b] keys; its tokens start at
 * cum_q[b] and cum_kv[b]. Query head h goes with key head h / (heads / kv_heads). For query
 * i of the sequence and keys j that it sees (causal=yes: j <= i + kv_len - q_len, aligned
 * at the end): s_j = scale * sum over 192 of query[i][h] * key[j],  m = max s_j out[i][h] =
 * sum exp(s_j - m) value[j] / sum exp(s_j - m) lse[i][h] = m + log(sum exp(s_j - m)), of
 * base e or 2 A query that sees no key: out is 0 and lse is -inf.
 *
 * The shape is that of one sequence, or with q_lens and kv_lens the sums of these. One of
 * the two lists stands for both. value=slice: value is the second half of heads of 256, as
 * the up-projection leaves [k_nope | v]. q_pitch and k_pitch: query and key are slices of
 * wider rows, so many elements from token to token; what lies behind a token's heads is
 * NaN.
 *
 * Cost. 2 * 320 flops for a pair of query and key that is seen, and head; all tensors once.
 */
#include "ops/mla_prefill.h"

#include <math.h>
#include <string.h>

enum {
    PARAM_Q_LENS,
    PARAM_KV_LENS,
    PARAM_KV_HEADS,
    PARAM_CAUSAL,
    PARAM_LSE,
    PARAM_SCALE,
    PARAM_VALUE,
    PARAM_Q_PITCH,
    PARAM_K_PITCH,
};

static double number(const struct kb_case *c, int param) {
    return c->set[param].v;
}

/* ---- a case, spelt out -----------------------------------------------------------------
 */

static void take_lens(const struct kb_case *c, int param, int other, int64_t whole,
                      int64_t *out) {
    const struct kb_value *own = &c->set[param], *given = own->v > 0 ? own : &c->set[other];
    if (given->v > 0)
        memcpy(out, given->items, sizeof given->items);
    else
        out[0] = whole;
}

struct kb_mla kb_mla_of(const struct kb_case *c) {
    double lists = fmax(number(c, PARAM_Q_LENS), number(c, PARAM_KV_LENS));
    struct kb_mla m = {
        .dtype = c->dtype,
        .sequences = lists > 0 ? (int)lists : 1,
        .q_tokens = c->shape[0],
        .kv_tokens = c->shape[1],
        .heads = c->shape[2],
        .kv_heads = (int64_t)number(c, PARAM_KV_HEADS),
        .causal = number(c, PARAM_CAUSAL) == 0,
        .lse = (int)number(c, PARAM_LSE),
        .scale = (float)number(c, PARAM_SCALE),
        .q_pitch = (int64_t)number(c, PARAM_Q_PITCH),
        .k_pitch = (int64_t)number(c, PARAM_K_PITCH),
        .v_pitch = KB_MLA_V,
    };
    take_lens(c, PARAM_Q_LENS, PARAM_KV_LENS, m.q_tokens, m.q_lens);
    take_lens(c, PARAM_KV_LENS, PARAM_Q_LENS, m.kv_tokens, m.kv_lens);
    if (!m.kv_heads)
        m.kv_heads = m.heads;
    if (!m.q_pitch)
        m.q_pitch = m.heads * KB_MLA_QK;
    if (!m.k_pitch)
        m.k_pitch = m.kv_heads * KB_MLA_QK;
    if (m.scale == 0)
        m.scale = (float)(1 / sqrt(KB_MLA_QK));
    if (number(c, PARAM_VALUE) == KB_MLA_V_SLICE) {
        m.v_pitch = 2 * KB_MLA_V;
        m.v_start = KB_MLA_V;
    }
    return m;
}

int kb_mla_sequence(const int64_t *lens, int n, int64_t token, int64_t *start) {
    int b = 0;
    *start = 0;
    for (; b < n - 1 && token >= *start + lens[b]; b++)
        *start += lens[b];
    return b;
}

int64_t kb_mla_seen(const struct kb_mla *m, int64_t token) {
    int64_t start;
    int b = kb_mla_sequence(m->q_lens, m->sequences, token, &start);
    int64_t n = m->kv_lens[b], seen = token - start + n - m->q_lens[b] + 1;
    return !m->causal ? n : seen < 0 ? 0 : seen < n ? seen : n;
}

/* ---- the problem -----------------------------------------------------------------------
 */

static bool check_shape(const struct kb_case *c, struct kb_err *err) {
    if (c->rank != 3)
        return kb_fail(err, KB_INPUT, "the shape is Q_LENxKV_LENxHEADS, got %d axes",
                       c->rank);
    for (int i = 0; i < 2; i++)
        if (c->shape[i] > INT32_MAX)
            return kb_fail(err, KB_INPUT, "%s must be at most %d, got %lld",
                           i ? "KV_LEN" : "Q_LEN", INT32_MAX, (long long)c->shape[i]);
    if (c->shape[2] < 1 || c->shape[2] > 65535)
        return kb_fail(err, KB_INPUT, "HEADS must be from 1 to 65535, got %lld",
                       (long long)c->shape[2]);
    return true;
}

static bool check_sum(const int64_t *lens, int n, int64_t whole, const char *list,
                      const char *axis, struct kb_err *err) {
    int64_t sum = 0;
    for (int b = 0; b < n; b++)
        sum += lens[b];
    if (sum == whole)
        return true;
    return kb_fail(err, KB_INPUT, "%s come to %lld, %s is %lld", list, (long long)sum, axis,
                   (long long)whole);
}

static bool check_lens(const struct kb_case *c, const struct kb_mla *m,
                       struct kb_err *err) {
    double q = number(c, PARAM_Q_LENS), kv = number(c, PARAM_KV_LENS);
    if (q > 0 && kv > 0 && q != kv)
        return kb_fail(err, KB_INPUT, "q_lens has %.0f sequences, kv_lens %.0f", q, kv);
    return check_sum(m->q_lens, m->sequences, m->q_tokens, "q_lens", "Q_LEN", err) &&
           check_sum(m->kv_lens, m->sequences, m->kv_tokens, "kv_lens", "KV_LEN", err);
}

static bool check_heads(const struct kb_mla *m, struct kb_err *err) {
    if (m->heads % m->kv_heads)
        return kb_fail(err, KB_INPUT, "HEADS %lld is no multiple of kv_heads %lld",
                       (long long)m->heads, (long long)m->kv_heads);
    if (!(m->scale > 0) || !isfinite(m->scale))
        return kb_fail(err, KB_INPUT, "scale must be above 0 and finite in fp32");
    return true;
}

static bool check_pitches(const struct kb_mla *m, struct kb_err *err) {
    int64_t query = m->heads * KB_MLA_QK, key = m->kv_heads * KB_MLA_QK;
    if (m->q_pitch < query)
        return kb_fail(err, KB_INPUT, "q_pitch %lld is less than a token's %lld elements",
                       (long long)m->q_pitch, (long long)query);
    if (m->k_pitch < key)
        return kb_fail(err, KB_INPUT, "k_pitch %lld is less than a token's %lld elements",
                       (long long)m->k_pitch, (long long)key);
    return true;
}

/* What 8 bits give is bf16. */
static enum kb_dtype result_dtype(enum kb_dtype dtype) {
    return dtype == KB_FP16 ? KB_FP16 : KB_BF16;
}

/* Tokens of heads, or the wider rows that they are slices of. */
static bool add_slices(struct kb_problem *p, const char *name, const struct kb_mla *m,
                       int64_t tokens, int64_t heads, int64_t pitch, struct kb_err *err) {
    int64_t own[] = {tokens, heads, KB_MLA_QK}, wide[] = {tokens, pitch};
    bool is_own = pitch == heads * KB_MLA_QK;
    return kb_problem_tensor(p, name, KB_IN, m->dtype, is_own ? 3 : 2, is_own ? own : wide,
                             KB_RULE_BOUND, err);
}

static bool add_cums(struct kb_problem *p, const struct kb_mla *m, struct kb_err *err) {
    static const char *const names[] = {"cum_q", "cum_kv"};
    int64_t cum = m->sequences + 1;
    for (int i = 0; i < 2; i++) {
        if (!kb_problem_tensor(p, names[i], KB_IN, KB_I32, 1, &cum, KB_RULE_EXACT, err))
            return false;
        kb_problem_derived(p);
    }
    return true;
}

static bool add_tensors(const struct kb_mla *m, struct kb_problem *p, struct kb_err *err) {
    int64_t value[] = {m->kv_tokens, m->kv_heads, m->v_pitch},
            out[] = {m->q_tokens, m->heads, KB_MLA_V};
    enum kb_dtype result = result_dtype(m->dtype);
    if (!add_slices(p, "query", m, m->q_tokens, m->heads, m->q_pitch, err) ||
        !add_slices(p, "key", m, m->kv_tokens, m->kv_heads, m->k_pitch, err) ||
        !kb_problem_tensor(p, "value", KB_IN, m->dtype, 3, value, KB_RULE_BOUND, err) ||
        !add_cums(p, m, err) ||
        !kb_problem_tensor(p, "out", KB_OUT, result, 3, out, KB_RULE_BOUND, err) ||
        !kb_problem_tensor(p, "lse", KB_OUT, KB_FP32, 2, out, KB_RULE_BOUND, err))
        return false;
    if (m->lse == KB_MLA_LSE_NONE)
        kb_problem_absent(p);
    return true;
}

/* What is read and written, without what lies between. */
static int64_t bytes_of(const struct kb_mla *m) {
    int64_t in = (int64_t)kb_dtype_bytes(m->dtype), heads = m->q_tokens * m->heads;
    int64_t kv = m->kv_tokens * m->kv_heads * (KB_MLA_QK + KB_MLA_V) * in;
    int64_t out = KB_MLA_V * (int64_t)kb_dtype_bytes(result_dtype(m->dtype));
    return heads * (KB_MLA_QK * in + out + (m->lse == KB_MLA_LSE_NONE ? 0 : 4)) + kv +
           8 * (m->sequences + 1);
}

/* Pairs of query and key that is seen, for one head. */
static double pairs_of(const struct kb_mla *m) {
    double pairs = 0;
    for (int b = 0; b < m->sequences; b++) {
        double q = (double)m->q_lens[b], kv = (double)m->kv_lens[b];
        pairs += !m->causal ? q * kv
                 : q <= kv  ? q * kv - q * (q - 1) / 2
                            : kv * (kv + 1) / 2;
    }
    return pairs;
}

static int64_t longest(const int64_t *lens, int n) {
    int64_t most = 0;
    for (int b = 0; b < n; b++)
        most = lens[b] > most ? lens[b] : most;
    return most;
}

static bool resolve(const struct kb_case *c, struct kb_problem *p, struct kb_err *err) {
    if (!check_shape(c, err))
        return false;
    struct kb_mla m = kb_mla_of(c);
    double flops = pairs_of(&m) * (double)m.heads * 2 * (KB_MLA_QK + KB_MLA_V);
    if (!check_lens(c, &m, err) || !check_heads(&m, err) || !check_pitches(&m, err) ||
        !add_tensors(&m, p, err))
        return false;
    if (flops > 0x1p62)
        return kb_fail(err, KB_INPUT, "%g flops are too many to count", flops);
    kb_problem_name(p, "q_tokens", m.q_tokens);
    kb_problem_name(p, "kv_tokens", m.kv_tokens);
    kb_problem_name(p, "heads", m.heads);
    kb_problem_means(p, "kv_heads", m.kv_heads);
    kb_problem_name(p, "sequences", m.sequences);
    kb_problem_name(p, "q_longest", longest(m.q_lens, m.sequences));
    kb_problem_name(p, "kv_longest", longest(m.kv_lens, m.sequences));
    kb_problem_float(p, "softmax_scale", m.scale);
    kb_problem_means(p, "q_pitch", m.q_pitch);
    kb_problem_means(p, "k_pitch", m.k_pitch);
    kb_problem_name(p, "v_pitch", m.v_pitch);
    kb_problem_name(p, "v_start", m.v_start);
    p->bytes = bytes_of(&m);
    p->flops = p->mma_flops = (int64_t)flops;
    return true;
}

static void macros(const struct kb_case *c, struct kb_arena *arena,
                   struct kb_strings *out) {
    const struct kb_macro list[] = {
        {.name = "KB_OUT", .type = kb_dtype_cxx(result_dtype(c->dtype))},
        {.name = "KB_CAUSAL", .value = (int)number(c, PARAM_CAUSAL)},
        {.name = "KB_LSE", .value = (int)number(c, PARAM_LSE)},
    };
    kb_macros_add(c, list, KB_COUNT(list), arena, out);
}

/* The first queries of the batch: sequences up to the one that they end in, of which under
 * the mask as many keys are left out as there are queries, so that each sees the same. */
static bool first_rows(const struct kb_problem *p, int64_t rows, struct kb_case *c) {
    struct kb_mla m = kb_mla_of(p->c);
    struct kb_value q = {0}, kv = {0};
    int64_t start, keys = 0;
    int last = kb_mla_sequence(m.q_lens, m.sequences, rows - 1, &start);
    for (int b = 0; b <= last; b++) {
        int64_t left_out = b < last || !m.causal ? 0 : start + m.q_lens[b] - rows;
        q.items[b] = b < last ? m.q_lens[b] : rows - start;
        kv.items[b] = m.kv_lens[b] > left_out ? m.kv_lens[b] - left_out : 0;
        keys += kv.items[b];
    }
    q.v = kv.v = last + 1;
    c->shape[0] = rows;
    c->shape[1] = keys;
    if (number(p->c, PARAM_Q_LENS) > 0 || number(p->c, PARAM_KV_LENS) > 0) {
        c->set[PARAM_Q_LENS] = q;
        c->set[PARAM_KV_LENS] = kv;
    }
    return true;
}

/* What tells rows apart that kernels get wrong. */
static int sources(const struct kb_problem *p, const void *const *in, int t, int64_t i,
                   struct kb_source *out) {
    (void)in;
    struct kb_mla m = kb_mla_of(p->c);
    int64_t row = i / (t == KB_MLA_LSE ? 1 : KB_MLA_V), token = row / m.heads, start;
    int b = kb_mla_sequence(m.q_lens, m.sequences, token, &start);
    const double numbers[] = {(double)kb_mla_seen(&m, token), b, (double)(token - start),
                              (double)(row % m.heads)};
    static const char *const names[] = {"the number of keys seen", "the sequence",
                                        "the query's place", "the head"};
    for (int k = 0; k < (int)KB_COUNT(names); k++)
        out[k] = (struct kb_source){names[k], KB_I32, numbers[k]};
    return KB_COUNT(names);
}

/* Lengths are the case's: tokens are laid out by them. */
static bool accepts(const struct kb_problem *p, int t, const void *data,
                    struct kb_err *err) {
    const struct kb_mla m = kb_mla_of(p->c);
    const int64_t *lens = t == KB_MLA_CUM_Q ? m.q_lens : m.kv_lens;
    int64_t sum = 0;

    if (t != KB_MLA_CUM_Q && t != KB_MLA_CUM_KV)
        return true;
    for (int i = 0; i <= m.sequences; i++) {
        int64_t got = ((const int32_t *)data)[i];
        if (got != sum)
            return kb_fail(err, KB_INPUT,
                           "%s[%d] is %lld, the lengths of the case make %lld",
                           p->tensors[t].name, i, (long long)got, (long long)sum);
        sum += i < m.sequences ? lens[i] : 0;
    }
    return true;
}

/* tokenspeed's test of its fp8 kernel, for outputs and lse alike. */
static void peer_tolerance(enum kb_dtype dtype, enum kb_dtype out, double *atol,
                           double *rtol) {
    (void)dtype, (void)out;
    *atol = 0.25;
    *rtol = 1e-5;
}

/* ---- the op ----------------------------------------------------------------------------
 */

static const struct kb_param params[] = {
    [PARAM_Q_LENS] = {.name = "q_lens",
                      .help = "queries of each sequence; none: one sequence, or as kv_lens",
                      .kind = KB_PARAM_LIST,
                      .max = INT32_MAX},
    [PARAM_KV_LENS] = {.name = "kv_lens",
                       .help = "keys of each sequence; none: one sequence, or as q_lens",
                       .kind = KB_PARAM_LIST,
                       .max = INT32_MAX},
    [PARAM_KV_HEADS] = {.name = "kv_heads",
                        .help = "heads of key and value, which divide HEADS; 0: as many",
                        .kind = KB_PARAM_INT,
                        .max = 65535},
    [PARAM_CAUSAL] = {.name = "causal",
                      .help = "whether query i sees keys up to i + kv_len - q_len only",
                      .kind = KB_PARAM_WORD,
                      .words = "yes,no"},
    [PARAM_LSE] = {.name = "lse",
                   .help = "base of the logarithm of the sums, or none wanted",
                   .kind = KB_PARAM_WORD,
                   .words = "none,e,2"},
    [PARAM_SCALE] = {.name = "scale",
                     .help = "of the scores, to 1; 0: 1 / sqrt(192)",
                     .kind = KB_PARAM_FLOAT,
                     .max = 1},
    [PARAM_VALUE] = {.name = "value",
                     .help = "value of its own, or the second half of heads of 256",
                     .kind = KB_PARAM_WORD,
                     .words = "own,slice"},
    [PARAM_Q_PITCH] = {.name = "q_pitch",
                       .help =
                           "elements from one token of query to the next; 0: as many as "
                           "its heads have",
                       .kind = KB_PARAM_INT,
                       .max = INT32_MAX},
    [PARAM_K_PITCH] = {.name = "k_pitch",
                       .help = "the same of key; value has no pitch but value=slice",
                       .kind = KB_PARAM_INT,
                       .max = INT32_MAX},
};

static const enum kb_fill fills[] = {
    KB_FILL_NORMAL,   KB_FILL_LARGE, KB_FILL_OUTLIERS, KB_FILL_ZEROS,
    KB_FILL_SPARSE,   KB_FILL_STEPS, KB_FILL_EDGES,    KB_FILL_TIES,
    KB_FILL_CONSTANT, KB_FILL_NAN,   KB_FILL_MASKED,   KB_FILL_FADED,
};

static const char *const axes[] = {"q_len", "kv_len", "heads"};

static const struct kb_convention conventions[] = {
    {.words = "lse=2", .set = "lse=2"},
    {.words = "lse=e", .set = "lse=e"},
    {.words = "causal=no", .set = "causal=no"},
    {.words = "causal=yes", .set = "causal=yes"},
    {.words = "scale 1 / sqrt(128)", .set = "scale=0.0883883461356163"},
    {.words = "query without its pitch", .set = "q_pitch=0"},
    {.words = "key without its pitch", .set = "k_pitch=0"},
};

const struct kb_op kb_op_mla_prefill = {
    .name = "mla_prefill",
    .family = "mla_prefill",
    .shape_form = "Q_LENxKV_LENxHEADS",
    .formula =
        "out = softmax(scale * query key^T) value, 192 and 128 wide, causal from the "
        "end",
    .catches =
        "the mask aligned at the start, one key too many or too few, keys of the next "
        "sequence,\nno rescaling when the maximum moves, sums of rounded "
        "probabilities, lse of another base,\nNaN where no key is seen, or of a key behind "
        "the mask",
    .sample = "3x5x2",
    .dtypes = {KB_E4M3, KB_BF16, KB_FP16},
    .n_dtypes = 3,
    .params = params,
    .n_params = KB_COUNT(params),
    .fills = fills,
    .n_fills = KB_COUNT(fills),
    .axes = axes,
    .n_axes = KB_COUNT(axes),
    .batch = "q_tokens",
    .first_rows = first_rows,
    .fast_math_factor = 1, /* what it changes is far below the rounding of P */
    .resolve = resolve,
    .macros = macros,
    .fill = kb_mla_fill,
    .reference = kb_mla_reference,
    .prepare = kb_mla_prepare,
    .low_precision = kb_mla_low_precision,
    .sources = sources,
    .peer_tolerance = peer_tolerance,
    .accepts = accepts,
    .conventions = conventions,
    .n_conventions = KB_COUNT(conventions),
};
