/* shared.h - what kbench writes for declarations that a C++ compiler does not know.
 *
 *     __shared__ T x[N];   ->  typedef T kbh_type_x[N]; KBH_SHARED(x, alignment)
 *     extern __shared__ T x[];  ->  typedef T kbh_type_x[]; KBH_DYNAMIC(x)
 *
 *     __launch_bounds__(N) k(...) {  ->  k(...) { KBH_BOUNDS(N)
 *
 * on the same line. The variables have thread storage duration, since a block runs on one OS
 * thread from end to end, and like __shared__ ones need no capture in a lambda. */
#ifndef KBH_SHARED_H
#define KBH_SHARED_H

#if defined(__SANITIZE_ADDRESS__)
#define KBH_BOXED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define KBH_BOXED 1
#endif
#endif
#if defined(__SANITIZE_THREAD__)
#define KBH_CONSTANT_DYNAMIC 1
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define KBH_CONSTANT_DYNAMIC 1
#endif
#endif

#ifdef KBH_BOXED
/* Between zones that ASan knows to be nobody's. */
#define KBH_SHARED(name, ...)                                                              \
    struct kbh_box_type_##name {                                                           \
        char before[64];                                                                   \
        __VA_ARGS__ kbh_type_##name value;                                                 \
        char after[64];                                                                    \
    };                                                                                     \
    static thread_local kbh_box_type_##name kbh_box_##name;                                \
    static thread_local kbh_type_##name &name = kbh_box_##name.value;                      \
    static __thread kbh_shared_site kbh_site_##name;                                       \
    kbh_shared_enter(&kbh_site_##name, (void *)&name, sizeof(name),                        \
                     (size_t)((char *)&name - (char *)&kbh_box_##name),                    \
                     (size_t)((char *)(&kbh_box_##name + 1) - (char *)(&name + 1)), #name);
#else
#define KBH_SHARED(name, ...)                                                              \
    __VA_ARGS__ static thread_local kbh_type_##name name;                                  \
    static __thread kbh_shared_site kbh_site_##name;                                       \
    if (kbh_site_##name.block != kbh_now.block)                                            \
        kbh_shared_enter(&kbh_site_##name, (void *)&name, sizeof(name), 0, 0, #name);
#endif

/* Outside of functions. */
#define KBH_SHARED_GLOBAL(name, ...)                                                       \
    __VA_ARGS__ static thread_local kbh_type_##name name;                                  \
    static kbh_shared_global kbh_global_##name([]() -> void * { return (void *)&name; },   \
                                               sizeof(name));

#define KBH_BOUNDS(...) kbh_bounds(__LINE__, __VA_ARGS__);

#ifdef KBH_CONSTANT_DYNAMIC
#define KBH_DYNAMIC(name)                                                                  \
    static kbh_type_##name &name = (kbh_type_##name &)kbh_dynamic_single;
#else
#define KBH_DYNAMIC(name)                                                                  \
    static thread_local kbh_type_##name &name = *(kbh_type_##name *)kbh_dynamic();
#endif

/* After `#pragma unroll`, which clang knows itself. */
#ifdef __clang__
#define KBH_UNROLL
#else
#define KBH_UNROLL _Pragma("GCC unroll 64")
#endif

#endif
