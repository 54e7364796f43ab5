/* script_fixture.h - for tests: a case checked on the fake device, which does as a script
 * says. */
#ifndef KB_SCRIPT_FIXTURE_H
#define KB_SCRIPT_FIXTURE_H

#include "fake.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static double constant(int64_t i) {
    (void)i;
    return 1000;
}

/* By the variant that fits first where `variant` is NULL. */
static inline void check_variant(struct fake *f, const struct fake_script *script,
                                 const char *case_id, const char *variant) {
    fake_open(f, script);
    f->job.case_id = case_id;
    f->job.mode = KB_CHECK;
    f->job.variant = variant;
    assert_true(fake_go(f));
}

static inline void check_script(struct fake *f, const struct fake_script *script,
                                const char *case_id) {
    check_variant(f, script, case_id, NULL);
}

static inline void assert_reason(const struct fake *f, enum kb_reason reason,
                                 const char *text) {
    if (f->row.reason != reason)
        fail_msg("%s: %s", kb_reason_word(f->row.reason), f->row.text ? f->row.text : "-");
    if (text && !strstr(f->row.text, text))
        fail_msg("\"%s\" does not say \"%s\"", f->row.text, text);
}

#endif
