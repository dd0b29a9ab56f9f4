//! A command, from exec to exit.

use std::{
    fs::File,
    process::{Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

/// What a command took.
#[derive(Clone, Debug)]
pub struct Measured {
    /// From exec to exit.
    pub wall: Duration,
    /// User and system time, of its waited-for children too.
    pub cpu: Duration,
    /// Largest resident set, bytes.
    pub peak_rss: u64,
    /// What it printed.
    pub stdout: String,
}

/// Runs a command to its end and measures it.
///
/// # Errors
///
/// It can't be started, fails, or takes longer than `limit`.
pub fn measure(command: &mut Command, limit: Duration) -> Result<Measured> {
    let file = tempfile::NamedTempFile::new()?;
    command.stdin(Stdio::null()).stdout(File::create(file.path())?);
    let started = Instant::now();
    let mut child = command
        .spawn()
        .with_context(|| format!("starting {command:?}: `cargo xtask setup` installs the peers"))?;
    let (status, usage) = loop {
        if let Some(ended) = ended(child.id() as i32)? {
            break ended;
        }
        if started.elapsed() > limit {
            child.kill()?;
            child.wait()?;
            bail!("{command:?} had not ended after {limit:?}");
        }
        // Short against what is measured; waiting for SIGCHLD would need a handler.
        sleep(Duration::from_micros(500));
    };
    let wall = started.elapsed();
    if status != 0 {
        bail!("{command:?} ended with wait status {status:#x}");
    }
    Ok(Measured {
        wall,
        cpu: duration(usage.ru_utime) + duration(usage.ru_stime),
        peak_rss: usage.ru_maxrss as u64 * 1024,
        stdout: std::fs::read_to_string(file.path())?,
    })
}

/// The wait status and the usage of a child, if it has ended.
fn ended(pid: i32) -> Result<Option<(i32, libc::rusage)>> {
    let mut status = 0;
    // SAFETY: a rusage is plain integers, for which all zeroes are a value.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: both pointers are to values of this frame.
    let reaped = unsafe { libc::wait4(pid, &mut status, libc::WNOHANG, &mut usage) };
    match reaped {
        0 => Ok(None),
        -1 => Err(std::io::Error::last_os_error()).context("wait4"),
        _ => Ok(Some((status, usage))),
    }
}

fn duration(time: libc::timeval) -> Duration {
    Duration::new(time.tv_sec as u64, time.tv_usec as u32 * 1000)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Check that output, time and memory of a command are what they must be at least.
    #[test]
    fn a_command_is_measured() -> Result<()> {
        let mut command = Command::new("sh");
        command.args(["-c", "i=0; while [ $i -lt 20000 ]; do i=$((i+1)); done; echo $i"]);
        let measured = measure(&mut command, Duration::from_secs(60))?;
        assert_eq!(measured.stdout, "20000\n");
        assert!(measured.cpu > Duration::ZERO && measured.peak_rss > 100_000);
        Ok(())
    }

    // Check that a command that fails, and one that goes on for too long, are errors.
    #[test]
    fn failures_are_errors() {
        assert!(measure(&mut Command::new("false"), Duration::from_secs(60)).is_err());
        let mut long = Command::new("sleep");
        assert!(measure(long.arg("60"), Duration::from_millis(50)).is_err());
    }
}
