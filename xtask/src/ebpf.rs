//! Builds the BPF object that is committed, and checks that it is what its source gives.
//!
//! The object must come out the same, byte for byte, wherever it is built: every path that the
//! compiler would write into it is remapped, and DWARF, which holds more of them, is stripped (BTF
//! stays).

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context as _, Result, bail, ensure};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The committed object and what it was built with, below the workspace.
const OBJECT: &str = "leakprobe/bpf/leakprobe.bpf.o";
const MANIFEST: &str = "leakprobe/bpf/MANIFEST.toml";

const TARGET: &str = "bpfel-unknown-none";
const STRIP: &str = "llvm-strip-22";

/// What an object was built with, and what came out.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Manifest {
    /// Of the object, hexadecimal.
    sha256: String,
    /// `leakprobe_common::ABI_VERSION`.
    abi_version: u32,
    toolchain: Toolchain,
}

/// The tools whose version shows in the bytes.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Toolchain {
    rustc: String,
    bpf_linker: String,
    llvm_strip: String,
}

/// Builds the object and its manifest into `leakprobe/bpf`.
pub fn build() -> Result<()> {
    let toolchain = toolchain()?;
    let object = compile(&root().join("target/bpf"))?;
    let manifest = manifest(&object, toolchain)?;
    fs::create_dir_all(root().join("leakprobe/bpf"))?;
    fs::write(root().join(OBJECT), &object)?;
    let text = toml::to_string(&manifest)?;
    fs::write(root().join(MANIFEST), format!("# Written by `cargo xtask ebpf build`.\n{text}"))?;
    println!("{OBJECT}: {} bytes, sha256 {}", object.len(), manifest.sha256);
    Ok(())
}

/// Builds the object anew in an empty directory and compares it with the committed one.
pub fn check() -> Result<()> {
    const REBUILD: &str = "run `cargo xtask ebpf build` and commit leakprobe/bpf";
    let committed =
        fs::read(root().join(OBJECT)).with_context(|| format!("no {OBJECT}: {REBUILD}"))?;
    let text = fs::read_to_string(root().join(MANIFEST))
        .with_context(|| format!("no {MANIFEST}: {REBUILD}"))?;
    let recorded: Manifest = toml::from_str(&text)
        .with_context(|| format!("{MANIFEST} is not a manifest: {REBUILD}"))?;
    ensure!(
        recorded.sha256 == sha256(&committed),
        "{OBJECT} is not the object that {MANIFEST} describes: {REBUILD}"
    );

    let toolchain = toolchain()?;
    ensure!(
        recorded.toolchain == toolchain,
        "the committed object was built with {:?}, here is {toolchain:?}: the bytes can only be \
         compared with the same tools; {REBUILD}",
        recorded.toolchain
    );
    let scratch = tempfile::tempdir()?;
    let object = compile(scratch.path())?;
    ensure!(object == committed, "{OBJECT} is not what its source gives: {REBUILD}");
    ensure!(recorded == manifest(&object, toolchain)?, "{MANIFEST} is out of date: {REBUILD}");
    println!("{OBJECT}: as its source gives it, sha256 {}", recorded.sha256);
    Ok(())
}

/// Compiles the programs below a target directory and strips them of DWARF.
fn compile(target_directory: &Path) -> Result<Vec<u8>> {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or("cargo".into()));
    cargo
        .current_dir(root())
        .args(["build", "--quiet", "--locked", "--release"])
        .args(["--package", "leakprobe-ebpf", "--target", TARGET])
        .args(["-Z", "build-std=core"])
        .arg("--target-dir")
        .arg(target_directory)
        .env("RUSTC_BOOTSTRAP", "1") // build-std on a stable compiler
        .env("CARGO_ENCODED_RUSTFLAGS", flags()?.join("\x1f"))
        .env_remove("RUSTFLAGS");
    // Set by the cargo that runs this program; they would change what is built.
    for (name, _) in env::vars_os() {
        let name = name.to_string_lossy();
        if name.starts_with("CARGO_PROFILE_") || name.starts_with("CARGO_TARGET_") {
            cargo.env_remove(&*name);
        }
    }
    run(&mut cargo)?;
    let built = target_directory.join(TARGET).join("release/leakprobe");
    let stripped = target_directory.join("leakprobe.bpf.o");
    run(Command::new(STRIP).arg("-g").arg(&built).arg("-o").arg(&stripped))?;
    Ok(fs::read(stripped)?)
}

