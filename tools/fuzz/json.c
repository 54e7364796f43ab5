/* json.c - JSON as text, read: held against a second reader that says yes or no by the
 * rules in json.h; what is printed of it reads back as the same; every value stands where
 * it is said to stand. */
#include "fuzz.h"
#include "json.h"

#include <math.h>

/* ---- the second opinion: yes or no -----------------------------------------------------
 */

struct judge {
    const unsigned char *text;
    size_t size, at;
    size_t values;
};

static bool judge_value(struct judge *j, int depth);

static int look(const struct judge *j) {
    return j->at < j->size ? j->text[j->at] : -1;
}

static bool take(struct judge *j, const char *word) {
    size_t n = strlen(word);
    if (j->size - j->at < n || memcmp(j->text + j->at, word, n) != 0)
        return false;
    j->at += n;
    return true;
}

static void space(struct judge *j) {
    while (look(j) == ' ' || look(j) == '\t' || look(j) == '\r' || look(j) == '\n')
        j->at++;
}

static bool continuation(struct judge *j, unsigned low, unsigned high) {
    int c = look(j);
    j->at++;
    return c >= (int)low && c <= (int)high;
}

/* By the table of well-formed sequences in the Unicode standard. */
static bool judge_utf8(struct judge *j) {
    int c = look(j);
    j->at++;
    if (c < 0x80)
        return true;
    if (c >= 0xc2 && c <= 0xdf)
        return continuation(j, 0x80, 0xbf);
    if (c >= 0xe0 && c <= 0xef)
        return continuation(j, c == 0xe0 ? 0xa0 : 0x80, c == 0xed ? 0x9f : 0xbf) &&
               continuation(j, 0x80, 0xbf);
    if (c >= 0xf0 && c <= 0xf4)
        return continuation(j, c == 0xf0 ? 0x90 : 0x80, c == 0xf4 ? 0x8f : 0xbf) &&
               continuation(j, 0x80, 0xbf) && continuation(j, 0x80, 0xbf);
    return false;
}

static bool judge_hex(struct judge *j, unsigned *out) {
    char digits[5] = "";
    for (int i = 0; i < 4; i++, j->at++) {
        int c = look(j);
        if (c < 0 || !strchr("0123456789abcdefABCDEF", c) || !c)
            return false;
        digits[i] = (char)c;
    }
    *out = (unsigned)strtoul(digits, NULL, 16);
    return true;
}

static bool judge_escape(struct judge *j) {
    unsigned high, low;
    if (!take(j, "u")) {
        int c = look(j);
        j->at++;
        return c > 0 && strchr("\"\\/bfnrt", c);
    }
    if (!judge_hex(j, &high) || !high)
        return false;
    if (high < 0xd800 || high > 0xdfff)
        return true;
    return high < 0xdc00 && take(j, "\\u") && judge_hex(j, &low) && low >= 0xdc00 &&
           low <= 0xdfff;
}

static bool judge_string(struct judge *j) {
    if (!take(j, "\""))
        return false;
    while (!take(j, "\"")) {
        if (look(j) < 0x20 || (take(j, "\\") ? !judge_escape(j) : !judge_utf8(j)))
            return false;
    }
    return true;
}

static size_t judge_digits(struct judge *j) {
    size_t start = j->at;
    while (look(j) >= '0' && look(j) <= '9')
        j->at++;
    return j->at - start;
}

static bool judge_number(struct judge *j) {
    size_t start = j->at;
    bool whole = true;
    char text[64];
    take(j, "-");
    bool zero = look(j) == '0';
    size_t n = judge_digits(j);
    if (!n || (zero && n > 1))
        return false;
    if (take(j, ".")) {
        whole = false;
        if (!judge_digits(j))
            return false;
    }
    if (take(j, "e") || take(j, "E")) {
        whole = false;
        if (!take(j, "-"))
            take(j, "+");
        if (!judge_digits(j))
            return false;
    }
    n = j->at - start;
    if (n > 63)
        return false;
    memcpy(text, j->text + start, n);
    text[n] = '\0';
    double value = strtod(text, NULL);
    /* Too small for a double is too large a loss as well, unless it says 0. */
    if (!isfinite(value) || (value == 0 && strpbrk(text, "123456789") &&
                             strcspn(text, "123456789") < strcspn(text, "eE")))
        return false;
    return !(whole && fabs(value) == 0x1p53 &&
             strcmp(text + (*text == '-'), "9007199254740992") != 0);
}

static bool judge_list(struct judge *j, bool keys, int depth) {
    const char *close = keys ? "}" : "]";
    j->at++;
    space(j);
    if (take(j, close))
        return true;
    do {
        space(j);
        if (keys && !judge_string(j))
            return false;
        space(j);
        if (keys && !take(j, ":"))
            return false;
        if (!judge_value(j, depth))
            return false;
        space(j);
    } while (take(j, ","));
    return take(j, close);
}

