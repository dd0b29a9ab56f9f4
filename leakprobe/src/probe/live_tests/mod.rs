//! Both rungs against threads whose state is known. The first needs root and a kernel with
//! iterators: without root these tests say that they skip it; with root, a kernel that publishes
//! BTF and still refuses the iterator is a failure.

mod freezer;
mod threads;

use std::{
    sync::atomic::Ordering,
    time::{Duration, Instant},
};

use super::{
    ProcTasks, Source, Task, TaskPass, TaskSince, TaskState, Watch, monotonic_now, offsets,
};

use threads::{Does, Threads};

/// How far an age may be off.
const TOLERANCE: u64 = 5_000_000;

/// The iterator; `None`, with a word, where it cannot be expected.
fn iterator() -> Option<Source> {
    let (source, notes) = Source::best(false);
    if matches!(source, Source::Iter(_)) {
        return Some(source);
    }
    // SAFETY: geteuid has no preconditions.
    let root = unsafe { libc::geteuid() } == 0;
    assert!(
        !root || offsets::read_vmlinux().is_err(),
        "root, and a kernel with BTF, but: {notes:?}"
    );
    eprintln!("skipped: the task iterator is not to be had here: {notes:?}");
    None
}

fn rungs() -> Vec<Source> {
    (iterator().into_iter()).chain([Source::Proc(ProcTasks::new())]).collect()
}

/// Whether a thread is in the system call that it is meant to block in.
fn is_inside(task: Option<&Task>, does: Does) -> bool {
    let syscall = task.and_then(|task| task.registers).and_then(|registers| registers.syscall);
    let wanted = match does {
        Does::Futex(_) => libc::SYS_futex,
        Does::Sleep => libc::SYS_clock_nanosleep,
        Does::Read => libc::SYS_read,
        Does::Spin => return true,
    };
    syscall == Some(wanted as u64)
}

fn find(pass: &TaskPass, tid: u32) -> Option<&Task> {
    pass.tasks.iter().find(|task| task.tid == tid)
}

/// Tries until it gives something.
fn until<T>(mut attempt: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        if let Some(found) = attempt() {
            return found;
        }
        assert!(Instant::now() < deadline, "the awaited state did not come");
        std::thread::yield_now();
    }
}

#[test]
fn known_threads_are_seen() {
    // Check identity, state, registers and system call of threads that sleep, wait on a futex,
    // read a pipe and run, on both rungs.
    let threads = Threads::start(4);
    for mut source in rungs() {
        let pass = threads.settle(&mut source);
        let own = std::process::id();
        for &(tid, does) in &threads.tids {
            let task = find(&pass, tid).unwrap();
            let context = format!("{} {does:?}: {task:?}", source.name());
            assert_eq!((task.pid, task.ppid), (own, std::os::unix::process::parent_id()));
            assert!(!task.kernel_thread && !task.compat, "{context}");
            assert!(task.start_boottime_ns >= task.leader_start_boottime_ns, "{context}");
            assert!(task.seen >= pass.began && task.seen <= pass.ended, "{context}");
            let args = task.registers.map(|registers| registers.args);
            match does {
                Does::Futex(_) => {
                    assert_eq!(task.name, "lp ) futex\n", "{context}");
                    assert_eq!(args.unwrap()[0], threads.word.as_ptr() as u64, "{context}");
                    assert_eq!(args.unwrap()[2], 1, "{context}");
                }
                Does::Read => assert_eq!(args.unwrap()[2], 1, "{context}"),
                Does::Sleep | Does::Spin => {}
            }
            let is_iterator = matches!(source, Source::Iter(_));
            let blocked = does != Does::Spin;
            if is_iterator && blocked {
                assert!(!task.kernel_stack.is_empty(), "{context}");
                assert!(task.registers.unwrap().all.is_some(), "{context}");
            }
        }
    }
}

#[test]
fn rungs_agree() {
    // Check that whatever /proc knows of a blocked thread the iterator says too.
    let Some(mut iterator) = iterator() else {
        return;
    };
    let threads = Threads::start(2);
    let mut proc = Source::Proc(ProcTasks::new());
    let (a, b) = (threads.settle(&mut iterator), threads.settle(&mut proc));
    for &(tid, does) in threads.tids.iter().filter(|(_, does)| *does != Does::Spin) {
        let (a, b) = (find(&a, tid).unwrap(), find(&b, tid).unwrap());
        let context = format!("{does:?}: {a:?} {b:?}");
        assert_eq!((a.ns_pid, a.ns_tid, a.pid_ns), (b.ns_pid, b.ns_tid, b.pid_ns), "{context}");
        assert_eq!((&a.name, a.flags, a.state), (&b.name, b.flags, b.state), "{context}");
        if b.cgroup_id.is_some() {
            assert_eq!(a.cgroup_id, b.cgroup_id, "{context}");
        }
        let (ra, rb) = (a.registers.unwrap(), b.registers.unwrap());
        assert_eq!((ra.ip, ra.sp, ra.syscall, ra.args), (rb.ip, rb.sp, rb.syscall, rb.args));
        let tick = 10_000_000;
        assert!(a.start_boottime_ns.abs_diff(b.start_boottime_ns) <= tick, "{context}");
    }
}

