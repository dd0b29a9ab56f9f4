use super::*;

/// A frame from `function`, `function@module`, with `|file:line` behind where there is one.
fn frame(text: &str) -> FrameEntry {
    let (head, source) = text.split_once('|').map_or((text, None), |(h, s)| (h, Some(s)));
    let (function, module) = head.split_once('@').unwrap_or((head, "/srv/app"));
    FrameEntry {
        function: function.to_owned(),
        module: (!function.starts_with("<stack")).then(|| module.to_owned()),
        file: source.and_then(|s| s.split_once(':')).map(|(f, _)| f.to_owned()),
        line: source.and_then(|s| s.split_once(':')).and_then(|(_, l)| l.parse().ok()),
        inlined: false,
    }
}

fn check(stack: &[&str], innermost_is: Option<&str>, outermost_is: Option<&str>) {
    let frames: Vec<FrameEntry> = stack.iter().copied().map(frame).collect();
    let name = |index: Option<usize>| index.map(|i| frames[i].function.clone());
    assert_eq!(name(innermost(&frames)).as_deref(), innermost_is, "{stack:?}");
    assert_eq!(name(outermost(&frames)).as_deref(), outermost_is, "{stack:?}");
}

#[test]
fn glibc_in_its_own_file() {
    // Check that in a dynamic program libc's frames are told by their file, and the program's
    // functions stay its own even where they are called as libc's are.
    check(
        &[
            "__futex_abstimed_wait_common@/lib/x86_64-linux-gnu/libc.so.6",
            "pthread_cond_wait@@GLIBC_2.3.2@/lib/libc.so.6",
            "consume|waits.c:42",
            "start|waits.c:60",
            "start_thread@/lib/libc.so.6",
            "clone3@/lib/libc.so.6",
        ],
        Some("consume"),
        Some("start"),
    );
    check(
        &["libc.so.6+0x1234@/lib/libc.so.6", "read", "main", "_start"],
        Some("read"),
        Some("main"),
    );
}

#[test]
fn static_glibc_and_musl() {
    // Check that in a static binary libc's names are believed at both ends of the stack and only
    // there, and that a source path of the program's own overrules the name.
    check(
        &[
            "__futex_abstimed_wait_common64",
            "__futex_abstimed_wait_common",
            "___pthread_cond_wait",
            "consume",
            "read",
            "worker",
            "start_thread",
            "clone3",
        ],
        Some("consume"),
        Some("worker"),
    );
    check(
        &["__syscall_cp_c", "__timedwait_cp", "pthread_cond_timedwait", "run", "start", "__clone"],
        Some("run"),
        Some("run"),
    );
    check(
        &["__cp_end", "__syscall_cp_c", "read", "take", "main", "libc_start_main_stage2", "_start"],
        Some("take"),
        Some("main"),
    );
    check(&["sccp", "read", "take", "main", "_start"], Some("take"), Some("main"));
    check(&["read|server.c:3", "main|server.c:9", "_start"], Some("read"), Some("main"));
    check(
        &["read|../sysdeps/unix/sysv/linux/read.c:26", "take|server.c:9", "main|server.c:12"],
        Some("take"),
        Some("main"),
    );
    check(&["read|src/unistd/read.c:6", "take|src/server.c:9"], Some("take"), Some("take"));
}

