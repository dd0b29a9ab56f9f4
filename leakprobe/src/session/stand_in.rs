//! Stands in for the session until it is there: the contract with the command line, and an empty
//! report.

use std::{
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use super::{Plan, Targets};
use crate::report::{HealthEntry, Report, SCHEMA};

/// Asks a running session to end and report.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<AtomicBool>);

impl StopFlag {
    /// Ask.
    pub fn stop(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Whether it was asked.
    pub fn is_stopped(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

/// What happens while a session runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// The report of the first snapshot.
    First(&'a Report),
    /// Where it stands.
    Progress {
        /// Snapshots so far.
        snapshots: u64,
        /// Waiters in the newest.
        waiting: u64,
        /// Since the first snapshot.
        elapsed: Duration,
    },
    /// The second snapshot was read.
    Confirmed {
        /// Report of the first.
        first: &'a Report,
        /// Report of both.
        second: &'a Report,
    },
    /// A later snapshot was read.
    Watched(&'a Report),
}

/// Why a session could not run or go on.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A process that is not there.
    #[error("no process {pid}: it may have ended; see what runs with `ps -e`")]
    NoSuchTarget {
        /// Its id.
        pid: u32,
    },
    /// A recording that can't be read.
    #[error("can't read the recording {path:?}: {why}")]
    Recording {
        /// The file.
        path: PathBuf,
        /// Why, and what to do.
        why: String,
    },
}

impl SessionError {
    /// Exit code of the command.
    pub fn exit_code(&self) -> u8 {
        match self {
            SessionError::NoSuchTarget { .. } => 4,
            SessionError::Recording { .. } => 2,
        }
    }
}

fn report(snapshots: u64, watched: Duration) -> Report {
    Report {
        schema: SCHEMA.to_owned(),
        tool: concat!("leakprobe ", env!("CARGO_PKG_VERSION")).to_owned(),
        host: String::new(),
        kernel: String::new(),
        at: "1970-01-01T00:00:00Z".to_owned(),
        watched_seconds: watched.as_secs_f64(),
        processes: Vec::new(),
        sites: Vec::new(),
        health: HealthEntry {
            snapshots,
            ..HealthEntry::default()
        },
    }
}

/// Runs a plan.
pub fn run(
    plan: &Plan,
    stop: &StopFlag,
    sink: &mut dyn FnMut(Event<'_>),
) -> Result<Report, SessionError> {
    if let Targets::Pids(pids) = &plan.targets {
        for &pid in pids {
            if !Path::new(&format!("/proc/{pid}")).exists() {
                return Err(SessionError::NoSuchTarget { pid });
            }
        }
    }
    let began = Instant::now();
    let first = report(1, Duration::ZERO);
    sink(Event::First(&first));
    let mut newest = first.clone();
    let mut next = plan.interval;
    while plan.duration.is_none_or(|end| next <= end) && !plan.duration.is_some_and(|d| d.is_zero())
    {
        while began.elapsed() < next {
            if stop.is_stopped() {
                return Ok(newest);
            }
            thread::sleep(Duration::from_millis(5));
        }
        next += plan.interval;
        newest = report(newest.health.snapshots + 1, began.elapsed());
        sink(Event::Progress {
            snapshots: newest.health.snapshots,
            waiting: 0,
            elapsed: began.elapsed(),
        });
        if newest.health.snapshots == 2 {
            sink(Event::Confirmed {
                first: &first,
                second: &newest,
            });
        } else {
            sink(Event::Watched(&newest));
        }
    }
    Ok(newest)
}

/// Replays a recording.
pub fn replay(path: &Path, _plan: &Plan) -> Result<Report, SessionError> {
    let failed = |why: String| SessionError::Recording {
        path: path.to_owned(),
        why,
    };
    let bytes = fs::read(path).map_err(|e: io::Error| failed(e.to_string()))?;
    if !bytes.starts_with(b"leakprobe") {
        return Err(failed("not a recording of leakprobe".to_owned()));
    }
    Ok(report(1, Duration::ZERO))
}
