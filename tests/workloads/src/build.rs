//! Building workloads: one program, one way of compiling it.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::SystemTime,
};

use anyhow::{Context, Result, bail, ensure};

/// A workload's source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// Waits of every common kind; two of them leaks.
    Waits,
    /// Its healthy twin.
    Healthy,
    /// One thread in each further way to wait.
    Calls,
    /// Mutexes of every type; takes a mode.
    Locks,
    /// Stacks and names that are hard to read; takes a mode.
    Frames,
    /// Memory whose reading blocks.
    Faults,
    /// A process that exits or executes itself anew; takes a mode.
    Ends,
    /// 10,000 threads and a ticker.
    Many,
    /// Uses as much CPU as it is told to.
    Burner,
    /// The leaky program in Rust.
    RustWaits,
}

impl Program {
    /// Name of the built file.
    pub fn name(self) -> &'static str {
        match self {
            Program::Waits => "waits",
            Program::Healthy => "healthy",
            Program::Calls => "calls",
            Program::Locks => "locks",
            Program::Frames => "frames",
            Program::Faults => "faults",
            Program::Ends => "ends",
            Program::Many => "many",
            Program::Burner => "burner",
            Program::RustWaits => "rust-waits",
        }
    }

    fn source(self) -> PathBuf {
        let sources = repository().join("tests/workloads");
        match self {
            Program::RustWaits => sources.join("rust/waits.rs"),
            in_c => sources.join(format!("c/{}.c", in_c.name())),
        }
    }
}

/// A way of compiling.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Variant {
    /// Not optimised, with debug information.
    Plain,
    /// `-O2 -fomit-frame-pointer`, with debug information. As all below.
    Optimized,
    /// At a fixed address.
    NonPie,
    /// Stripped; the debug information in a file of its own that a `.gnu_debuglink` names.
    DebugLink,
    /// Stripped; the debug information in a file of its own that only the build id leads to
    /// ([`debug_file`]).
    DebugById,
    /// Stripped, and no debug information anywhere. In Rust: a release build, stripped.
    Stripped,
    /// glibc linked in.
    Static,
    /// glibc linked in, at any address.
    StaticPie,
    /// With musl.
    Musl,
    /// musl linked in.
    MuslStatic,
}

impl Variant {
    /// Every way of compiling C.
    pub const ALL: [Variant; 10] = [
        Variant::Plain,
        Variant::Optimized,
        Variant::NonPie,
        Variant::DebugLink,
        Variant::DebugById,
        Variant::Stripped,
        Variant::Static,
        Variant::StaticPie,
        Variant::Musl,
        Variant::MuslStatic,
    ];

    /// Name of the folder that the built file is in.
    pub fn name(self) -> &'static str {
        match self {
            Variant::Plain => "plain",
            Variant::Optimized => "optimized",
            Variant::NonPie => "non-pie",
            Variant::DebugLink => "debug-link",
            Variant::DebugById => "debug-by-id",
            Variant::Stripped => "stripped",
            Variant::Static => "static",
            Variant::StaticPie => "static-pie",
            Variant::Musl => "musl",
            Variant::MuslStatic => "musl-static",
        }
    }

    /// Whether it runs on musl.
    pub fn is_musl(self) -> bool {
        matches!(self, Variant::Musl | Variant::MuslStatic)
    }

    /// Whether the program's own functions have names anywhere.
    pub fn has_names(self) -> bool {
        self != Variant::Stripped
    }

    fn flags(self) -> &'static [&'static str] {
        match self {
            Variant::Plain => &["-O0"],
            Variant::NonPie => &["-O2", "-fomit-frame-pointer", "-no-pie"],
            Variant::Static | Variant::MuslStatic => &["-O2", "-fomit-frame-pointer", "-static"],
            Variant::StaticPie => &["-O2", "-fomit-frame-pointer", "-static-pie"],
            _ => &["-O2", "-fomit-frame-pointer"],
        }
    }
}

/// Root of the repository.
pub fn repository() -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).unwrap_or(here).to_owned()
}

fn output_folder() -> PathBuf {
    std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| repository().join("target"), PathBuf::from)
        .join("workloads")
}

