/* numbers_test.c - numbers as tables show them. */
#include "screen.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void times_have_three_digits(void **state) {
    (void)state;
    assert_string_equal(kb_cell_us(490).text, "0.490");
    assert_string_equal(kb_cell_us(1220.1).text, "1.22");
    assert_string_equal(kb_cell_us(24800).text, "24.8");
    assert_string_equal(kb_cell_us(142000).text, "142");
    assert_string_equal(kb_cell_us(12345678).text, "12346");
}

static void digits_are_counted_after_rounding(void **state) {
    (void)state;
    assert_string_equal(kb_cell_us(9996).text, "10.0");
    assert_string_equal(kb_cell_us(999.6).text, "1.00");
    assert_string_equal(kb_cell_ratio(99.96).text, "100");
    assert_string_equal(kb_cell_bytes(999.6).text, "1.0 kB");
    assert_string_equal(kb_cell_bytes(9960).text, "10 kB");
}

static void ratios_have_at_most_two_decimals(void **state) {
    (void)state;
    assert_string_equal(kb_cell_ratio(0).text, "0.00");
    assert_string_equal(kb_cell_ratio(0.0213).text, "0.02");
    assert_string_equal(kb_cell_ratio(3.123).text, "3.12");
    assert_string_equal(kb_cell_ratio(84.71).text, "84.7");
    assert_string_equal(kb_cell_ratio(948.4).text, "948");
    assert_string_equal(kb_cell_ratio(13190).text, "13190");
    assert_string_equal(kb_cell_ratio(1.5e7).text, "1.5e7");
}

static void what_is_not_known_is_a_dash_and_infinity_a_word(void **state) {
    (void)state;
    assert_string_equal(kb_cell_us(NAN).text, "-");
    assert_string_equal(kb_cell_percent(NAN).text, "-");
    assert_string_equal(kb_cell_waves(NAN).text, "-");
    assert_string_equal(kb_cell_spread(NAN).text, "-");
    assert_string_equal(kb_cell_bytes(NAN).text, "-");
    assert_string_equal(kb_cell_ms(NAN).text, "-");
    assert_string_equal(kb_cell_ratio(INFINITY).text, "inf");
    assert_string_equal(kb_cell_value(NAN).text, "nan");
}

static void rates_show_one_decimal_and_are_never_rounded_to_0(void **state) {
    (void)state;
    assert_string_equal(kb_cell_rate(0.34).text, "0.3");
    assert_string_equal(kb_cell_rate(8.61).text, "8.6");
    assert_string_equal(kb_cell_rate(17.13).text, "17.1");
    assert_string_equal(kb_cell_rate(3396.4).text, "3396");
    assert_string_equal(kb_cell_rate(0.012).text, "0.012");
}

static void units_follow_the_size(void **state) {
    (void)state;
    assert_string_equal(kb_cell_bytes(0).text, "0 B");
    assert_string_equal(kb_cell_bytes(5312).text, "5.3 kB");
    assert_string_equal(kb_cell_bytes(254976).text, "255 kB");
    assert_string_equal(kb_cell_bytes(62914560).text, "63 MB");
    assert_string_equal(kb_cell_ms(47.1).text, "47 ms");
    assert_string_equal(kb_cell_ms(880).text, "0.9 s");
    assert_string_equal(kb_cell_percent(0.974).text, "97 %");
    assert_string_equal(kb_cell_waves(0.015625).text, "0.0156");
    assert_string_equal(kb_cell_waves(12345.6).text, "12346");
    assert_string_equal(kb_cell_spread(0.0031).text, "0.3 %");
}

static void small_numbers_are_short(void **state) {
    (void)state;
    assert_string_equal(kb_cell_error(0.0164).text, "1.6e-2");
    assert_string_equal(kb_cell_error(0).text, "0");
    assert_string_equal(kb_cell_error(2.04).text, "2");
    assert_string_equal(kb_cell_number(0.01).text, "1e-2");
    assert_string_equal(kb_cell_number(0.0078125).text, "7.8125e-3");
    assert_string_equal(kb_cell_number(0.25).text, "0.25");
    assert_string_equal(kb_cell_number(0).text, "0");
    assert_string_equal(kb_cell_value(0.00104523).text, "0.00104523");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(times_have_three_digits),
        cmocka_unit_test(digits_are_counted_after_rounding),
        cmocka_unit_test(ratios_have_at_most_two_decimals),
        cmocka_unit_test(what_is_not_known_is_a_dash_and_infinity_a_word),
        cmocka_unit_test(rates_show_one_decimal_and_are_never_rounded_to_0),
        cmocka_unit_test(units_follow_the_size),
        cmocka_unit_test(small_numbers_are_short),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
