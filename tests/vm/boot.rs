//! The guest itself.

use std::{fs, process::Command, time::Duration};

use anyhow::{Context, Result, ensure};
use leakprobe_guest::{GuestFile, Kernel, boot};
use leakprobe_tests::Trials;

use crate::missing;

pub fn add(trials: &mut Trials) {
    trials.unless(missing("6.1"), "guest_runs_and_answers", runs_and_answers);
    trials.unless(missing("6.1"), "guest_that_hangs_is_ended", hangs);
}

/// Check that a guest runs the kernel that was asked for, has mounted what leakprobe reads, runs a
/// static program, and hands back files byte for byte and the script's exit code.
fn runs_and_answers() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let source = folder.path().join("answer.c");
    fs::write(
        &source,
        "#include <stdio.h>\n\
         int main(void) { for (int i = 0; i < 256; i++) putchar(i); return 7; }\n",
    )?;
    let program = folder.path().join("answer");
    let built = Command::new("gcc")
        .args(["-static", "-o"])
        .args([&program, &source])
        .status()
        .context("gcc does not start: run `cargo xtask setup`")?;
    ensure!(built.success(), "gcc failed");

    let script = "
        cat /proc/version >version
        ls /sys/kernel/btf /sys/kernel/tracing /sys/fs/cgroup >mounts || exit 9
        mkdir sub
        answer >sub/bytes
    ";
    let outcome = boot(
        Kernel::named("6.1")?,
        &[GuestFile::program(&program, "/bin/answer")],
        script,
        Duration::from_secs(120),
    )?;
    ensure!(outcome.exit_code == 7, "{}", outcome.console);
    let file = |name: &str| -> Result<&[u8]> {
        let content = outcome.files.get(name).context(name.to_owned())?;
        Ok(content)
    };
    let version = String::from_utf8_lossy(file("version")?);
    ensure!(version.starts_with("Linux version 6.1."), "{version}");
    let mounts = String::from_utf8_lossy(file("mounts")?);
    for sign in ["vmlinux", "available_events", "cgroup.procs"] {
        ensure!(mounts.contains(sign), "{sign} is not among {mounts}");
    }
    let all_bytes: Vec<u8> = (0..=255).collect();
    ensure!(file("sub/bytes")? == all_bytes);
    Ok(())
}

/// Check that a script that hangs is an error in time, and that the error shows the console.
fn hangs() -> Result<()> {
    let ended = boot(
        Kernel::named("6.1")?,
        &[],
        "echo about to hang; while true; do sleep 1; done",
        Duration::from_secs(25),
    );
    let error = format!("{:#}", ended.err().context("it ended by itself")?);
    ensure!(error.contains("about to hang"), "{error}");
    Ok(())
}
