//! Why a process as a whole could not be read.

use std::io;

/// Why a process as a whole could not be read.
#[derive(Debug, thiserror::Error)]
pub enum ProcessError {
    /// It ended, executed another program, or its pid belongs to another process by now.
    #[error("process {pid} is gone; check the pid, or start leakprobe while it runs")]
    Gone {
        /// The pid.
        pid: u32,
    },
    /// The kernel refuses to let this user read it.
    #[error(
        "not allowed to read process {pid}; run leakprobe as root, or as the process's own user \
         where ptrace is allowed (kernel.yama.ptrace_scope = 0, no hidepid on /proc)"
    )]
    Denied {
        /// The pid.
        pid: u32,
    },
    /// A kernel thread or a process without memory of its own.
    #[error("process {pid} has no memory of its own (a kernel thread, or it is about to end)")]
    NoMemory {
        /// The pid.
        pid: u32,
    },
    /// Something else in reading /proc.
    #[error("can't read /proc/{pid}/{what}: {source}; check that /proc is mounted")]
    Proc {
        /// The pid.
        pid: u32,
        /// The file below /proc/PID.
        what: &'static str,
        /// What the kernel said.
        source: io::Error,
    },
}

impl ProcessError {
    /// Sorts what the kernel said about `/proc/PID/what`.
    pub(super) fn from_io(pid: u32, what: &'static str, source: io::Error) -> Self {
        match source.raw_os_error() {
            Some(libc::ESRCH | libc::ENOENT) => ProcessError::Gone { pid },
            Some(libc::EACCES | libc::EPERM) => ProcessError::Denied { pid },
            _ => ProcessError::Proc { pid, what, source },
        }
    }
}
