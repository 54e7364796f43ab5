/* asset_test.c - the tool's own files come from the checkout, else from the executable.
 *
 * The table of embedded files is this test's own. For the disk, the test copies itself into
 * a folder with files beside it and runs the copy. */
#include "sys.h"

#include <limits.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

/* As in asset.c and tools/embed.sh. */
struct kb_embedded {
    const char *path;
    const char *begin, *end;
};
extern const struct kb_embedded kb_embedded_files[];
extern const size_t kb_embedded_count;

static const char kb_cuh[] = "embedded kb.cuh", silu[] = "embedded silu", empty[] = "";
const struct kb_embedded kb_embedded_files[] = {
    {"kernels/kb.cuh", kb_cuh, kb_cuh + sizeof kb_cuh - 1},
    {"kernels/host/shim.h", empty, empty},
    {"cases/silu.json", silu, silu + sizeof silu - 1},
    {NULL, NULL, NULL},
};
const size_t kb_embedded_count = 3;

static void expect(const char *path, const char *text, const char *from) {
    const struct kb_asset *asset = kb_asset_find(path);
    if (!text) {
        assert_null(asset);
        return;
    }
    assert_non_null(asset);
    assert_string_equal(asset->path, path);
    assert_string_equal(asset->text, text);
    assert_int_equal(asset->size, strlen(text));
    assert_string_equal(asset->from, from);
    assert_ptr_equal(kb_asset_find(path), asset); /* and is found again */
}

static void expect_list(const char *prefix, const char *want) {
    struct kb_arena arena = {0};
    struct kb_strings names = {0};
    struct kb_buf text = {0};
    kb_asset_list(prefix, &arena, &names);
    for (size_t i = 0; i < names.count; i++)
        kb_buf_printf(&text, "%s ", names.items[i]);
    assert_string_equal(kb_buf_text(&text), want);
    kb_buf_free(&text);
    kb_arena_free(&arena);
}

static void without_a_checkout_the_embedded_copy_is_used(void **state) {
    (void)state;
    char path[] = "kernels/kb.cuh"; /* not borrowed */
    expect(path, "embedded kb.cuh", "embedded");
    memset(path, 'x', sizeof path - 1);
    expect("kernels/kb.cuh", "embedded kb.cuh", "embedded");
    expect("kernels/host/shim.h", "", "embedded");
    expect("kernels/absent.cu", NULL, NULL);
    expect_list("kernels/", "kernels/host/shim.h kernels/kb.cuh ");
    expect_list("", "cases/silu.json kernels/host/shim.h kernels/kb.cuh ");
    expect_list("none/", "");
}

static void no_path_leads_out_of_the_folders(void **state) {
    (void)state;
    static const char *const paths[] = {
        "/etc/passwd",
        "../kernels/kb.cuh",
        "kernels/../Makefile",
        "kernels/..",
        "kernels/x/../../y",
        "Makefile",
        "",
        "kernels",
        "kernels/",
        "cases/",
    };
    for (size_t i = 0; i < KB_COUNT(paths); i++)
        assert_null(kb_asset_find(paths[i]));
}

static void *find_often(void *arg) {
    int *found = arg;
    for (int i = 0; i < 1000; i++) {
        const struct kb_asset *asset = kb_asset_find("cases/silu.json");
        *found += asset && kb_streq(asset->text, "embedded silu");
    }
    return NULL;
}

static void threads_may_look_at_the_same_time(void **state) {
    (void)state;
    pthread_t threads[4];
    int found[KB_COUNT(threads)] = {0};
    for (size_t i = 0; i < KB_COUNT(threads); i++)
        assert_int_equal(pthread_create(&threads[i], NULL, find_often, &found[i]), 0);
    for (size_t i = 0; i < KB_COUNT(threads); i++) {
        pthread_join(threads[i], NULL);
        assert_int_equal(found[i], 1000);
    }
}

/* ---- what the copy checks ---------------------------------------------------------- */

