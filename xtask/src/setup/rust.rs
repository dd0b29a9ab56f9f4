//! What the BPF object needs of Rust: bpf-linker, and core's source.

use std::{env, fs, os::unix::fs::symlink, path::PathBuf, process::Command, time::Duration};

use anyhow::{Context, Result, bail};
use leakprobe_guest::cache_dir;

use super::apt::Apt;
use crate::command::{cargo, find, output, run, succeeds_within};

/// The object is compared byte by byte, so its linker's version is fixed.
pub const LINKER_VERSION: &str = "0.13.0";
/// What to type for it.
pub const LINKER_BY_HAND: &str = "LLVM_PREFIX=<where LLVM 22 is> cargo install bpf-linker@0.13.0 \
                                  --no-default-features --features llvm-22";
/// Suite with `rust-src` as new as the compiler.
pub const SOURCE_SUITE: &str = "trixie-backports";

/// The file of the source that cargo asks for first.
const SOURCE_SIGN: &str = "library/Cargo.lock";

/// Whether PATH has bpf-linker in the right version.
pub fn linker_is_here() -> bool {
    output(Command::new("bpf-linker").arg("--version"))
        .is_ok_and(|version| version.split_whitespace().nth(1) == Some(LINKER_VERSION))
}

/// Builds and installs bpf-linker where `cargo install` puts things.
pub fn install_linker() -> Result<()> {
    let prefix = env::var_os("LLVM_PREFIX").unwrap_or_else(|| "/usr/lib/llvm-22".into());
    run(cargo(&[
        "install",
        "--quiet",
        "--force",
        &format!("bpf-linker@{LINKER_VERSION}"),
        "--no-default-features",
        "--features",
        "llvm-22",
    ])
    .env("LLVM_PREFIX", prefix))
}

/// Where cargo looks for it: below the compiler's sysroot.
fn source_link() -> Result<PathBuf> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(sysroot.trim_end()).join("lib/rustlib/src/rust"))
}

/// Whether the compiler has core's source.
pub fn source_is_here() -> Result<bool> {
    Ok(source_link()?.join(SOURCE_SIGN).is_file())
}

/// Asks rustup for the source; where it can't, Debian's package of the same version is unpacked
/// into the cache and linked.
pub fn provide_source(apt: &Apt) -> Result<()> {
    if find("rustup").is_some() {
        let mut rustup = Command::new("rustup");
        rustup.args(["component", "add", "rust-src"]);
        if succeeds_within(&mut rustup, Duration::from_secs(90)) && source_is_here()? {
            return Ok(());
        }
    }

    let version = output(Command::new("rustc").arg("--version"))?;
    let version =
        version.split_whitespace().nth(1).context("`rustc --version` names no version")?;
    let folder = cache_dir()?.join(format!("rust-src-{version}"));
    let source = folder.join("usr/src").join(format!("rustc-{version}"));
    if !source.join(SOURCE_SIGN).is_file() {
        let packages = apt.versions("rust-src")?;
        let Some(package) = packages.iter().find(|v| v.starts_with(&format!("{version}+"))) else {
            bail!(
                "Debian's {SOURCE_SUITE} has no rust-src {version} (it has {}): use a compiler \
                 that it has, or one whose rustup can fetch rust-src",
                packages.join(", ")
            );
        };
        apt.unpack(&format!("rust-src={package}"), &folder)?;
    }

    let link = source_link()?;
    if let Some(parent) = link.parent() {
        fs::create_dir_all(parent)
            .with_context(|| format!("{} can't be made: run this as root", parent.display()))?;
    }
    if link.is_symlink() {
        fs::remove_file(&link)?;
    }
    // rustup leaves empty folders where it gives up. Anything more is not ours to remove.
    let _ = fs::remove_dir(link.join("library"));
    let _ = fs::remove_dir(&link);
    if link.exists() {
        bail!("{} holds something that is not the whole source: move it away", link.display());
    }
    symlink(&source, &link)
        .with_context(|| format!("{} can't be linked: run this as root", link.display()))
}
