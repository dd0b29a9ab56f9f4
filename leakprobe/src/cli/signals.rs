//! Ctrl-C and SIGTERM end a run, which still reports; a second one ends it at once.

use std::{
    fs,
    future::{Future, poll_fn},
    io,
    pin::pin,
    task::Poll,
    thread,
    time::{Duration, Instant},
};

use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

/// How guarded work ended.
#[derive(Debug, PartialEq, Eq)]
pub enum Outcome<T> {
    /// With its result.
    Done(T),
    /// With a panic, whose message is already on stderr.
    Panicked,
    /// Not at all: it goes on in its thread, but the user wants out.
    Abandoned,
}

/// Signals that come within this time of the first are the same one.
const SAME_SIGNAL: Duration = Duration::from_millis(500);

/// Runs `work` on a thread of its own while this one waits for signals: the first calls `end`, on
/// which the work is expected to finish soon, a second one gives up on it.
pub fn guard<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    end: impl FnOnce(),
) -> io::Result<Outcome<T>> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let (done, finished) = oneshot::channel();
        thread::Builder::new().name("session".to_owned()).spawn(move || done.send(work()))?;
        let mut finished = pin!(finished);
        tokio::select! {
            biased;
            result = &mut finished => return Ok(ended(result.ok())),
            () = signals.next() => end(),
        }
        // One Ctrl-C can arrive twice: from the terminal, and from whoever started leakprobe (timeout(1)
        // signals both its child and its group). Only a later one is a second one.
        let since = Instant::now();
        loop {
            tokio::select! {
                biased;
                result = &mut finished => return Ok(ended(result.ok())),
                () = signals.next() => if since.elapsed() > SAME_SIGNAL {
                    return Ok(Outcome::Abandoned);
                },
            }
        }
    })
}

fn ended<T>(result: Option<T>) -> Outcome<T> {
    result.map_or(Outcome::Panicked, Outcome::Done)
}

/// The signals that end a run.
struct Signals(Vec<Signal>);

impl Signals {
    /// Those that whoever started leakprobe wants ignored (nohup, a shell's background jobs) stay
    /// ignored.
    fn listen() -> io::Result<Signals> {
        let ignored = ignored();
        [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()]
            .into_iter()
            .filter(|kind| ignored & bit(*kind) == 0)
            .map(signal)
            .collect::<io::Result<_>>()
            .map(Signals)
    }

    /// Waits for any of them.
    async fn next(&mut self) {
        poll_fn(|context| {
            let mut came = false;
            for signal in &mut self.0 {
                came |= pin!(signal.recv()).poll(context).is_ready();
            }
            if came { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
    }
}

fn bit(kind: SignalKind) -> u64 {
    let number = u32::try_from(kind.as_raw_value()).unwrap_or(0);
    1u64.checked_shl(number.wrapping_sub(1)).unwrap_or(0)
}

/// Ignored signals as a bit mask (`SigIgn` of /proc/self/status, proc(5)). 0 without /proc.
fn ignored() -> u64 {
    fs::read_to_string("/proc/self/status")
        .ok()
        .and_then(|status| parse_ignored(&status))
        .unwrap_or(0)
}

fn parse_ignored(status: &str) -> Option<u64> {
    let mask = status.lines().find_map(|l| l.strip_prefix("SigIgn:"))?;
    u64::from_str_radix(mask.trim(), 16).ok()
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn ignored_signals() {
        // Check that the mask is found and that bit n-1 stands for signal n.
        let status = "Name:\tx\nSigBlk:\t0000000000000000\nSigIgn:\t0000000000001001\n";
        let mask = parse_ignored(status).unwrap();
        assert_ne!(mask & bit(SignalKind::hangup()), 0);
        assert_eq!(mask & bit(SignalKind::interrupt()), 0);
        assert_eq!(parse_ignored("Name:\tx\n"), None);
    }

    fn terminate_self() {
        // SAFETY: raise(3) takes an integer. `guard` has installed a handler for the signal.
        assert_eq!(unsafe { libc::raise(libc::SIGTERM) }, 0);
    }

    // One test, since signals reach every guard of the process.
    #[test]
    fn guarded_work() {
        // Check that results and panics come back, that a signal asks the work to end, and that a
        // second one does not wait for it.
        assert_eq!(guard(|| 7, || unreachable!()).unwrap(), Outcome::Done(7));

        let panics = || -> u32 { std::panic::resume_unwind(Box::new("on purpose")) };
        let ended = guard(panics, || unreachable!()).unwrap();
        assert_eq!(ended, Outcome::Panicked);

        let (ask, asked) = mpsc::channel();
        let obedient = move || {
            terminate_self();
            asked.recv().is_ok()
        };
        let ended = guard(obedient, || ask.send(()).unwrap()).unwrap();
        assert_eq!(ended, Outcome::Done(true));

        let (_never, asked) = mpsc::channel::<()>();
        let stubborn = move || {
            terminate_self();
            // Only time can tell a second signal from the first one's repetition.
            thread::sleep(SAME_SIGNAL * 2);
            terminate_self();
            asked.recv().is_ok()
        };
        let ended = guard(stubborn, || ()).unwrap();
        assert_eq!(ended, Outcome::Abandoned);
    }
}
