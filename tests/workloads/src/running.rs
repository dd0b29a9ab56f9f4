//! A workload that runs, until it is dropped.

use std::{
    collections::HashMap,
    ffi::OsStr,
    fs,
    io::{BufRead, BufReader, Write},
    os::unix::process::CommandExt,
    path::Path,
    process::{Child, ChildStdin, Command, Stdio},
    sync::mpsc::{Receiver, RecvTimeoutError, channel},
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::Truth;

/// How long a workload may take to say that all of its threads are blocked.
const READY_WITHIN: Duration = Duration::from_secs(90);

/// A workload whose threads are all blocked. Dropping it kills it and all that it started.
pub struct Running {
    child: Child,
    pid: u32,
    stdin: Option<ChildStdin>,
    lines: Receiver<String>,
    /// What it said of its waits.
    pub truth: Truth,
}

impl Running {
    /// Starts `program` and waits until it is ready.
    ///
    /// # Errors
    ///
    /// It can't be started, ends, or isn't ready in time.
    pub fn start<A: AsRef<OsStr>>(program: &Path, args: &[A]) -> Result<Self> {
        let mut command = Command::new(program);
        command.args(args);
        Self::start_command(command)
    }

    /// Starts a command that (itself or as some descendant) becomes a workload, and waits until
    /// that is ready.
    ///
    /// # Errors
    ///
    /// As [`start`](Self::start).
    pub fn start_command(mut command: Command) -> Result<Self> {
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {command:?}"))?;
        let stdout = child.stdout.take().context("the workload has no stdout")?;
        let (send, lines) = channel();
        std::thread::spawn(move || {
            for line in BufReader::new(stdout).lines().map_while(Result::ok) {
                if send.send(line).is_err() {
                    break;
                }
            }
        });
        let mut running = Running {
            pid: child.id(),
            stdin: child.stdin.take(),
            child,
            lines,
            truth: Truth::default(),
        };
        running.await_truth()?;
        running.pid = running.find_pid()?;
        Ok(running)
    }

    /// Waits for the next truth: of a workload that executed itself anew.
    ///
    /// # Errors
    ///
    /// It ends or isn't ready in time.
    pub fn await_truth(&mut self) -> Result<()> {
        self.truth = Truth::default();
        let deadline = Instant::now() + READY_WITHIN;
        loop {
            let line = self.line_before(deadline)?;
            if self.truth.add_line(&line)? {
                return Ok(());
            }
        }
    }

    /// The next line that it prints.
    ///
    /// # Errors
    ///
    /// It ends or prints nothing within `time`.
    pub fn line_within(&mut self, time: Duration) -> Result<String> {
        self.line_before(Instant::now() + time)
    }

    fn line_before(&mut self, deadline: Instant) -> Result<String> {
        let left = deadline.saturating_duration_since(Instant::now());
        match self.lines.recv_timeout(left) {
            Ok(line) => Ok(line),
            Err(RecvTimeoutError::Timeout) => bail!("the workload said nothing in time"),
            Err(RecvTimeoutError::Disconnected) => {
                bail!("the workload ended: {:?}", self.child.wait())
            }
        }
    }

    /// Writes a line to its standard input.
    ///
    /// # Errors
    ///
    /// It no longer reads.
    pub fn say(&mut self, line: &str) -> Result<()> {
        let stdin = self.stdin.as_mut().context("standard input is closed")?;
        writeln!(stdin, "{line}")
            .with_context(|| format!("the workload no longer listens: {:?}", self.child.try_wait()))
    }

    /// Its process id in this process's PID namespace.
    pub fn pid(&self) -> u32 {
        self.pid
    }

    /// Sleeps until its youngest wait is as old as `age`.
    pub fn age_to(&self, age: Duration) {
        let due = Duration::from_nanos(self.truth.newest_ns()) + age;
        std::thread::sleep(due.saturating_sub(monotonic()));
    }

    /// Its threads: this process's ids for them by its own.
    ///
    /// # Errors
    ///
    /// It is gone.
    pub fn tids(&self) -> Result<HashMap<u32, u32>> {
        let mut tids = HashMap::new();
        for entry in fs::read_dir(format!("/proc/{}/task", self.pid))? {
            let Some(outside) = number(&entry?.file_name()) else {
                continue;
            };
            // A thread may end between the listing and here.
            if let Some(inside) = status(&format!("/proc/{}/task/{outside}", self.pid), "NSpid:") {
                tids.insert(inside, outside);
            }
        }
        Ok(tids)
    }

    /// Waits for its end.
    ///
    /// # Errors
    ///
    /// It goes on for longer than `time`.
    pub fn await_end(&mut self, time: Duration) -> Result<()> {
        let deadline = Instant::now() + time;
        while self.child.try_wait()?.is_none() {
            if Instant::now() > deadline {
                bail!("the workload did not end in time");
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        Ok(())
    }

    /// The child itself, or the descendant that calls itself by the pid that was said.
    fn find_pid(&self) -> Result<u32> {
        let mut family = vec![self.child.id()];
        let mut next = 0;
        while let Some(&pid) = family.get(next) {
            next += 1;
            if status(&format!("/proc/{pid}"), "NSpid:") == Some(self.truth.pid) {
                return Ok(pid);
            }
            for entry in fs::read_dir("/proc")? {
                if let Some(other) = number(&entry?.file_name())
                    && status(&format!("/proc/{other}"), "PPid:") == Some(pid)
                {
                    family.push(other);
                }
            }
        }
        bail!("no descendant of {} is the workload", self.child.id())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        if self.child.try_wait().is_ok_and(|ended| ended.is_some()) {
            return; // reaped: its id may be another's by now
        }
        // SAFETY: kill has no memory preconditions; the group is that of a child not yet reaped.
        unsafe { libc::kill(-(self.child.id() as i32), libc::SIGKILL) };
        let _ = self.child.wait();
    }
}

/// `CLOCK_MONOTONIC`, as workloads stamp their waits.
pub(crate) fn monotonic() -> Duration {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is a valid timespec to write to.
    unsafe { libc::clock_gettime(libc::CLOCK_MONOTONIC, &mut time) };
    Duration::new(time.tv_sec as u64, time.tv_nsec as u32)
}

fn number(name: &OsStr) -> Option<u32> {
    name.to_str()?.parse().ok()
}

/// The last number of a line of a task's status file.
fn status(task: &str, key: &str) -> Option<u32> {
    let text = fs::read(format!("{task}/status")).ok()?;
    let text = String::from_utf8_lossy(&text);
    let line = text.lines().find(|l| l.starts_with(key))?;
    line.split_whitespace().next_back()?.parse().ok()
}