static void a_checkout_on_disk_overrides_the_embedded_copy(void **state) {
    (void)state;
    struct kb_err err = {0};
    char path[PATH_MAX];
    expect("kernels/kb.cuh", "disk kb.cuh", "disk");
    expect("kernels/new.cu", "disk new", "disk");
    expect("kernels/host/shim.h", "", "embedded");
    expect("cases/silu.json", "embedded silu", "embedded");
    expect_list("kernels/", "kernels/host/shim.h kernels/kb.cuh kernels/new.cu ");
    snprintf(path, sizeof path, "%s/kernels/kb.cuh", kb_exe_folder());
    assert_true(kb_file_replace(path, "edited", 6, &err));
    expect("kernels/kb.cuh", "disk kb.cuh", "disk"); /* a run sees one version */
}

static void a_kernels_folder_that_is_no_checkout_is_not_used(void **state) {
    (void)state;
    expect("kernels/kb.cuh", "embedded kb.cuh", "embedded");
    expect("kernels/new.cu", NULL, NULL);
    expect_list("kernels/", "kernels/host/shim.h kernels/kb.cuh ");
}

/* ---- and what starts it ------------------------------------------------------------ */

static struct kb_temp temp;

static void run(const char *program, const char *arg) {
    struct kb_limits limits = {.wall_ms = 30000};
    struct kb_arena arena = {0};
    struct kb_buf output = {0};
    struct kb_err err = {0};
    int status = -1;
    char *argv[] = {kb_arena_strdup(&arena, program), kb_arena_strdup(&arena, arg), NULL};
    bool ok = kb_run_command(argv, NULL, &limits, &output, &status, &err);
    if (!ok || status != 0)
        fail_msg("%s %s: %s%s", program, arg, err.msg, kb_buf_text(&output));
    kb_buf_free(&output);
    kb_arena_free(&arena);
}

static void put(const char *name, const void *data, size_t size) {
    char path[PATH_MAX];
    struct kb_err err = {0};
    snprintf(path, sizeof path, "%s/%s", temp.path, name);
    assert_true(kb_file_replace(path, data, size, &err));
}

static int copy_to_folder(void **state) {
    (void)state;
    char path[PATH_MAX + 16];
    struct kb_buf self = {0};
    struct kb_err err = {0};
    if (!kb_temp_make(&temp, &err) || !kb_file_read(kb_exe_path(), 256 << 20, &self, &err))
        return 1;
    snprintf(path, sizeof path, "%s/kernels", temp.path);
    mkdir(path, 0700);
    put("test", self.data, self.len);
    put("kernels/new.cu", "disk new", 8);
    snprintf(path, sizeof path, "%s/test", temp.path);
    kb_buf_free(&self);
    return chmod(path, 0700);
}

static int remove_folder(void **state) {
    (void)state;
    kb_temp_free(&temp);
    return 0;
}

static void the_copy_finds_what_lies_beside_it(void **state) {
    (void)state;
    char path[PATH_MAX];
    snprintf(path, sizeof path, "%s/test", temp.path);
    run(path, "plain");
    put("kernels/kb.cuh", "disk kb.cuh", 11);
    run(path, "checkout");
}

int main(int argc, char **argv) {
    const struct CMUnitTest here[] = {
        cmocka_unit_test(without_a_checkout_the_embedded_copy_is_used),
        cmocka_unit_test(no_path_leads_out_of_the_folders),
        cmocka_unit_test(threads_may_look_at_the_same_time),
        cmocka_unit_test_setup_teardown(the_copy_finds_what_lies_beside_it, copy_to_folder,
                                        remove_folder),
    };
    const struct CMUnitTest checkout[] = {
        cmocka_unit_test(a_checkout_on_disk_overrides_the_embedded_copy),
        cmocka_unit_test(no_path_leads_out_of_the_folders),
    };
    const struct CMUnitTest plain[] = {
        cmocka_unit_test(a_kernels_folder_that_is_no_checkout_is_not_used),
    };
    if (argc > 1 && kb_streq(argv[1], "checkout"))
        return cmocka_run_group_tests(checkout, NULL, NULL);
    if (argc > 1)
        return cmocka_run_group_tests(plain, NULL, NULL);
    return cmocka_run_group_tests(here, NULL, NULL);
}