#[test]
fn stacks_of_static_glibc() {
    // Check the stacks of a static program that waits in every way that glibc 2.36 knows.
    for names in [
        "__clock_nanosleep __nanosleep __sleep",
        "__clock_nanosleep __nanosleep usleep",
        "__clock_nanosleep",
        "__lll_lock_wait __pthread_mutex_lock",
        "__lll_lock_wait __pthread_mutex_lock __mtx_lock",
        "__futex_abstimed_wait_common __pthread_mutex_clocklock_common",
        "__futex_abstimed_wait_common ___pthread_cond_wait",
        "__futex_abstimed_wait_common __pthread_cond_timedwait",
        "__futex_abstimed_wait_common ___pthread_rwlock_wrlock",
        "__futex_abstimed_wait_common __new_sem_wait_slow64.constprop.0",
        "__futex_abstimed_wait_common __pthread_clockjoin_ex",
        "___pthread_barrier_wait",
        "__libc_read",
        "__poll",
        "__ppoll",
        "__select",
        "epoll_wait",
        "__libc_pause",
        "__libc_accept",
        "__libc_recvmsg",
        "__sigtimedwait __libc_sigwait",
        "__flock",
        "__wait4",
        "__wait4 do_system",
        "__libc_read _IO_new_file_underflow _IO_default_uflow _IO_getline_info _IO_fgets",
        "__libc_read _IO_new_file_underflow _IO_file_xsgetn _IO_fread",
        "__libc_write _IO_new_file_write new_do_write _IO_new_file_xsputn _IO_fwrite",
    ] {
        let inner = names.split(' ');
        let thread: Vec<&str> = inner.clone().chain(["own", "start_thread", "__clone3"]).collect();
        check(&thread, Some("own"), Some("own"));
        let end = ["main", "__libc_start_call_main", "__libc_start_main_impl", "_start"];
        let main: Vec<&str> = inner.chain(["own"]).chain(end).collect();
        check(&main, Some("own"), Some("main"));
    }
    check(
        &["__flock|../sysdeps/unix/syscall-template.S:120", "__own|server.c:3", "main|server.c:9"],
        Some("__own"),
        Some("main"),
    );
}

#[test]
fn rust() {
    // Check that std, core, alloc and the crates whose business is waiting are library, wherever
    // the type or the trait stands, and that the program's own impls are not.
    check(
        &[
            "syscall@/lib/libc.so.6",
            "std::sys::pal::unix::futex::futex_wait",
            "<std::sync::mutex::Mutex<T>>::lock",
            "parking_lot::raw_mutex::RawMutex::lock_slow",
            "crossbeam_channel::flavors::array::Channel<T>::recv",
            "server::pool::Pool::take",
            "server::main::{{closure}}",
            "std::sys::backtrace::__rust_begin_short_backtrace",
            "<alloc::boxed::Box<F,A> as core::ops::function::FnOnce<Args>>::call_once",
            "start_thread@/lib/libc.so.6",
        ],
        Some("server::pool::Pool::take"),
        Some("server::main::{{closure}}"),
    );
    check(
        &["<server::Job as core::ops::FnOnce<()>>::call_once"],
        Some("<server::Job as core::ops::FnOnce<()>>::call_once"),
        Some("<server::Job as core::ops::FnOnce<()>>::call_once"),
    );
    check(
        &["<F as core::ops::function::FnOnce<A>>::call_once", "app::go"],
        Some("app::go"),
        Some("app::go"),
    );
    check(
        &["<&mut dyn std::io::Read as std::io::Read>::read", "app::go"],
        Some("app::go"),
        Some("app::go"),
    );
    check(
        &["wait|/rustc/abc/library/std/src/thread/mod.rs:9", "app::go"],
        Some("app::go"),
        Some("app::go"),
    );
    check(
        &["tokio_postgres::connect"],
        Some("tokio_postgres::connect"),
        Some("tokio_postgres::connect"),
    );
}

#[test]
fn a_rust_programs_main() {
    // Check that the `main` that the compiler makes is not taken for the program's.
    check(
        &[
            "read@/lib/libc.so.6",
            "server::main",
            "core::ops::function::FnOnce::call_once",
            "std[4d9ac7bc]::sys::backtrace::__rust_begin_short_backtrace",
            "std::rt::lang_start_internal",
            "std::rt::lang_start",
            "main",
            "__libc_start_call_main@/lib/libc.so.6",
            "_start",
        ],
        Some("server::main"),
        Some("server::main"),
    );
    check(&["std[4d9ac7bc]::rt::f", "a::b"], Some("a::b"), Some("a::b"));
}

