//! `cargo xtask dist`: one static binary that can be copied into any pod or initramfs.

use std::{fs, path::PathBuf, process::Command};

use anyhow::{Context, Result, ensure};

use crate::{
    command::{self, cargo, output},
    elf,
    layout::{TRIPLE, target_dir},
};

/// Where it is put.
pub fn path() -> PathBuf {
    target_dir().join("dist/leakprobe")
}

/// Builds it, checks that it is static and that it runs, and returns its path.
pub fn run() -> Result<PathBuf> {
    // RUSTFLAGS would replace these flags, not add to them.
    let flags = format!(
        "target.{TRIPLE}.rustflags=[\"-Ctarget-feature=+crt-static\", \"-Cstrip=debuginfo\"]"
    );
    let mut build = cargo(&["build", "--release", "--locked"]);
    build
        .args(["--package=leakprobe", "--bin=leakprobe"])
        .args(["--target", TRIPLE, "--config", &flags])
        .env_remove("RUSTFLAGS")
        .env_remove("CARGO_ENCODED_RUSTFLAGS");
    command::run(&mut build)?;
    let built = target_dir().join(TRIPLE).join("release/leakprobe");
    let path = path();
    // A new file each time: the old one may be running.
    let fresh = path.with_extension("new");
    let dist = target_dir().join("dist");
    fs::create_dir_all(&dist).with_context(|| format!("{} can't be made", dist.display()))?;
    fs::copy(&built, &fresh)
        .and_then(|_| fs::rename(&fresh, &path))
        .with_context(|| format!("{} can't be written", path.display()))?;

    let content = fs::read(&path)?;
    ensure!(
        elf::is_static(&content)?,
        "{} names a program interpreter, so it is not static",
        path.display()
    );
    let version = output(Command::new(&path).arg("--version"))
        .context("the static binary does not run here")?;
    eprintln!(
        "{}: {}, static, {:.1} MiB",
        path.display(),
        version.trim(),
        content.len() as f64 / f64::from(1 << 20)
    );
    Ok(path)
}