static bool judge_value(struct judge *j, int depth) {
    space(j);
    j->values++;
    if (look(j) == '"')
        return judge_string(j);
    if (look(j) == '[' || look(j) == '{')
        return depth < KB_JSON_DEPTH_MAX && judge_list(j, look(j) == '{', depth + 1);
    if (look(j) == '-' || (look(j) >= '0' && look(j) <= '9'))
        return judge_number(j);
    return take(j, "true") || take(j, "false") || take(j, "null");
}

static bool judge(struct judge *j) {
    if (!judge_value(j, 0))
        return false;
    space(j);
    return j->at == j->size;
}

/* ---- what was read ---------------------------------------------------------------------
 */

static bool has_twin(const cJSON *object) {
    for (const cJSON *a = object->child; a; a = a->next)
        for (const cJSON *b = a->next; b && cJSON_IsObject(object); b = b->next)
            if (strcmp(a->string, b->string) == 0)
                return true;
    for (const cJSON *a = object->child; a; a = a->next)
        if (has_twin(a))
            return true;
    return false;
}

static bool same_tree(const cJSON *a, const cJSON *b) {
    if ((a->type & 0xff) != (b->type & 0xff) || !a->string != !b->string ||
        (a->string && strcmp(a->string, b->string) != 0))
        return false;
    if (cJSON_IsNumber(a) && (a->valuedouble != b->valuedouble ||
                              !signbit(a->valuedouble) != !signbit(b->valuedouble)))
        return false;
    if (cJSON_IsString(a) && strcmp(a->valuestring, b->valuestring) != 0)
        return false;
    const cJSON *x = a->child, *y = b->child;
    for (; x && y; x = x->next, y = y->next)
        if (!same_tree(x, y))
            return false;
    return !x && !y;
}

static const char *find_place(const char *text, size_t size, int line, int col) {
    size_t i = 0;
    for (; line > 1 && i < size; i++)
        line -= text[i] == '\n';
    for (; col > 1 && i < size; col--)
        for (i++; i < size && ((unsigned char)text[i] & 0xc0) == 0x80;)
            i++;
    return i < size ? text + i : "";
}

/* The places of the first values: finding one is a walk. */
static void want_places(const struct kb_json *doc, const cJSON *node, const char *text,
                        size_t size, int *left) {
    static const char starts[] = "fnt\"[{";
    int line, col;
    struct kb_buf path = {0};
    if (--*left < 0)
        return;
    kb_json_where(doc, node, false, &line, &col);
    char c = *find_place(text, size, line, col);
    if (cJSON_IsNumber(node) ? !strchr("-0123456789", c) || !c : !strchr(starts, c) || !c)
        DISAGREE("%d:%d is said to be a value, it is '%c'", line, col, c);
    kb_json_where(doc, node, true, &line, &col);
    if (node->string && *find_place(text, size, line, col) != '"')
        DISAGREE("%d:%d is said to be a key", line, col);
    kb_json_path(doc, node, &path);
    if (!path.len != (node == doc->root))
        DISAGREE("%d:%d has the path \"%s\"", line, col, kb_buf_text(&path));
    want_clean(kb_buf_text(&path), path.len, false);
    kb_buf_free(&path);
    for (const cJSON *child = node->child; child; child = child->next)
        want_places(doc, child, text, size, left);
}

static void want_round_trip(const struct kb_json *doc) {
    struct kb_buf first = {0}, second = {0};
    struct kb_json again = {0};
    struct kb_err err = {0};
    kb_json_print(doc->root, &first);
    want_clean(kb_buf_text(&first), first.len, false);
    if (!kb_json_parse(&again, "again", first.data, first.len, &err))
        DISAGREE("%s in what was printed: %s", err.msg, first.data);
    if (!same_tree(doc->root, again.root))
        DISAGREE("another tree is read from: %s", first.data);
    kb_json_print(again.root, &second);
    want_same(&first, &second, "printed, read and printed");
    kb_json_free(&again);
    kb_buf_free(&first);
    kb_buf_free(&second);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    struct kb_json doc = {0};
    struct kb_err err = {0};
    struct judge second = {.text = data, .size = size};
    bool right = judge(&second);
    if (!kb_json_parse(&doc, "fuzz", (const char *)data, size, &err)) {
        want_message(&err);
        want_clean(err.msg, strlen(err.msg), false);
        if (right && !strstr(err.msg, "for the second time"))
            DISAGREE("refused, and should not be: %s", err.msg);
        return 0;
    }
    if (!right)
        DISAGREE("taken, and should not be at byte %zu", second.at);
    if (doc.n_marks != second.values)
        DISAGREE("%zu values, and not %zu", doc.n_marks, second.values);
    if (size < 4096 && has_twin(doc.root))
        DISAGREE("a key stands twice");
    int left = 64;
    want_places(&doc, doc.root, (const char *)data, size, &left);
    want_round_trip(&doc);
    kb_json_free(&doc);
    return 0;
}