#[test]
fn cpp() {
    // Check that C++'s library is told in executables too, where its templates live, with and
    // without a return type in front.
    check(
        &[
            "std::condition_variable::wait(std::unique_lock<std::mutex>&)@/usr/lib/libstdc++.so.6",
            "std::condition_variable::wait<Queue::take()::{lambda()#1}>(std::unique_lock<std::mutex>&)",
            "Queue::take()",
            "(anonymous namespace)::run(int)",
            "void std::__invoke_impl<void, void (*)()>(std::__invoke_other, void (*&&)())",
            "std::thread::_State_impl<std::thread::_Invoker<std::tuple<void (*)()> > >::_M_run()",
            "execute_native_thread_routine@/usr/lib/libstdc++.so.6",
            "start_thread@/lib/libc.so.6",
        ],
        Some("Queue::take()"),
        Some("(anonymous namespace)::run(int)"),
    );
    check(
        &[
            "pthread_rwlock_rdlock@/lib/libc.so.6",
            "__glibcxx_rwlock_rdlock|/usr/include/c++/12/shared_mutex:78",
            "read_shared|cc.cpp:17",
        ],
        Some("read_shared"),
        Some("read_shared"),
    );
    check(
        &["std::vector<int> app::read_all(int)"],
        Some("std::vector<int> app::read_all(int)"),
        Some("std::vector<int> app::read_all(int)"),
    );
}

#[test]
fn go() {
    // Check that Go's standard library is library and modules are not, whatever they are called.
    check(
        &[
            "runtime.gopark",
            "sync.(*Mutex).Lock",
            "internal/poll.(*FD).Read",
            "net/http.(*Server).Serve",
            "main.(*Pool).run",
            "runtime.goexit",
        ],
        Some("main.(*Pool).run"),
        Some("main.(*Pool).run"),
    );
    check(
        &[
            "runtime.futex.abi0",
            "runtime.mstart.abi0",
            "runtime/cgo(.text)",
            "threadentry",
            "start_thread@/lib/libc.so.6",
        ],
        None,
        None,
    );
    check(
        &["read@/lib/libc.so.6", "threadentry", "start_thread@/lib/libc.so.6"],
        Some("threadentry"),
        Some("threadentry"),
    );
    check(
        &["runtime.gopark", "github.com/x/y.Z", "timed/out.F"],
        Some("github.com/x/y.Z"),
        Some("timed/out.F"),
    );
}

#[test]
fn a_place_without_a_name() {
    // Check that a stripped program's place also says the nearest named caller, as nginx's has one,
    // and never one beyond the program's own frames.
    let said = |stack: &[&str]| {
        let frames: Vec<FrameEntry> = stack.iter().copied().map(frame).collect();
        label_in(&frames, &frames[innermost(&frames).expect("a place")])
    };
    let libc = "epoll_wait@/lib/libc.so.6";
    assert_eq!(
        said(&[libc, "app+0x54173", "ngx_process_events_and_timers", "main"]),
        "app+0x54173 ← ngx_process_events_and_timers"
    );
    assert_eq!(said(&[libc, "app+0x1", "app+0x2", "run|app.c:3"]), "app+0x1 ← run (app.c:3)");
    assert_eq!(said(&[libc, "take", "main"]), "take");
    assert_eq!(said(&[libc, "app+0x1", "start_thread@/lib/libc.so.6"]), "app+0x1");
    assert_eq!(said(&["app+0x1"]), "app+0x1");
}

#[test]
fn what_is_not_there() {
    // Check that a stack without a frame of the program's own has no place, that one that was cut
    // has no beginning, and that unnamed frames of the program count.
    check(&[], None, None);
    check(&["<stack unreadable>"], None, None);
    check(&["read@/lib/libc.so.6", "take", "<stack unreadable>"], Some("take"), None);
    check(
        &["read@/lib/libc.so.6", "app+0x1234", "start_thread@/lib/libc.so.6"],
        Some("app+0x1234"),
        Some("app+0x1234"),
    );
    check(&["futex_wait@[kernel]", "__vdso_gettimeofday@[vdso]"], None, None);
}

proptest::proptest! {
    #[test]
    fn hostile_names_are_harmless(names in proptest::collection::vec("[\\PC<>:&. a]{0,40}", 0..8)) {
        // Check that no name whatever makes the search panic.
        let frames: Vec<FrameEntry> = names.iter().map(|n| frame(n)).collect();
        let _ = (innermost(&frames), outermost(&frames));
    }
}
