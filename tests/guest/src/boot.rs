//! Boots a guest, runs a script in it, brings back what it left.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::BufWriter,
    path::{Path, PathBuf},
    process::{Child, Command, ExitStatus, Stdio},
    thread::sleep,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail};

use crate::{Kernel, initramfs::Archive, parcel};

const QEMU: &str = "qemu-system-x86_64";
const BUSYBOX: &str = "/bin/busybox";

/// A file that the guest is to have.
#[derive(Clone, Debug)]
pub struct GuestFile {
    /// Where it is here.
    pub host: PathBuf,
    /// Its absolute path in the guest.
    pub guest: String,
    /// Permission bits.
    pub mode: u32,
}

impl GuestFile {
    /// A program: readable and executable.
    pub fn program(host: impl Into<PathBuf>, guest: impl Into<String>) -> Self {
        GuestFile { host: host.into(), guest: guest.into(), mode: 0o755 }
    }
}

/// What a guest's run came to.
#[derive(Debug)]
pub struct Outcome {
    /// The files that the script left below `/out`, by path.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The script's exit code.
    pub exit_code: i32,
    /// The console: kernel messages, and what the script wrote to its standard output and error.
    pub console: String,
    /// From QEMU's start to its end.
    pub took: Duration,
}

/// Boots `kernel` with `files` and runs `script` in busybox's shell, as root, in `/out`.
///
/// A script that fails is an outcome; an error is a guest that did not start, did not end within
/// `deadline` or did not send its results, and holds the end of the console.
pub fn boot(
    kernel: &Kernel,
    files: &[GuestFile],
    script: &str,
    deadline: Duration,
) -> Result<Outcome> {
    let folder = tempfile::tempdir().context("no temporary folder for the guest")?;
    let initramfs = folder.path().join("initramfs");
    let console = folder.path().join("console");
    let results = folder.path().join("results");
    write_initramfs(&initramfs, files, script, deadline)?;

    let began = Instant::now();
    let ended = run_qemu(&kernel.image()?, &initramfs, &console, &results, deadline);
    let took = began.elapsed();
    let console = String::from_utf8_lossy(&fs::read(&console).unwrap_or_default()).into_owned();
    let unpacked = ended
        .and_then(|()| fs::read(&results).context("the guest sent no results"))
        .and_then(|bytes| parcel::unpack(&bytes));
    let parcel = unpacked.with_context(|| {
        format!(
            "guest with kernel {}, after {:.1} s; the end of its console:\n{}",
            kernel.name,
            took.as_secs_f64(),
            last_lines(&console, 40)
        )
    })?;
    Ok(Outcome { files: parcel.files, exit_code: parcel.exit_code, console, took })
}

/// The first process: mounts what leakprobe reads, runs the script, sends `/out`, powers off. A
/// watchdog powers off where the script hangs.
fn init(deadline: Duration) -> String {
    format!(
        r#"#!/bin/busybox sh
/bin/busybox --install -s /bin
export PATH=/bin HOME=/ TERM=dumb
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs devtmpfs /dev
mount -t tmpfs tmpfs /tmp
mount -t tracefs tracefs /sys/kernel/tracing
mount -t bpf bpf /sys/fs/bpf
mount -t cgroup2 cgroup2 /sys/fs/cgroup
ip link set lo up
{send}
(sleep {watchdog}; echo "leakprobe guest: the script hangs"; poweroff -f) &
cd /out
sh /script
send $?
poweroff -f
"#,
        send = parcel::SEND,
        watchdog = deadline.as_secs() + 1,
    )
}

fn write_initramfs(
    path: &Path,
    files: &[GuestFile],
    script: &str,
    deadline: Duration,
) -> Result<()> {
    let busybox = fs::read(BUSYBOX)
        .with_context(|| format!("{BUSYBOX} can't be read: run `cargo xtask setup`"))?;
    let mut archive = Archive::new(BufWriter::new(File::create(path)?));
    for folder in ["/bin", "/dev", "/etc", "/out", "/proc", "/run", "/sys", "/tmp"] {
        archive.directory(folder)?;
    }
    // The kernel opens it for /init before anything is mounted.
    archive.device("/dev/console", 5, 1)?;
    archive.file("/etc/passwd", 0o644, b"root::0:0:root:/:/bin/sh\n")?;
    archive.file(BUSYBOX, 0o755, &busybox)?;
    archive.file("/init", 0o755, init(deadline).as_bytes())?;
    archive.file("/script", 0o644, script.as_bytes())?;
    for file in files {
        let content = fs::read(&file.host)
            .with_context(|| format!("{} can't be read", file.host.display()))?;
        archive.file(&file.guest, file.mode, &content)?;
    }
    archive.finish()?;
    Ok(())
}

fn run_qemu(
    image: &Path,
    initramfs: &Path,
    console: &Path,
    results: &Path,
    deadline: Duration,
) -> Result<()> {
    let mut qemu = Command::new(QEMU);
    qemu.args(["-accel", "tcg,thread=multi", "-cpu", "max"])
        .args(["-m", "1G", "-smp", "2"])
        .args(["-display", "none", "-monitor", "none", "-nic", "none"])
        // With panic=-1 a guest that panics reboots, with -no-reboot that ends QEMU.
        .args(["-no-reboot", "-append"])
        .arg("console=ttyS0 panic=-1 quiet loglevel=4 rdinit=/init")
        .arg("-kernel")
        .arg(image)
        .arg("-initrd")
        .arg(initramfs)
        .arg("-serial")
        .arg(format!("file:{}", console.display()))
        .arg("-serial")
        .arg(format!("file:{}", results.display()))
        .stdin(Stdio::null());
    let mut child = Running(
        qemu.spawn().with_context(|| format!("{QEMU} does not start: run `cargo xtask setup`"))?,
    );
    match child.wait_until(Instant::now() + deadline)? {
        Some(status) if status.success() => Ok(()),
        Some(status) => bail!("{QEMU} failed: {status}"),
        None => bail!("it did not end within {} s", deadline.as_secs()),
    }
}

/// A child that never outlives this value.
struct Running(Child);

impl Running {
    /// Waits for its end, until `deadline`.
    fn wait_until(&mut self, deadline: Instant) -> Result<Option<ExitStatus>> {
        loop {
            if let Some(status) = self.0.try_wait()? {
                return Ok(Some(status));
            }
            if Instant::now() >= deadline {
                return Ok(None);
            }
            sleep(Duration::from_millis(20));
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // Both fail only if it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn last_lines(text: &str, count: usize) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(count)..].join("\n")
}
