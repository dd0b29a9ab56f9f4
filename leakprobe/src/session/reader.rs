//! The thread that reads targets, so that a read that never returns can be left behind.

use std::{
    sync::mpsc::{self, Sender},
    thread,
    time::Instant,
};

use rustc_hash::FxHashMap;

use super::{look::Watched, slice};
use crate::{
    process::{ModuleFiles, Namespaces},
    runtime::Registry,
};

/// What the reading thread keeps from one process to the next.
#[derive(Default)]
pub struct Files {
    /// Opened files, each once.
    pub modules: ModuleFiles,
    /// Runtimes, and what they know of files.
    pub runtimes: Registry,
    /// Sockets, by network namespace.
    pub namespaces: Namespaces,
    /// Processes opened ahead of their first look.
    pub prepared: FxHashMap<u32, Watched>,
}

type Job = Box<dyn FnOnce(&mut Files) + Send>;

/// Runs jobs one after the other on a thread of its own. A job that doesn't end by its deadline is
/// abandoned together with its thread: a read of another process can block for ever (userfaultfd, a
/// file on a dead network mount), but only until leakprobe itself ends.
pub struct Reader {
    jobs: Sender<Job>,
}

impl Reader {
    /// Starts the thread.
    pub fn start() -> std::io::Result<Reader> {
        let (jobs, queue) = mpsc::channel::<Job>();
        thread::Builder::new().name("reader".into()).spawn(move || {
            slice::yield_readily();
            let mut files = Files::default();
            for job in queue {
                job(&mut files);
            }
        })?;
        Ok(Reader { jobs })
    }

    /// Queues a job of which no answer is wanted.
    pub fn ahead(&self, job: impl FnOnce(&mut Files) + Send + 'static) {
        // A thread that is gone is noticed by the next job that matters.
        let _ = self.jobs.send(Box::new(job));
    }

    /// Runs one job. `None` if it did not end by the deadline (its thread is replaced) or panicked.
    pub fn run<T: Send + 'static>(
        &mut self,
        deadline: Instant,
        job: impl FnOnce(&mut Files) -> T + Send + 'static,
    ) -> Option<T> {
        let (done, result) = mpsc::channel();
        let job: Job = Box::new(move |files| {
            // Nobody listens any more once this was abandoned.
            let _ = done.send(job(files));
        });
        let sent = self.jobs.send(job).is_ok();
        let left = deadline.saturating_duration_since(Instant::now());
        let answer = if sent { result.recv_timeout(left).ok() } else { None };
        if answer.is_none()
            && let Ok(fresh) = Reader::start()
        {
            *self = fresh;
        }
        answer
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn a_stuck_job_is_left_behind() {
        // Check that the next job runs although the last one never ends.
        let mut reader = Reader::start().expect("a thread");
        let (_keep, never) = mpsc::channel::<()>();
        let soon = Instant::now() + Duration::from_millis(20);
        assert_eq!(reader.run(soon, move |_| never.recv().is_ok()), None);
        let later = Instant::now() + Duration::from_secs(60);
        assert_eq!(reader.run(later, |_| 7), Some(7));
        assert_eq!(reader.run(later, |_| -> u8 { panic!("a job that panics") }), None);
        assert_eq!(reader.run(later, |_| 8), Some(8));
    }
}
