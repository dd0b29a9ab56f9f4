//! What libc's frames are called: glibc (2.31 to 2.41) and musl (1.1.24 to 1.2.5).

use super::super::{FrameEntry, identity::stable_name};

/// Whether a file of this name is libc or one of its parts, the dynamic loader included.
pub(super) fn is_libc_file(name: &str) -> bool {
    const STARTS: &[&str] = &[
        "libc.so",
        "libc-2.",
        "libc.musl-",
        "ld-musl-",
        "ld-linux",
        "ld-2.",
        "libpthread.so",
        "libpthread-2.",
        "librt.so",
    ];
    STARTS.iter().any(|start| name.starts_with(start)) || name == "ld.so"
}

/// Whether a name can only be libc's: C reserves names that begin with two underscores to the
/// implementation, POSIX the prefix `pthread_`.
pub(super) fn is_reserved_name(function: &str) -> bool {
    const STARTS: &[&str] = &[
        "pthread_",
        "__pthread_",
        "___pthread_",
        "__lll_",
        "__futex_",
        "__GI_",
        "__libc_",
        "__syscall",
        "__timedwait",
        "__nanosleep",
        "__clock_nanosleep",
        "__internal_",
        "__new_sem_",
        "__nptl_",
        "__gthread_",
        "__poll",
        "__select",
    ];
    const EXACT: &[&str] = &[
        "_start",
        "_start_c",
        "__clone",
        "__clone3",
        "__clone_internal",
        "__cp_end",
        "__cp_begin",
        "__wait",
        "__wait4",
        "__read",
        "__write",
        "__open64",
        "__recv",
        "__recvfrom",
        "__recvmsg",
        "__send",
        "__sendmsg",
        "__connect",
        "__accept4",
        "__epoll_wait",
        "__epoll_pwait",
        "__vfork",
        "__sleep",
        "__usleep",
        "__tl_lock",
        "__lock",
    ];
    let name = stable_name(function);
    !name.contains("::")
        && (STARTS.iter().any(|start| name.starts_with(start)) || EXACT.contains(&name))
}

/// Names that end a stack at its inner end in a static binary: what enters the kernel to wait.
pub(super) fn may_wait_inside(frame: &FrameEntry) -> bool {
    const NAMES: &[&str] = &[
        "accept",
        "accept4",
        "clock_nanosleep",
        "clone",
        "clone3",
        "cnd_timedwait",
        "cnd_wait",
        "connect",
        "do_futex_wait",
        "do_system",
        "epoll_pwait",
        "epoll_pwait2",
        "epoll_wait",
        "fcntl",
        "fdatasync",
        "fflush",
        "fgetc",
        "fgets",
        "flock",
        "fgets_unlocked",
        "fread_unlocked",
        "fwrite_unlocked",
        "locking_getc",
        "fprintf",
        "fputc",
        "fputs",
        "fread",
        "fsync",
        "futex_abstimed_wait",
        "futex_wait",
        "futex_wait_cancelable",
        "fwrite",
        "getc",
        "getchar",
        "getdelim",
        "getline",
        "getrandom",
        "io_getevents",
        "ioctl",
        "lll_mutex_lock_optimized",
        "lockf",
        "lockf64",
        "mq_receive",
        "mq_timedreceive",
        "msgrcv",
        "mtx_lock",
        "mtx_timedlock",
        "nanosleep",
        "new_do_write",
        "open",
        "open64",
        "openat",
        "pause",
        "poll",
        "ppoll",
        "pread",
        "pread64",
        "preadv",
        "printf",
        "pselect",
        "putc",
        "puts",
        "pwrite",
        "pwrite64",
        "sccp", // musl, src/thread/__syscall_cp.c
        "read",
        "readv",
        "recv",
        "recvfrom",
        "recvmmsg",
        "recvmsg",
        "select",
        "sem_clockwait",
        "sem_timedwait",
        "sem_wait",
        "semop",
        "send",
        "sendfile",
        "sendmsg",
        "sendto",
        "sigsuspend",
        "sigtimedwait",
        "sigwait",
        "sigwaitinfo",
        "sleep",
        "splice",
        "syscall",
        "system",
        "tcdrain",
        "thrd_join",
        "thrd_sleep",
        "usleep",
        "vfork",
        "vfprintf",
        "wait",
        "wait3",
        "wait4",
        "waitid",
        "waitpid",
        "write",
        "writev",
    ];
    let name = stable_name(&frame.function);
    // C reserves names with two underscores to libc; some programs use them all the same, so
    // that is believed only here.
    let reserved = (name.starts_with("__") || name.starts_with("_IO_")) && !name.contains("::");
    (reserved || NAMES.contains(&name)) && may_be_libc_source(frame)
}

/// Names that end a stack at its outer end in a static binary: what calls `main` and threads' start
/// routines.
pub(super) fn may_start_inside(frame: &FrameEntry) -> bool {
    const NAMES: &[&str] = &[
        "clone",
        "clone3",
        "libc_start_main_stage2",
        "start",
        "start_c11",
        "start_thread",
        "thread_start",
        "call_init",
        "execute_native_thread_routine",
    ];
    NAMES.contains(&stable_name(&frame.function)) && may_be_libc_source(frame)
}

/// Whether a frame's source path, if it has one, could be libc's own.
fn may_be_libc_source(frame: &FrameEntry) -> bool {
    // Folders of glibc's and musl's trees that hold functions which wait.
    const FOLDERS: &[&str] = &[
        "nptl/",
        "sysdeps/",
        "io/",
        "posix/",
        "socket/",
        "misc/",
        "libio/",
        "csu/",
        "rt/",
        "src/thread/",
        "src/unistd/",
        "src/network/",
        "src/select/",
        "src/time/",
        "src/process/",
        "src/stdio/",
    ];
    match &frame.file {
        None => true,
        Some(path) => {
            let path = path.trim_start_matches("../").trim_start_matches("./");
            FOLDERS.iter().any(|folder| path.starts_with(folder))
                || path.contains("/glibc")
                || path.contains("/musl")
        }
    }
}
