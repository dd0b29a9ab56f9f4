//! Why a session could not run.

use crate::{probe::ProbeError, process::ProcessError, snapshot::recording::RecordingError};

/// Why a session could not run or go on. Each message ends in what to do.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// A process that is not there.
    #[error("no process {pid}: it may have ended; `ps -e` lists what runs")]
    NoSuchTarget {
        /// Its id.
        pid: u32,
    },
    /// A process that has no threads to look at.
    #[error("process {pid} {what}; name a running user process")]
    NotAProgram {
        /// Its id.
        pid: u32,
        /// What it is instead.
        what: String,
    },
    /// None of the processes may be read.
    #[error(transparent)]
    Denied(ProcessError),
    /// Tasks could not be read at all.
    #[error(transparent)]
    Probe(#[from] ProbeError),
    /// No thread to read targets on.
    #[error("can't start a thread: {0}; raise the limit on processes (ulimit -u, pids.max)")]
    Thread(std::io::Error),
    /// A recording that can't be written or read.
    #[error(transparent)]
    Recording(#[from] RecordingError),
}

impl SessionError {
    /// Exit code of the command: 2 usage, 3 missing privilege or kernel ability, 4 no such target.
    pub fn exit_code(&self) -> u8 {
        match self {
            SessionError::Recording(_) => 2,
            SessionError::Denied(_) | SessionError::Probe(_) | SessionError::Thread(_) => 3,
            SessionError::NoSuchTarget { .. } | SessionError::NotAProgram { .. } => 4,
        }
    }
}
