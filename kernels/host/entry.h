/* entry.h - the table of a file's kernels, after the file itself. */
#ifndef KBH_ENTRY_H
#define KBH_ENTRY_H

template <class T> struct kbh_plain {
    typedef T type;
};
template <class T> struct kbh_plain<const T> {
    typedef T type;
};
template <class T> struct kbh_is_pointer {
    static constexpr bool value = false;
};
template <class T> struct kbh_is_pointer<T *> {
    static constexpr bool value = true;
};
template <class T> struct kbh_is_pointer<T *const> {
    static constexpr bool value = true;
};

template <int... I> struct kbh_indices {};
template <int N, int... I> struct kbh_count : kbh_count<N - 1, N - 1, I...> {};
template <int... I> struct kbh_count<0, I...> {
    typedef kbh_indices<I...> type;
};

template <auto kernel> struct kbh_thunk;
template <class... A, void (*kernel)(A...)> struct kbh_thunk<kernel> {
    static constexpr int n_params = sizeof...(A);
    static constexpr kbh_param params[sizeof...(A) + 1] = {
        {sizeof(A), kbh_is_pointer<A>::value}..., {0, false}};
    /* What is checked for alignment there is our own, and most of all that is checked. */
    template <int... I>
    __attribute__((no_sanitize("alignment"))) static void spread(void *const *args,
                                                                 kbh_indices<I...>) {
        kernel(*(typename kbh_plain<A>::type *)args[I]...);
    }
    static void call(void *const *args) {
        spread(args, typename kbh_count<n_params>::type());
    }
};

template <auto kernel> constexpr kbh_entry kbh_make_entry(const char *name) {
    return {name, kbh_thunk<kernel>::n_params, kbh_thunk<kernel>::params,
            kbh_thunk<kernel>::call};
}

#ifdef KBH_ALIGNMENT
/* Called by what -fsanitize=alignment makes of an access. */
extern "C" [[noreturn]] void __ubsan_handle_type_mismatch_v1_abort(void *data,
                                                                   uintptr_t address) {
    kbh_misaligned(data, address);
}
#endif

#endif
