//! The leaky program in Rust: the standard library's ways to wait, with its own truth
//! (the protocol is that of ../c/truth.h). std's locks record no owner, so nothing here is leaked
//! as far as anybody outside can prove.

use std::{
    fmt::Write as _,
    hint::black_box,
    io::Read,
    os::fd::AsRawFd,
    sync::{
        Arc, Condvar, Mutex,
        atomic::{AtomicI64, AtomicU64, Ordering},
        mpsc,
    },
    thread,
    time::{Duration, Instant},
};

unsafe extern "C" {
    fn gettid() -> i32;
    fn alarm(seconds: u32) -> u32;
    fn clock_gettime(clock: i32, time: *mut [i64; 2]) -> i32;
}

/// A wait that will be entered.
struct Wait {
    role: &'static str,
    stack: &'static str,
    fd: i32,
    tid: AtomicI64,
    began_ns: AtomicU64,
}

impl Wait {
    /// Stamps the wait; the very next thing its thread does is to block.
    fn begin(&self) {
        // SAFETY: gettid has no preconditions.
        self.tid.store(unsafe { gettid() }.into(), Ordering::SeqCst);
        self.began_ns.store(now_ns(), Ordering::SeqCst);
    }
}

fn now_ns() -> u64 {
    const CLOCK_MONOTONIC: i32 = 1;
    let mut time = [0_i64; 2];
    // SAFETY: `time` has the layout of a timespec on 64-bit Linux.
    unsafe { clock_gettime(CLOCK_MONOTONIC, &mut time) };
    time[0] as u64 * 1_000_000_000 + time[1] as u64
}

/// All waits, in the order in which their threads were started.
#[derive(Default)]
struct Truth(Vec<Arc<Wait>>);

impl Truth {
    fn start(
        &mut self,
        role: &'static str,
        stack: &'static str,
        fd: i32,
        run: impl FnOnce(&Wait) + Send + 'static,
    ) -> thread::JoinHandle<()> {
        let wait = Arc::new(Wait {
            role,
            stack,
            fd,
            tid: AtomicI64::new(0),
            began_ns: AtomicU64::new(0),
        });
        self.0.push(wait.clone());
        thread::spawn(move || run(&wait))
    }

    /// How often the threads have left a CPU, if all of them are blocked now.
    fn at_rest(&self) -> Option<u64> {
        let mut switches = 0;
        for wait in &self.0 {
            let tid = wait.tid.load(Ordering::SeqCst);
            if wait.began_ns.load(Ordering::SeqCst) == 0 {
                return None;
            }
            let text = std::fs::read_to_string(format!("/proc/self/task/{tid}/status")).ok()?;
            if !text.contains("\nState:\tS") {
                return None;
            }
            let count = text.split("\nvoluntary_ctxt_switches:").nth(1)?;
            switches += count.lines().next()?.trim().parse::<u64>().ok()?;
        }
        Some(switches)
    }

    fn say_ready(&self) {
        let deadline = Instant::now() + Duration::from_secs(60);
        let mut before = None;
        loop {
            let now = self.at_rest();
            if now.is_some() && now == before {
                break;
            }
            before = now;
            assert!(Instant::now() < deadline, "the workload did not come to rest");
            thread::sleep(Duration::from_millis(10));
        }
        let mut text = String::new();
        for wait in &self.0 {
            let (tid, began) = (wait.tid.load(Ordering::SeqCst), wait.began_ns.load(Ordering::SeqCst));
            let _ = write!(
                text,
                r#"{{"role":"{}","tid":{tid},"began_ns":{began},"stack":"{},*","leaked":false"#,
                wait.role, wait.stack
            );
            if wait.fd != 0 {
                let _ = write!(text, r#","fd":{}"#, wait.fd);
            }
            text.push_str("}\n");
        }
        println!("{text}{{\"ready\":{}}}", std::process::id());
    }
}

#[inline(never)]
fn hold_and_sleep(wait: &Wait, mutex: &Mutex<u32>, held: &mpsc::Sender<()>) {
    let guard = mutex.lock();
    let _ = held.send(());
    wait.begin();
    thread::sleep(Duration::from_secs(3600));
    black_box(guard.is_ok());
}

#[inline(never)]
fn wait_on_mutex(wait: &Wait, mutex: &Mutex<u32>) {
    wait.begin();
    let guard = mutex.lock();
    black_box(guard.is_ok());
}

#[inline(never)]
fn update_account(wait: &Wait, mutex: &Mutex<u32>) {
    wait_on_mutex(wait, mutex);
    black_box(());
}

#[inline(never)]
fn wait_on_condvar(wait: &Wait, mutex: &Mutex<u32>, condvar: &Condvar) {
    let guard = mutex.lock().expect("nobody panics with it");
    wait.begin();
    let guard = condvar.wait(guard);
    black_box(guard.is_ok());
}

#[inline(never)]
fn wait_on_pipe(wait: &Wait, mut pipe: &std::io::PipeReader) {
    let mut byte = [0];
    wait.begin();
    black_box(pipe.read(&mut byte).is_ok());
}

#[inline(never)]
fn park_for_ever(wait: &Wait) {
    wait.begin();
    thread::park();
    black_box(());
}

#[inline(never)]
fn join_stuck(wait: &Wait, stuck: thread::JoinHandle<()>) {
    wait.begin();
    black_box(stuck.join().is_ok());
}

#[inline(never)]
fn wait_on_channel(wait: &Wait, receiver: &mpsc::Receiver<u32>) {
    wait.begin();
    black_box(receiver.recv().is_ok());
}

fn main() {
    // SAFETY: alarm has no preconditions; nothing is left behind after a quarter of an hour.
    unsafe { alarm(900) };
    let mut truth = Truth::default();

    let mutex: &'static Mutex<u32> = Box::leak(Box::default());
    let (held, is_held) = mpsc::channel();
    truth.start("sleep", "hold_and_sleep", 0, move |wait| {
        hold_and_sleep(wait, mutex, &held);
    });
    is_held.recv().expect("the holder lives");
    for _ in 0..10 {
        truth.start("rust_mutex", "wait_on_mutex,update_account", 0, move |wait| {
            update_account(wait, mutex);
        });
    }

    let pair: &'static (Mutex<u32>, Condvar) = Box::leak(Box::default());
    for _ in 0..10 {
        truth.start("rust_condvar", "wait_on_condvar", 0, move |wait| {
            wait_on_condvar(wait, &pair.0, &pair.1);
        });
    }

    let (reader, _writer) = std::io::pipe().expect("a pipe can be made");
    let reader: &'static std::io::PipeReader = Box::leak(Box::new(reader));
    for _ in 0..5 {
        truth.start("pipe", "wait_on_pipe", reader.as_raw_fd(), move |wait| {
            wait_on_pipe(wait, reader);
        });
    }

    for _ in 0..3 {
        let stuck = truth.start("rust_park", "park_for_ever", 0, park_for_ever);
        truth.start("join", "join_stuck", 0, move |wait| join_stuck(wait, stuck));
    }

    let (_sender, receiver) = mpsc::channel();
    truth.start("rust_channel", "wait_on_channel", 0, move |wait| {
        wait_on_channel(wait, &receiver);
    });

    truth.say_ready();
    loop {
        thread::park();
    }
}
