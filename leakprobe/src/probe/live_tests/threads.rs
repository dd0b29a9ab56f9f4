//! Threads whose state is known.

use std::{
    fs::File,
    os::fd::OwnedFd,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::{Duration, Instant},
};

use super::{Source, TaskPass, TaskState, Watch, find, is_inside, monotonic_now, until};

/// Threads of this process in states that are known.
pub(super) struct Threads {
    pub(super) word: Arc<AtomicU32>,
    stop: Arc<AtomicBool>,
    /// When each futex waiter was about to wait, `CLOCK_MONOTONIC` ns; 0 until then.
    pub(super) began: Vec<Arc<AtomicU64>>,
    /// (tid, what it does)
    pub(super) tids: Vec<(u32, Does)>,
    /// Its readers block as long as this stands.
    _pipe: OwnedFd,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Does {
    /// Waits on a futex; the index into `began`.
    Futex(usize),
    Sleep,
    Read,
    Spin,
}

impl Threads {
    pub(super) fn start(futexes: usize) -> Threads {
        let (tx, rx) = std::sync::mpsc::channel();
        let word = Arc::new(AtomicU32::new(1));
        let stop = Arc::new(AtomicBool::new(false));
        let mut began = Vec::new();
        let start = |name: &str, does: Does, body: Box<dyn FnOnce() + Send>| {
            let tx = tx.clone();
            let work = move || {
                // SAFETY: gettid has no preconditions.
                tx.send((unsafe { libc::gettid() } as u32, does)).unwrap();
                drop(tx);
                body();
            };
            std::thread::Builder::new().name(name.into()).spawn(work).unwrap();
        };
        for index in 0..futexes {
            let at = Arc::new(AtomicU64::new(0));
            began.push(at.clone());
            let word = word.clone();
            // Half of them have run for a while when they begin to wait.
            let spin = Duration::from_millis(if index % 2 == 0 { 0 } else { 30 });
            start(
                "lp ) futex\n",
                Does::Futex(index),
                Box::new(move || {
                    let until = Instant::now() + spin;
                    while Instant::now() < until {}
                    at.store(monotonic_now().0, Ordering::Release);
                    while word.load(Ordering::Acquire) == 1 {
                        futex_wait(&word, 1);
                    }
                }),
            );
        }
        // A minute is longer than any of these tests.
        start("lp-sleep", Does::Sleep, Box::new(|| std::thread::sleep(Duration::from_secs(60))));
        let (reader, writer) = pipe();
        start(
            "lp-read",
            Does::Read,
            Box::new(move || {
                use std::io::Read as _;
                let _ = File::from(reader).read(&mut [0]);
            }),
        );
        let spinning = stop.clone();
        start("lp-spin", Does::Spin, Box::new(move || while !spinning.load(Ordering::Relaxed) {}));
        let count = futexes + 3;
        let tids = (0..count).map(|_| rx.recv().unwrap()).collect();
        Threads { word, stop, began, tids, _pipe: writer }
    }

    /// Passes until every thread is in its state.
    pub(super) fn settle(&self, source: &mut Source) -> TaskPass {
        let watch = Watch { pids: Some(vec![std::process::id()]), kernel_stacks: true };
        until(|| {
            let pass = source.read(&watch).unwrap();
            let settled = self.tids.iter().all(|&(tid, does)| {
                let begun = match does {
                    Does::Futex(index) => self.began[index].load(Ordering::Acquire) != 0,
                    _ => true,
                };
                // A spinning thread may be seen before its first turn, on any state but asleep.
                let state = find(&pass, tid).map(|task| task.state);
                let wanted = match does {
                    Does::Spin => TaskState::Running,
                    _ => TaskState::Sleeping,
                };
                begun && state == Some(wanted) && is_inside(find(&pass, tid), does)
            });
            settled.then_some(pass)
        })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.word.store(0, Ordering::Release);
        self.stop.store(true, Ordering::Relaxed);
        // SAFETY: the word is valid for the call.
        unsafe {
            libc::syscall(libc::SYS_futex, self.word.as_ptr(), libc::FUTEX_WAKE, i32::MAX);
        }
    }
}

fn futex_wait(word: &AtomicU32, value: u32) {
    let no_timeout = std::ptr::null::<libc::timespec>();
    // SAFETY: the word is valid for the call.
    unsafe {
        libc::syscall(libc::SYS_futex, word.as_ptr(), libc::FUTEX_WAIT, value, no_timeout);
    }
}

fn pipe() -> (OwnedFd, OwnedFd) {
    let (reader, writer) = std::io::pipe().unwrap();
    (reader.into(), writer.into())
}
