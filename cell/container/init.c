/* init.c - pid 1 of every container: /dev/.berth-init PROGRAM ARGV0 [ARG ...]
 *
 * Starts the program as its child, hands it the signals it gets, reaps orphans, and ends with the
 * program's status (128+N when signal N killed it). As pid 1 itself a program without handlers
 * would never see SIGTERM (the kernel drops unhandled signals for a namespace's init) and would
 * have to reap what it never started. Without arguments it ends with 0: the runtime's trial.
 *
 * Stands alone: no C library, no memory but its stack, so that it costs a container a few pages. */
#include <asm/unistd.h>
#include <stddef.h>
#include <stdint.h>

enum {
    SIGNAL_MAX = 64,
    SIG_KILL = 9,
    SIG_CHLD = 17,
    SIG_CONT = 18,
    SIG_STOP = 19,
    EXIT_CANNOT_RUN = 1, /* as Cloud Foundry's launcher ends */
    CLONE_VFORK_VM = 0x4100,
    WAIT_ANY = -1,
    WAIT_NOHANG = 1,
};

#if defined __x86_64__
static long call(long n, long a, long b, long c, long d) {
    register long r10 __asm__("r10") = d;
    long r;
    __asm__ volatile("syscall"
                     : "=a"(r)
                     : "a"(n), "D"(a), "S"(b), "d"(c), "r"(r10)
                     : "rcx", "r11", "memory");
    return r;
}
/* The kernel enters here with argc at the stack pointer. */
__asm__(
    ".globl _start\n_start:\n xor %ebp, %ebp\n mov %rsp, %rdi\n and $-16, %rsp\n call main_of\n");
#elif defined __aarch64__
static long call(long n, long a, long b, long c, long d) {
    register long x8 __asm__("x8") = n;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = d;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3) : "memory");
    return x0;
}
__asm__(".globl _start\n_start:\n mov x29, #0\n mov x0, sp\n bl main_of\n");
#else
#error "say how this machine makes a system call"
#endif

__attribute__((noreturn)) static void leave(long status) {
    for (;;)
        call(__NR_exit_group, status, 0, 0, 0);
}

static void say(const char *text) {
    size_t n = 0;
    while (text[n])
        n++;
    call(__NR_write, 2, (long)text, (long)n, 0);
}

static const char *reason(long error) {
    switch (-error) {
    case 2:
        return "no such file or directory";
    case 7:
        return "argument list too long";
    case 8:
        return "exec format error";
    case 12:
        return "out of memory";
    case 13:
        return "permission denied";
    case 20:
        return "not a directory";
    case 40:
        return "too many levels of symbolic links";
    default:
        return "cannot be executed";
    }
}

static int status_of(int wait_status) {
    int signal = wait_status & 0x7f;
    return signal ? 128 + signal : (wait_status >> 8) & 0xff;
}

/* Reaps all that ended; ends with the program when it is among them. */
static void reap(long program) {
    int status;
    for (long pid; (pid = call(__NR_wait4, WAIT_ANY, (long)&status, WAIT_NOHANG, 0)) > 0;)
        if (pid == program)
            leave(status_of(status));
}

__attribute__((noreturn, used)) void main_of(long *stack);
__attribute__((noreturn, used)) void main_of(long *stack) {
    long argc = stack[0];
    char **argv = (char **)(stack + 1), **envp = argv + argc + 1;
    if (argc < 3)
        leave(0);

    uint64_t all = ~(uint64_t)0, before = 0;
    call(__NR_rt_sigprocmask, 0 /* SIG_BLOCK */, (long)&all, (long)&before, sizeof all);
    /* Shares our memory and stops us until it has called execve: no copy, and it returns into no
     * frame of ours. The mask in `before` is the runtime's: nothing blocked. */
    long program = call(__NR_clone, CLONE_VFORK_VM | SIG_CHLD, 0, 0, 0);
    if (program == 0) {
        call(__NR_rt_sigprocmask, 2 /* SIG_SETMASK */, (long)&before, 0, sizeof before);
        long error = call(__NR_execve, (long)argv[1], (long)(argv + 2), (long)envp, 0);
        say("Failed to run: ");
        say(argv[1]);
        say(": ");
        say(reason(error));
        say("\n");
        leave(EXIT_CANNOT_RUN);
    }
    if (program < 0) {
        say("Failed to run: cannot make a process\n");
        leave(EXIT_CANNOT_RUN);
    }
    for (;;) {
        long signal = call(__NR_rt_sigtimedwait, (long)&all, 0, 0, sizeof all);
        if (signal == SIG_CHLD)
            reap(program);
        else if (signal > 0 && signal <= SIGNAL_MAX && signal != SIG_CONT)
            call(__NR_kill, program, signal, 0, 0);
    }
}