#[test]
fn ages_are_true() {
    // Check that the accounted begin of a wait is the true one: never before the thread was about
    // to wait, and of many threads at least one so close that nothing can have come between.
    let Some(mut source) = iterator() else { return };
    let threads = Threads::start(8);
    let pass = threads.settle(&mut source);
    assert!(pass.calibrated);
    let mut closest = u64::MAX;
    for &(tid, does) in &threads.tids {
        let task = find(&pass, tid).unwrap();
        match (does, task.since) {
            (Does::Futex(index), TaskSince::Accounting { earliest, latest }) => {
                let truth = threads.began[index].load(Ordering::Acquire);
                let context = format!("{earliest:?} to {latest:?}, true {truth}");
                assert!(latest.0 + 1_000_000 >= truth, "too early: {context}");
                assert!(earliest.0 + TOLERANCE >= truth, "too early: {context}");
                assert!(latest <= task.seen, "{context}");
                closest = closest.min(earliest.0.abs_diff(truth));
            }
            (Does::Spin, TaskSince::Unknown { .. }) => {}
            (Does::Sleep | Does::Read, TaskSince::Accounting { .. }) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(closest < TOLERANCE, "the closest age is {closest} ns off");
}

#[test]
fn a_stay_ends_with_a_run() {
    // Check that a thread that stays blocked keeps its token, and one that was woken and blocks
    // again has another one, on both rungs.
    for mut source in rungs() {
        let threads = Threads::start(1);
        let first = threads.settle(&mut source);
        let second = threads.settle(&mut source);
        for &(tid, does) in &threads.tids {
            let (before, after) = (find(&first, tid).unwrap(), find(&second, tid).unwrap());
            let stayed = before.same_wait(after);
            assert_eq!(stayed, does != Does::Spin, "{} {does:?}", source.name());
        }
        let &(tid, _) =
            (threads.tids.iter()).find(|(_, does)| matches!(does, Does::Futex(_))).unwrap();
        // SAFETY: the word is valid for the call. The waiter finds its value and waits again.
        unsafe { libc::syscall(libc::SYS_futex, threads.word.as_ptr(), libc::FUTEX_WAKE, 1) };
        until(|| {
            let third = threads.settle(&mut source);
            let (before, after) = (find(&second, tid)?, find(&third, tid)?);
            (before.stay_token != after.stay_token && !before.same_wait(after)).then_some(())
        });
    }
}

#[test]
fn shared_memory_is_seen() {
    // Check that a process that shares the memory of a watched one without being its thread is in
    // every pass but the first.
    let Some(mut source) = iterator() else { return };
    extern "C" fn wait_for_a_signal(_: *mut libc::c_void) -> libc::c_int {
        // SAFETY: touches no memory that it shares with this process.
        unsafe { libc::pause() }
    }
    let mut stack = vec![0u8; 64 << 10];
    // SAFETY: the stack outlives the child, which is reaped below; the child only makes a system
    // call.
    let child = unsafe {
        libc::clone(
            wait_for_a_signal,
            stack.as_mut_ptr().add(stack.len()).map_addr(|address| address & !15).cast(),
            libc::CLONE_VM | libc::SIGCHLD,
            std::ptr::null_mut(),
        )
    };
    assert!(child > 0);
    let own = std::process::id();
    let watch = Watch { pids: Some(vec![own]), kernel_stacks: false };
    let pass = source.read(&watch).and_then(|_| source.read(&watch));
    // SAFETY: the child of above, reaped here and nowhere else.
    unsafe {
        libc::kill(child, libc::SIGKILL);
        libc::waitpid(child, std::ptr::null_mut(), 0);
    }
    let pass = pass.unwrap();
    let memory = find(&pass, own).unwrap().mm;
    let shares = find(&pass, child as u32).expect("the child is in the pass");
    assert_eq!((shares.pid, shares.ppid), (child as u32, own));
    assert!(memory.is_some() && shares.mm == memory);
}

#[test]
fn filters_hold() {
    // Check that a pass over one process has its threads only, a pass over none has none, and a
    // pass over the machine has kernel threads and this process, on both rungs.
    for mut source in rungs() {
        let own = std::process::id();
        let mut read = |pids: Option<Vec<u32>>| {
            let watch = Watch { pids, kernel_stacks: false };
            source.read(&watch).unwrap().tasks
        };
        let mine = read(Some(vec![own]));
        assert!(mine.iter().any(|task| task.tid == own));
        // A test of its own lets another process share this one's memory.
        assert!(mine.iter().all(|task| task.pid == own || task.ppid == own));
        assert!(read(Some(vec![])).is_empty());
        assert!(read(Some(vec![u32::MAX])).is_empty());
        let all = read(None);
        assert!(all.iter().any(|task| task.pid == own));
        assert!(all.len() > mine.len());
    }
}
