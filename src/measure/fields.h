/* fields.h - fields of the JSON objects that we write ourselves, read without mercy: the
 * first one that is missing, of another kind or out of range is remembered by its name, and
 * nothing stands in for it unseen. Internal to the measure layer. */
#ifndef KB_FIELDS_H
#define KB_FIELDS_H

#include "sys.h"

struct kb_fields {
    struct kb_arena *arena; /* where texts are copied to */
    const char *wrong;      /* name of the first wrong field, NULL while all is well */
};

/* Remember `name`, unless another came first. */
void kb_field_wrong(struct kb_fields *f, const char *name);
/* A text that must be there; "" if it is not. */
const char *kb_field_text(struct kb_fields *f, const cJSON *object, const char *name);
/* A text, or NULL where the field is null or absent. */
const char *kb_field_maybe(struct kb_fields *f, const cJSON *object, const char *name);
/* A whole number from `min` to `max` that must be there; also as a text of digits, which is
 * how kb_json_add_i64 writes those over 2^53. */
int64_t kb_field_whole(struct kb_fields *f, const cJSON *object, const char *name,
                       int64_t min, int64_t max);
/* The same, `otherwise` where the field is absent. */
int64_t kb_field_whole_or(struct kb_fields *f, const cJSON *object, const char *name,
                          int64_t min, int64_t max, int64_t otherwise);
/* A number; `otherwise` where the field is null or absent. */
double kb_field_number(struct kb_fields *f, const cJSON *object, const char *name,
                       double otherwise);
/* A truth value that must be there. */
bool kb_field_bool(struct kb_fields *f, const cJSON *object, const char *name);
/* An object or an array that must be there, or NULL. */
const cJSON *kb_field_object(struct kb_fields *f, const cJSON *object, const char *name);
const cJSON *kb_field_array(struct kb_fields *f, const cJSON *object, const char *name);
/* Index of a word in a list that must have it; 0 if it does not. */
int kb_field_word(struct kb_fields *f, const cJSON *object, const char *name,
                  const char *const *words, int n_words);

#endif
