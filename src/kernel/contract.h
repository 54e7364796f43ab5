/* contract.h - between kernel.c, which finds the JSON, contract.c, which reads it by way of
 * contract_value.c, and check.c, which holds it against the ops and the source. Private to
 * src/kernel. */
#ifndef KB_KERNEL_CONTRACT_H
#define KB_KERNEL_CONTRACT_H

#include "kernel/args.h"

struct kb_contract {
    struct kb_json doc;
    struct kb_complaints *c;
    struct kb_arena *arena;
    struct kb_kernel *kernel;
    struct kb_sample *samples; /* of the ops that are known */
    int n_samples;
    struct kb_words words;             /* of the source */
    struct kb_strings functions;       /* its __global__ functions, once one is missed */
    struct kb_strings dtypes, defines; /* the file's, for all variants */
    /* of the variant that is being read */
    struct kb_variant *variant;
    struct kb_expr_let lets[KB_MAX_LETS]; /* their types */
    int n_lets;
    /* reading what the file gives to each variant: what an earlier one said is not said
     * again */
    bool in_shared, wrong_here, shared_wrong, quiet;
};

/* The whole document, into r->kernel. */
void kb_contract_read(struct kb_contract *r);

/* At the value of `node`, or at its key. */
void kb_contract_complain(struct kb_contract *r, const cJSON *node, const char *fmt, ...)
    KB_PRINTF(3, 4);
void kb_contract_complain_key(struct kb_contract *r, const cJSON *node, const char *fmt,
                              ...) KB_PRINTF(3, 4);

/* Values. What is not there (`node` is NULL) is NULL or false without a complaint, what is
 * of another type with one. Text is the arena's. */

/* The value of a key that must be there. */
const cJSON *kb_contract_need(struct kb_contract *r, const cJSON *object, const char *key);
char *kb_contract_text(struct kb_contract *r, const cJSON *node);
bool kb_contract_bool(struct kb_contract *r, const cJSON *node);
/* An expression of a whole number. */
char *kb_contract_expr(struct kb_contract *r, const cJSON *node);
/* `what` is wanted: "an object of names and expressions". */
bool kb_contract_is_object(struct kb_contract *r, const cJSON *node, const char *what);
/* Of `least` to `most` items. */
bool kb_contract_is_list(struct kb_contract *r, const cJSON *node, int least, int most);

/* All of these complain about `node` and go on. */

/* Names and types; `whole`: a float is wrong. */
void kb_check_expr(struct kb_contract *r, const cJSON *node, const char *text, bool whole);
/* The type of a let's value, complaints included. */
bool kb_check_let(struct kb_contract *r, const cJSON *node, const char *text);
void kb_check_new_name(struct kb_contract *r, const cJSON *node, const char *name);
void kb_check_arg(struct kb_contract *r, const cJSON *node, const char *arg);
void kb_check_tma(struct kb_contract *r, const cJSON *node);
void kb_check_entry(struct kb_contract *r, const cJSON *node, const char *entry);
void kb_check_defines(struct kb_contract *r, const cJSON *node);
/* Each output is an argument of some launch. */
void kb_check_outputs(struct kb_contract *r, const cJSON *node);

bool kb_is_identifier(const char *text);

#endif