/// Builds a program unless it is there already and newer than every source, and returns its path.
///
/// # Errors
///
/// A compiler is missing or refuses the source; the message is the compiler's own.
pub fn build(program: Program, variant: Variant) -> Result<PathBuf> {
    let folder = output_folder().join(variant.name());
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    let built = folder.join(program.name());
    // Several test programs may want the same workload at the same time.
    let lock = File::create(output_folder().join("lock")).context("creating the build lock")?;
    lock.lock().context("taking the build lock")?;
    if is_fresh(&built)? {
        return Ok(built);
    }
    let fresh = built.with_extension("new");
    match program {
        Program::RustWaits => compile_rust(program, variant, &fresh),
        _ => compile_c(program, variant, &fresh),
    }
    .with_context(|| format!("building {} ({})", program.name(), variant.name()))?;
    if let Some(debug) = debug_file(&built) {
        split_debug(&fresh, &debug, variant)?;
    }
    fs::rename(&fresh, &built).context("moving the built workload into place")?;
    Ok(built)
}

/// Where [`build`] leaves the debug information that it took out of `built`, if it did.
pub fn debug_file(built: &Path) -> Option<PathBuf> {
    let folder = built.parent()?;
    let variant = folder.file_name()?;
    let name = format!("{}.debug", built.file_name()?.to_str()?);
    if variant == Variant::DebugLink.name() {
        Some(folder.join(".debug").join(name))
    } else if variant == Variant::DebugById.name() {
        Some(folder.join("apart").join(name))
    } else {
        None
    }
}

/// Whether the file is newer than every source of every workload and than this program's own.
fn is_fresh(built: &Path) -> Result<bool> {
    let Ok(built) = fs::metadata(built).and_then(|m| m.modified()) else {
        return Ok(false);
    };
    let mut newest = SystemTime::UNIX_EPOCH;
    for folder in ["c", "rust", "src"] {
        let folder = repository().join("tests/workloads").join(folder);
        for entry in fs::read_dir(&folder).with_context(|| folder.display().to_string())? {
            newest = newest.max(entry?.metadata()?.modified()?);
        }
    }
    Ok(built > newest)
}

fn compile_c(program: Program, variant: Variant, to: &Path) -> Result<()> {
    let compiler = if variant.is_musl() { "musl-gcc" } else { "gcc" };
    let mut command = Command::new(compiler);
    command
        .args(["-std=gnu11", "-Wall", "-Wextra", "-Werror", "-g", "-pthread"])
        .args(variant.flags())
        // Two variants never have the same build id.
        .arg(format!("-Wl,--defsym=variant_{}=1", variant as u32))
        .arg("-Wl,--build-id")
        .arg(program.source())
        .arg("-o")
        .arg(to);
    run(&mut command)?;
    if variant == Variant::Stripped {
        run(Command::new("strip").arg("--strip-all").arg(to))?;
    }
    Ok(())
}

fn compile_rust(program: Program, variant: Variant, to: &Path) -> Result<()> {
    let mut command = Command::new(std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into()));
    command.args(["--edition", "2024"]);
    match variant {
        Variant::Plain => command.arg("-g"),
        Variant::Optimized => command.args(["-O", "-g"]),
        Variant::Stripped => command.args(["-O", "-C", "strip=symbols"]),
        _ => bail!("Rust workloads are built plain, optimized or stripped"),
    };
    run(command.arg(program.source()).arg("-o").arg(to))
}

/// Moves the debug information of `built` into `debug`.
fn split_debug(built: &Path, debug: &Path, variant: Variant) -> Result<()> {
    if let Some(folder) = debug.parent() {
        fs::create_dir_all(folder)?;
    }
    run(Command::new("objcopy").arg("--only-keep-debug").arg(built).arg(debug))?;
    run(Command::new("strip").arg("--strip-all").arg(built))?;
    if variant == Variant::DebugLink {
        let mut link = std::ffi::OsString::from("--add-gnu-debuglink=");
        link.push(debug);
        run(Command::new("objcopy").arg(link).arg(built))?;
    }
    Ok(())
}

fn run(command: &mut Command) -> Result<()> {
    let name = command.get_program().to_string_lossy().into_owned();
    let output = command
        .output()
        .with_context(|| format!("running {name}: is it installed? `cargo xtask setup` does it"))?;
    ensure!(output.status.success(), "{name} failed:\n{}", String::from_utf8_lossy(&output.stderr));
    Ok(())
}
