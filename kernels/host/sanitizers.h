/* sanitizers.h - the sanitizers' own interface, as weak symbols: the runner is compiled once
 * and linked with any of them or none. */
#ifndef KBH_SANITIZERS_H
#define KBH_SANITIZERS_H

#include <stddef.h>

#define KBH_WEAK extern "C" __attribute__((weak))
KBH_WEAK void __asan_poison_memory_region(const volatile void *at, size_t bytes);
KBH_WEAK void __asan_unpoison_memory_region(const volatile void *at, size_t bytes);
KBH_WEAK void *__asan_get_report_address(void);
KBH_WEAK void __sanitizer_start_switch_fiber(void **save, const void *bottom, size_t bytes);
KBH_WEAK void __sanitizer_finish_switch_fiber(void *saved, const void **bottom,
                                              size_t *bytes);
KBH_WEAK void __sanitizer_set_death_callback(void (*callback)(void));
KBH_WEAK void *__tsan_get_current_fiber(void);
KBH_WEAK void *__tsan_create_fiber(unsigned flags);
KBH_WEAK void __tsan_destroy_fiber(void *fiber);
KBH_WEAK void __tsan_switch_to_fiber(void *fiber, unsigned flags);
KBH_WEAK void __tsan_acquire(void *at);
KBH_WEAK void __tsan_release(void *at);
#undef KBH_WEAK

enum { KBH_TSAN_NO_SYNC = 1 }; /* __tsan_switch_to_fiber: orders nothing by itself */

static inline bool kbh_asan(void) {
    return __asan_poison_memory_region != nullptr;
}

static inline bool kbh_tsan(void) {
    return __tsan_create_fiber != nullptr;
}

#endif
