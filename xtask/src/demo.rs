//! `cargo xtask demo`: leakprobe on two programs that leak threads (demo/).

use std::{
    fs,
    io::{BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};

use crate::{
    command::{cargo, find, is_root, run as run_command},
    layout::{root, target_dir},
};

/// Builds everything, starts the two programs, runs leakprobe on them and ends them.
pub fn run() -> Result<()> {
    run_command(&mut cargo(&["build", "--release", "--locked", "--package=leakprobe"]))?;
    let programs = build_programs()?;
    let leaking = programs.iter().map(|path| Leaking::start(path)).collect::<Result<Vec<_>>>()?;
    for program in &leaking {
        program.wait_until_asleep()?;
    }
    // leakprobe leaves out waits shorter than its --min-wait, one second.
    eprintln!("the programs are stuck; giving their waits a second to grow old");
    sleep(Duration::from_millis(1200));

    let flamegraph = root().join("flamegraph.svg");
    let binary = target_dir().join("release/leakprobe");
    let mut leakprobe = as_root(&binary);
    for program in &leaking {
        leakprobe.args(["--pid", &program.0.id().to_string()]);
    }
    leakprobe.arg("--flamegraph").arg(&flamegraph);
    run_command(&mut leakprobe)?;
    ensure!(flamegraph.is_file(), "leakprobe wrote no {}", flamegraph.display());
    drop(leaking);
    eprintln!("\nThe two programs have been ended. A picture of it: {}", flamegraph.display());
    eprintln!("A program of your own: sudo {} --pid PID", binary.display());
    Ok(())
}

/// leakprobe, with the most rights that can be had without being asked twice.
fn as_root(leakprobe: &Path) -> Command {
    if is_root() {
        return Command::new(leakprobe);
    }
    if find("sudo").is_some() {
        let mut sudo = Command::new("sudo");
        sudo.arg(leakprobe);
        return sudo;
    }
    eprintln!("not root and no sudo: leakprobe reads /proc, its report says what it could not see");
    Command::new(leakprobe)
}

/// The programs of demo/, as anyone would build them for production. There is a `cc`: Rust links by
/// it.
fn build_programs() -> Result<[PathBuf; 2]> {
    let folder = target_dir().join("demo");
    fs::create_dir_all(&folder).with_context(|| format!("{} can't be made", folder.display()))?;
    let (c, rust) = (folder.join("leaky-c"), folder.join("leaky-rust"));
    run_command(
        Command::new("cc")
            .args(["-O2", "-g", "-pthread", "-o"])
            .arg(&c)
            .arg(root().join("demo/leaky.c")),
    )?;
    run_command(
        Command::new("rustc")
            .args(["--edition=2024", "-O", "-g", "-o"])
            .arg(&rust)
            .arg(root().join("demo/leaky.rs")),
    )?;
    Ok([c, rust])
}

/// A program that leaks; it ends with this value.
struct Leaking(Child);

impl Leaking {
    /// Starts it and waits until it says that all its threads have been started.
    fn start(path: &Path) -> Result<Leaking> {
        let mut program = Leaking(
            Command::new(path)
                .stdin(Stdio::null())
                .stdout(Stdio::piped())
                .spawn()
                .with_context(|| format!("{} does not start", path.display()))?,
        );
        let stdout = program.0.stdout.take().context("no pipe to the program")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        ensure!(line == "ready\n", "{} did not get ready: {line:?}", path.display());
        Ok(program)
    }

    /// Waits until none of its threads runs.
    fn wait_until_asleep(&self) -> Result<()> {
        let tasks = format!("/proc/{}/task", self.0.id());
        let deadline = Instant::now() + Duration::from_secs(10);
        loop {
            let mut asleep = true;
            for task in fs::read_dir(&tasks)? {
                // A thread that has just ended is asleep too.
                let stat = fs::read_to_string(task?.path().join("stat")).unwrap_or_default();
                let state = stat.rsplit_once(") ").map(|(_, rest)| &rest[..1]);
                asleep &= matches!(state, Some("S") | None);
            }
            if asleep {
                return Ok(());
            }
            if Instant::now() > deadline {
                bail!("{} still runs: is the machine overloaded?", self.0.id());
            }
            sleep(Duration::from_millis(10));
        }
    }
}

impl Drop for Leaking {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}
