//! Running the leakprobe command under a deadline.

use std::{
    ffi::{OsStr, OsString},
    fs::{self, Permissions},
    io::Read,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, ExitStatus, Stdio},
    sync::OnceLock,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};
use leakprobe::report::Report;

use crate::workloads::repository;

/// The command under test: `LEAKPROBE_BIN`, else built by cargo (so that it is never an old one),
/// in release where the tests are.
///
/// # Errors
///
/// It can't be built.
pub fn leakprobe() -> Result<&'static Path> {
    static PATH: OnceLock<Result<PathBuf, String>> = OnceLock::new();
    match PATH.get_or_init(|| find().map_err(|e| format!("{e:#}"))) {
        Ok(path) => Ok(path),
        Err(why) => bail!("no leakprobe to test: {why}"),
    }
}

fn find() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("LEAKPROBE_BIN") {
        return std::path::absolute(path).context("LEAKPROBE_BIN");
    }
    let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo
        .args(["build", "--quiet", "--package", "leakprobe", "--bin"])
        .arg("leakprobe")
        .current_dir(repository());
    let release = !cfg!(debug_assertions);
    if release {
        cargo.arg("--release");
    }
    let output = cargo.output().context("running cargo build")?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr));
    }
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| repository().join("target"), PathBuf::from);
    Ok(target.join(if release { "release" } else { "debug" }).join("leakprobe"))
}

/// A copy of a program that every user can execute, in a folder that every user can enter.
///
/// # Errors
///
/// It can't be made.
pub fn public_copy(program: &Path, folder: &Path) -> Result<PathBuf> {
    fs::set_permissions(folder, Permissions::from_mode(0o755))?;
    let name = program.file_name().context("a program has a name")?;
    let copy = folder.join(name);
    fs::copy(program, &copy).with_context(|| format!("copying {}", program.display()))?;
    fs::set_permissions(&copy, Permissions::from_mode(0o755))?;
    Ok(copy)
}

/// One run of the command, before it is started.
#[derive(Debug)]
pub struct Run {
    before: Vec<OsString>,
    program: Option<PathBuf>,
    args: Vec<OsString>,
    env: Vec<(OsString, OsString)>,
    folder: Option<PathBuf>,
    within: Duration,
}

impl Run {
    /// A run with these arguments, which must end within 30 s.
    pub fn new<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Self {
        Run {
            before: Vec::new(),
            program: None,
            args: args.into_iter().map(|a| a.as_ref().to_owned()).collect(),
            env: Vec::new(),
            folder: None,
            within: Duration::from_secs(30),
        }
    }

    /// A run on one process that prints JSON with every waiter.
    pub fn on(pid: u32) -> Self {
        Self::new(["--json", "--all-waiters", "--pid", &pid.to_string()])
    }

    /// One more argument.
    #[must_use]
    pub fn arg(mut self, arg: impl AsRef<OsStr>) -> Self {
        self.args.push(arg.as_ref().to_owned());
        self
    }

    /// A single snapshot.
    #[must_use]
    pub fn once(self) -> Self {
        self.arg("--duration").arg("0")
    }

    /// With an environment variable.
    #[must_use]
    pub fn env(mut self, key: &str, value: &str) -> Self {
        self.env.push((key.into(), value.into()));
        self
    }

    /// As the arguments of another command (`setpriv`, `unshare`).
    #[must_use]
    pub fn under(mut self, command: &[&str]) -> Self {
        self.before = command.iter().map(Into::into).collect();
        self
    }

    /// A copy of the command that lies elsewhere.
    #[must_use]
    pub fn program(mut self, path: PathBuf) -> Self {
        self.program = Some(path);
        self
    }

    /// In another working folder.
    #[must_use]
    pub fn in_folder(mut self, path: &Path) -> Self {
        self.folder = Some(path.to_owned());
        self
    }

    /// It must end within this time.
    #[must_use]
    pub fn within(mut self, time: Duration) -> Self {
        self.within = time;
        self
    }

    /// Starts it and waits for its end.
    ///
    /// # Errors
    ///
    /// It can't be started or does not end in time. How it ends is for the caller to judge.
    pub fn finish(self) -> Result<Outcome> {
        let program = match self.program {
            Some(path) => path,
            None => leakprobe()?.to_owned(),
        };
        let mut line = self.before;
        line.push(program.into());
        line.extend(self.args);
        let (first, rest) = line.split_first().context("an empty command")?;
        let mut command = Command::new(first);
        command
            .args(rest)
            .envs(self.env)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped());
        if let Some(folder) = self.folder {
            command.current_dir(folder);
        }
        let started = Instant::now();
        let mut child = command.spawn().with_context(|| format!("starting {command:?}"))?;
        let stdout = drain(child.stdout.take());
        let stderr = drain(child.stderr.take());
        let status = loop {
            if let Some(status) = child.try_wait()? {
                break status;
            }
            if started.elapsed() > self.within {
                child.kill()?;
                child.wait()?;
                bail!("{command:?} had not ended after {:?}", self.within);
            }
            thread::sleep(Duration::from_millis(2));
        };
        let elapsed = started.elapsed();
        Ok(Outcome {
            command: format!("{command:?}"),
            status,
            stdout: stdout.join().unwrap_or_default(),
            stderr: stderr.join().unwrap_or_default(),
            elapsed,
        })
    }

    /// Starts it, expects exit code 0, and reads its report.
    ///
    /// # Errors
    ///
    /// As [`finish`](Self::finish); or it fails, or prints no report.
    pub fn report(self) -> Result<Report> {
        let outcome = self.finish()?;
        outcome.expect_code(0)?;
        outcome.report()
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        String::from_utf8_lossy(&bytes).into_owned()
    })
}

/// How a run ended.
#[derive(Debug)]
pub struct Outcome {
    /// The command line.
    pub command: String,
    /// Its exit status.
    pub status: ExitStatus,
    /// What it printed.
    pub stdout: String,
    /// What it said.
    pub stderr: String,
    /// From its start to its end.
    pub elapsed: Duration,
}

impl Outcome {
    /// The JSON report on its standard output.
    ///
    /// # Errors
    ///
    /// There is none, or it isn't what the contract says.
    pub fn report(&self) -> Result<Report> {
        let report: Report = serde_json::from_str(&self.stdout)
            .with_context(|| format!("no report came from {self}"))?;
        if report.schema != leakprobe::report::SCHEMA {
            bail!("the report's schema is {:?}", report.schema);
        }
        Ok(report)
    }

    /// Fails unless it ended with this exit code.
    ///
    /// # Errors
    ///
    /// It did not.
    pub fn expect_code(&self, code: i32) -> Result<()> {
        if self.status.code() != Some(code) {
            bail!("expected exit code {code} of {self}");
        }
        Ok(())
    }
}

impl std::fmt::Display for Outcome {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let head: String = self.stdout.chars().take(2000).collect();
        write!(
            f,
            "{} ({}, {:.2?})\n--- stdout\n{head}\n--- stderr\n{}",
            self.command, self.status, self.elapsed, self.stderr
        )
    }
}
