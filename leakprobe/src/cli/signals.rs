//! Ctrl-C and SIGTERM end a run, which still reports; a second one ends it at once.

use std::{
    fs,
    future::{Future, poll_fn},
    io::{self, IsTerminal},
    pin::pin,
    process,
    task::Poll,
    thread,
};

use tokio::{
    runtime,
    signal::unix::{Signal, SignalKind, signal},
    sync::oneshot,
};

use super::exit;

/// Runs `work` on a thread of its own while this one waits for signals: the first calls `end`, a
/// second one `abort`, after which the process exits.
///
/// `None`: the work panicked.
pub fn guard<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
    end: impl FnOnce(),
    abort: impl FnOnce(),
) -> io::Result<Option<T>> {
    let runtime = runtime::Builder::new_current_thread().enable_io().build()?;
    runtime.block_on(async {
        let mut signals = Signals::listen()?;
        let (done, finished) = oneshot::channel();
        thread::Builder::new()
            .name("session".to_owned())
            .spawn(move || done.send(work()))?;
        let mut finished = pin!(finished);
        tokio::select! {
            biased;
            result = &mut finished => return Ok(result.ok()),
            () = signals.next() => {}
        }
        end();
        if io::stderr().is_terminal() {
            eprintln!("\nending, the report follows (Ctrl-C again: end at once)");
        }
        tokio::select! {
            biased;
            result = &mut finished => Ok(result.ok()),
            () = signals.next() => {
                abort();
                process::exit(i32::from(exit::ABORTED))
            }
        }
    })
}

/// The signals that end a run.
struct Signals(Vec<Signal>);

impl Signals {
    /// Those that whoever started leakprobe wants ignored (nohup, a shell's background jobs) stay
    /// ignored.
    fn listen() -> io::Result<Signals> {
        let ignored = ignored();
        [
            SignalKind::interrupt(),
            SignalKind::terminate(),
            SignalKind::hangup(),
        ]
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

    #[test]
    fn work_that_ends() {
        // Check that the result comes back, and that a panic does not hang or take the caller along.
        let (end, abort) = (|| unreachable!(), || unreachable!());
        assert_eq!(guard(|| 7, end, abort).unwrap(), Some(7));
        let panics = || -> u32 { std::panic::resume_unwind(Box::new("on purpose")) };
        assert_eq!(guard(panics, end, abort).unwrap(), None);
    }
}
