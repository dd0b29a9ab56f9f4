//! `cargo xtask vm`: a command in a guest, by hand.

use std::{fs, io::Write, path::PathBuf, process, time::Duration};

use anyhow::{Context, Result, bail};
use leakprobe_guest::{GuestFile, Kernel, boot};

use crate::{dist, layout::target_dir, setup};

/// Runs `command` in a guest with the static leakprobe and `files`; what it leaves in the guest's
/// `/out` is written to `target/vm/`. Ends with the command's exit code.
pub fn run(kernel: &str, files: &[PathBuf], timeout: u64, command: &[String]) -> Result<()> {
    let kernel = Kernel::named(kernel)?;
    setup::run()?;
    let mut guest_files = vec![GuestFile::program(dist::run()?, "/bin/leakprobe")];
    for file in files {
        let name = file.file_name().with_context(|| format!("{} is no file", file.display()))?;
        guest_files.push(GuestFile::program(file, format!("/bin/{}", name.to_string_lossy())));
    }
    let outcome = boot(kernel, &guest_files, &command.join(" "), Duration::from_secs(timeout))?;
    std::io::stdout().write_all(outcome.console.as_bytes())?;

    let folder = target_dir().join("vm");
    for (name, content) in &outcome.files {
        let path = folder.join(name);
        if let Some(parent) = path.parent() {
            fs::create_dir_all(parent)?;
        }
        fs::write(&path, content)
            .with_context(|| format!("{} can't be written", path.display()))?;
        eprintln!("{} bytes in {}", content.len(), path.display());
    }
    eprintln!("exit code {} after {:.1} s", outcome.exit_code, outcome.took.as_secs_f64());
    match outcome.exit_code {
        0 => Ok(()),
        1..=255 => process::exit(outcome.exit_code),
        other => bail!("unknown exit code {other}"),
    }
}
