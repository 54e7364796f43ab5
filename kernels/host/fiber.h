/* fiber.h - stacks and the switch between them.
 *
 * The switch saves what the calling convention asks a callee to save and nothing else: no
 * system call, unlike swapcontext, which asks the kernel for the signal mask each time. */
#ifndef KBH_FIBER_H
#define KBH_FIBER_H

#include "sanitizers.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

enum { KBH_STACK_BYTES = 256 << 10, KBH_GUARD_BYTES = 4 << 10, KBH_STACKS_AT_ONCE = 32 };

#if !defined(__x86_64__) && !defined(__aarch64__) && !defined(KBH_UCONTEXT)
#define KBH_UCONTEXT 1
#endif
#ifdef KBH_UCONTEXT
#include <ucontext.h>
#endif

struct kbh_fiber {
    void *sp;
    char *stack; /* lowest usable byte */
    size_t stack_bytes;
    void *fake_stack; /* ASan's */
    kbh_fiber *next;  /* in a list of free ones */
#ifdef KBH_UCONTEXT
    ucontext_t context;
#endif
};

#if defined(KBH_UCONTEXT)
#elif defined(__x86_64__)
asm(".text\n"
    ".globl kbh_switch_stack\n"
    ".type kbh_switch_stack, @function\n"
    "kbh_switch_stack:\n"
    "    pushq %rbp\n"
    "    pushq %rbx\n"
    "    pushq %r12\n"
    "    pushq %r13\n"
    "    pushq %r14\n"
    "    pushq %r15\n"
    "    movq %rsp, (%rdi)\n"
    "    movq %rsi, %rsp\n"
    "    popq %r15\n"
    "    popq %r14\n"
    "    popq %r13\n"
    "    popq %r12\n"
    "    popq %rbx\n"
    "    popq %rbp\n"
    "    ret\n"
    ".size kbh_switch_stack, .-kbh_switch_stack\n");
/* entry, and a return address of 0 where an unwinder stops */
enum { KBH_FRAME_WORDS = 8, KBH_ENTRY_WORD = 6 };
#elif defined(__aarch64__)
asm(".text\n"
    ".globl kbh_switch_stack\n"
    ".type kbh_switch_stack, %function\n"
    "kbh_switch_stack:\n"
    "    sub sp, sp, #160\n"
    "    stp x19, x20, [sp, #0]\n"
    "    stp x21, x22, [sp, #16]\n"
    "    stp x23, x24, [sp, #32]\n"
    "    stp x25, x26, [sp, #48]\n"
    "    stp x27, x28, [sp, #64]\n"
    "    stp x29, x30, [sp, #80]\n"
    "    stp d8, d9, [sp, #96]\n"
    "    stp d10, d11, [sp, #112]\n"
    "    stp d12, d13, [sp, #128]\n"
    "    stp d14, d15, [sp, #144]\n"
    "    mov x9, sp\n"
    "    str x9, [x0]\n"
    "    mov sp, x1\n"
    "    ldp x19, x20, [sp, #0]\n"
    "    ldp x21, x22, [sp, #16]\n"
    "    ldp x23, x24, [sp, #32]\n"
    "    ldp x25, x26, [sp, #48]\n"
    "    ldp x27, x28, [sp, #64]\n"
    "    ldp x29, x30, [sp, #80]\n"
    "    ldp d8, d9, [sp, #96]\n"
    "    ldp d10, d11, [sp, #112]\n"
    "    ldp d12, d13, [sp, #128]\n"
    "    ldp d14, d15, [sp, #144]\n"
    "    add sp, sp, #160\n"
    "    ret\n"
    ".size kbh_switch_stack, .-kbh_switch_stack\n");
enum { KBH_FRAME_WORDS = 20, KBH_ENTRY_WORD = 11 };
#endif

#ifndef KBH_UCONTEXT
extern "C" void kbh_switch_stack(void **save, void *load);
#endif

/* Where a fiber begins; never returns. */
static void kbh_fiber_main(void);

static inline void kbh_fiber_prepare(kbh_fiber *f, unsigned number) {
#ifdef KBH_UCONTEXT
    (void)number;
    getcontext(&f->context);
    f->context.uc_stack.ss_sp = f->stack;
    f->context.uc_stack.ss_size = f->stack_bytes;
    f->context.uc_link = NULL;
    makecontext(&f->context, kbh_fiber_main, 0);
#else
    /* Stacks lie whole pages apart: without a stagger all their tops fall into one cache
     * set. */
    size_t stagger = (size_t)(number * 13 & 31) * 128;
    uintptr_t top = ((uintptr_t)f->stack + f->stack_bytes - stagger) & ~(uintptr_t)63;
    void **frame = (void **)top - KBH_FRAME_WORDS;
    memset(frame, 0, KBH_FRAME_WORDS * sizeof *frame);
    frame[KBH_ENTRY_WORD] = (void *)kbh_fiber_main;
    f->sp = frame;
#endif
}

/* `from` resumes when somebody jumps to it. */
static inline void kbh_fiber_jump(kbh_fiber *from, kbh_fiber *to) {
    if (__sanitizer_start_switch_fiber)
        __sanitizer_start_switch_fiber(&from->fake_stack, to->stack, to->stack_bytes);
#ifdef KBH_UCONTEXT
    swapcontext(&from->context, &to->context);
#else
    kbh_switch_stack(&from->sp, to->sp);
#endif
    if (__sanitizer_finish_switch_fiber)
        __sanitizer_finish_switch_fiber(from->fake_stack, NULL, NULL);
}

/* KBH_STACKS_AT_ONCE more, to be prepared, each with a guard page below its stack; NULL when
 * there is no memory. */
static inline kbh_fiber *kbh_fibers_make(void) {
    size_t pitch = KBH_GUARD_BYTES + KBH_STACK_BYTES;
    kbh_fiber *fibers = (kbh_fiber *)calloc(KBH_STACKS_AT_ONCE, sizeof *fibers);
    char *memory =
        (char *)mmap(NULL, pitch * KBH_STACKS_AT_ONCE, PROT_READ | PROT_WRITE,
                     MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | MAP_STACK, -1, 0);
    if (!fibers || memory == MAP_FAILED)
        return NULL;
    for (unsigned i = 0; i < KBH_STACKS_AT_ONCE; i++) {
        if (mprotect(memory + i * pitch, KBH_GUARD_BYTES, PROT_NONE))
            return NULL;
        fibers[i].stack = memory + i * pitch + KBH_GUARD_BYTES;
        fibers[i].stack_bytes = KBH_STACK_BYTES;
    }
    return fibers;
}

#endif
