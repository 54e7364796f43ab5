/* pair_sums.c - what all comparisons of a run come to, op by op. */
#include "report/devices.h"

#include <math.h>
#include <string.h>

static struct kb_versus_sum *sum_of(struct kb_versus *v, const char *op, int member,
                                    int device, int method) {
    for (int i = 0; i < v->n_sums; i++) {
        struct kb_versus_sum *s = &v->sums[i];
        if (s->member == member && s->device == device && s->method == method &&
            kb_streq(s->op, op))
            return s;
    }
    struct kb_versus_sum *more =
        kb_arena_array(&v->arena, (size_t)v->n_sums + 1, sizeof *more);
    if (v->n_sums)
        memcpy(more, v->sums, (size_t)v->n_sums * sizeof *more);
    v->sums = more;
    v->sums[v->n_sums] = (struct kb_versus_sum){.op = kb_arena_strdup(&v->arena, op),
                                                .member = member,
                                                .device = device,
                                                .method = method};
    return &v->sums[v->n_sums++];
}

static void count_verdict(struct kb_versus_sum *s, const struct kb_row *b) {
    const struct kb_against *against = b->against;
    enum kb_verdict verdict = kb_reason_verdict(b->reason);
    s->rows += verdict != KB_SKIP;
    s->wrong += verdict == KB_FAIL || verdict == KB_MISTRUSTED;
    s->errors += verdict == KB_ERROR;
    if (!against)
        return;
    s->compared += against->elements >= 0;
    s->other_bits += against->elements >= 0 && against->differing > 0;
}

static void count_row(struct kb_versus *v, const struct kb_row *a, const struct kb_row *b,
                      int member, int device) {
    for (int m = 0; m < v->plan.n_methods; m++) {
        struct kb_versus_sum *s = sum_of(v, b->op, member, device, m);
        const struct kb_speed *speed =
            b->against ? &b->against->speeds[v->plan.methods[m]] : NULL;
        if (!s->label) {
            s->label = kb_versus_label(v, b);
            s->first = kb_versus_label(v, a);
        }
        if (m == 0)
            count_verdict(s, b);
        if (!speed || !speed->there)
            continue;
        s->ratios++;
        s->logs += log(speed->ratio);
        s->verdicts[speed->verdict]++;
    }
}

void kb_versus_count(struct kb_versus *v, const struct kb_row *rows, int n) {
    for (int i = 0; i < v->plan.facts->n_devices; i++)
        for (int k = 1; k < n; k++)
            count_row(v, &rows[i * n], &rows[i * n + k], k, i);
}

/* ---- words ----------------------------------------------------------------------------
 */

static void add_op(const struct kb_versus_sum *s, struct kb_buf *out) {
    kb_escape(out, s->op, strlen(s->op));
    if (s->ratios)
        kb_buf_printf(out, " %+.1f %% (geomean of %lld)",
                      100 * (exp(s->logs / (double)s->ratios) - 1), (long long)s->ratios);
    if (s->wrong)
        kb_buf_printf(out, "%s wrong in %lld of %lld", s->ratios ? "," : "",
                      (long long)s->wrong, (long long)s->rows);
    if (s->errors)
        kb_buf_printf(out, "%s ERROR in %lld of %lld", s->ratios || s->wrong ? "," : "",
                      (long long)s->errors, (long long)s->rows);
    if (s->wrong || s->errors)
        return;
    if (!s->ratios && s->other_bits)
        kb_buf_printf(out, " has other bits in %lld of %lld", (long long)s->other_bits,
                      (long long)s->compared);
    else if (!s->ratios)
        kb_buf_puts(out, " has the same bits");
}

static void add_verdicts(const int64_t *verdicts, struct kb_buf *out) {
    const char *before = ": ";
    for (int i = KB_FASTER; i < KB_SPEED_COUNT; i++) {
        if (!verdicts[i])
            continue;
        kb_buf_printf(out, "%s%lld %s", before, (long long)verdicts[i],
                      kb_speed_word((enum kb_speed_verdict)i));
        before = ", ";
    }
}

static void add_device(const struct kb_device_info *device, struct kb_buf *out) {
    kb_buf_puts(out, ", ");
    if (kb_streq(device->backend, "cuda"))
        kb_buf_printf(out, "%s ", device->id);
    kb_escape(out, device->name, strlen(device->name));
}

static void add_who(const struct kb_versus *v, const struct kb_versus_sum *s, bool letters,
                    struct kb_buf *out) {
    if (letters) {
        kb_buf_printf(out, "%c against A", 'A' + s->member);
    } else {
        kb_escape(out, s->label, strlen(s->label));
        kb_buf_puts(out, " against ");
        kb_escape(out, s->first, strlen(s->first));
    }
    if (v->plan.n_methods > 1)
        kb_buf_printf(out, " by %s", kb_method_word(v->plan.methods[s->method]));
    if (v->plan.facts->n_devices > 1)
        add_device(&v->plan.facts->devices[s->device], out);
}

static bool is_said(const struct kb_versus_sum *s) {
    return s->ratios || s->wrong || s->errors || s->compared;
}

static bool same_pair(const struct kb_versus_sum *a, const struct kb_versus_sum *b) {
    return a->device == b->device && a->member == b->member &&
           kb_streq(a->label, b->label) && kb_streq(a->first, b->first);
}

/* What one line tells of. */
static bool same_line(const struct kb_versus_sum *a, const struct kb_versus_sum *b) {
    return same_pair(a, b) && a->method == b->method;
}

/* All ops of what sum `which` is of. */
static void add_sums(const struct kb_versus *v, int which, bool letters,
                     struct kb_buf *out) {
    const struct kb_versus_sum *one = &v->sums[which];
    int64_t verdicts[KB_SPEED_COUNT] = {0};
    struct kb_buf line = {0}, ops = {0};
    for (int i = which; i < v->n_sums; i++) {
        const struct kb_versus_sum *s = &v->sums[i];
        if (!same_line(s, one) || !is_said(s))
            continue;
        for (int k = 0; k < KB_SPEED_COUNT; k++)
            verdicts[k] += s->verdicts[k];
        kb_buf_puts(&ops, ops.len ? "; " : "");
        add_op(s, &ops);
    }
    add_who(v, one, letters, &line);
    add_verdicts(verdicts, &line);
    kb_buf_printf(&line, "%s%s", strchr(kb_buf_text(&line), ':') ? "; " : ": ",
                  kb_buf_text(&ops));
    kb_wrap_at(kb_buf_text(&line), "; ", v->look.width, out);
    kb_buf_putc(out, '\n');
    kb_buf_free(&line);
    kb_buf_free(&ops);
}

/* Whether a letter is the same in all ops. */
static bool has_letters(const struct kb_versus *v) {
    for (int i = 0; i < v->n_sums; i++)
        for (int k = 0; k < i; k++)
            if (v->sums[i].member == v->sums[k].member &&
                v->sums[i].device == v->sums[k].device &&
                !same_pair(&v->sums[i], &v->sums[k]))
                return false;
    return true;
}

void kb_versus_summary(const struct kb_versus *v, struct kb_buf *out) {
    bool letters = has_letters(v);
    for (int i = 0; i < v->n_sums; i++) {
        bool told = !is_said(&v->sums[i]);
        for (int k = 0; k < i; k++)
            told |= same_line(&v->sums[i], &v->sums[k]) && is_said(&v->sums[k]);
        if (!told)
            add_sums(v, i, letters, out);
    }
}