/// The compiler's flags; the last matching remapping wins.
fn flags() -> Result<Vec<String>> {
    let sysroot = sysroot()?;
    let rust_src = sysroot.join("lib/rustlib/src/rust");
    let mut remappings = vec![
        (sysroot.clone(), "/sysroot".to_owned()),
        (rust_src.clone(), "/rust-src".to_owned()),
        (rust_src.canonicalize()?, "/rust-src".to_owned()),
        (root(), "/leakprobe".to_owned()),
    ];
    // Each registry has a directory of its own, named after its address.
    if let Ok(registries) = fs::read_dir(cargo_home()?.join("registry/src")) {
        for registry in registries {
            remappings.push((registry?.path(), "/registry".to_owned()));
        }
    }
    let mut flags = vec![
        "--cfg=bpf_target_arch=\"x86_64\"".to_owned(),
        "-Cdebuginfo=2".to_owned(), // BTF is made from it
        "-Clink-arg=--btf".to_owned(),
    ];
    flags.extend(
        remappings.iter().map(|(from, to)| format!("--remap-path-prefix={}={to}", from.display())),
    );
    Ok(flags)
}

fn manifest(object: &[u8], toolchain: Toolchain) -> Result<Manifest> {
    Ok(Manifest { sha256: sha256(object), abi_version: abi_version()?, toolchain })
}

/// Read from the source, so that building this program needs nothing of what it builds.
fn abi_version() -> Result<u32> {
    let source = fs::read_to_string(root().join("leakprobe-common/src/lib.rs"))?;
    source
        .lines()
        .find_map(|line| line.strip_prefix("pub const ABI_VERSION: u32 = "))
        .and_then(|rest| rest.trim_end_matches(';').parse().ok())
        .context("leakprobe-common/src/lib.rs has no ABI_VERSION")
}

fn toolchain() -> Result<Toolchain> {
    let source = sysroot()?.join("lib/rustlib/src/rust/library/Cargo.lock");
    ensure!(
        source.exists(),
        "the source of Rust's core library is not at {}: run `cargo xtask setup`",
        source.display()
    );
    Ok(Toolchain {
        rustc: version("rustc", "rustc ")?,
        bpf_linker: version("bpf-linker", "bpf-linker ")?,
        llvm_strip: version(STRIP, "version ")?,
    })
}

/// What `program --version` says after `label`, to the end of its line.
fn version(program: &str, label: &str) -> Result<String> {
    let text = output(Command::new(program).arg("--version"))?;
    let line = text.lines().find_map(|line| line.split_once(label));
    let (_, version) = line.with_context(|| format!("{program} says no version"))?;
    Ok(version.trim().to_owned())
}

fn sysroot() -> Result<PathBuf> {
    let sysroot = output(Command::new("rustc").args(["--print", "sysroot"]))?;
    Ok(PathBuf::from(sysroot.trim_end()))
}

fn cargo_home() -> Result<PathBuf> {
    if let Some(home) = env::var_os("CARGO_HOME") {
        return Ok(PathBuf::from(home));
    }
    let home = env::home_dir().context("there is no home directory: set CARGO_HOME")?;
    Ok(home.join(".cargo"))
}

fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn output(command: &mut Command) -> Result<String> {
    let output = command.output().with_context(|| missing(command))?;
    if !output.status.success() {
        bail!("{command:?} failed: {}", String::from_utf8_lossy(&output.stderr));
    }
    Ok(String::from_utf8(output.stdout)?)
}

fn run(command: &mut Command) -> Result<()> {
    let status = command.status().with_context(|| missing(command))?;
    ensure!(status.success(), "{command:?} failed");
    Ok(())
}

fn missing(command: &Command) -> String {
    let program = command.get_program().to_string_lossy();
    format!("{program} cannot be run: `cargo xtask setup` installs what building the object needs")
}
