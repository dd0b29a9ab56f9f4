//! What is needed: how to see that it is there, and how to provide it.

use std::{
    fmt, fs,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result};
use leakprobe_guest::{Kernel, cache_dir, newest};

use super::{apt::Apt, rust};
use crate::{command::find, elf};

/// How to see that a package, or its equivalent, is there.
#[derive(Clone, Copy)]
pub enum Proof {
    /// PATH has this program.
    Program(&'static str),
    /// This file exists.
    File(&'static str),
    /// This program exists and is linked statically.
    Static(&'static str),
}

/// A package of the system.
pub struct Package {
    /// Its name in Debian.
    pub name: &'static str,
    /// How to see that it is there.
    pub proof: Proof,
    /// What it is for.
    pub purpose: &'static str,
    /// Take it from the release's backports.
    pub backport: bool,
}

const fn package(name: &'static str, proof: Proof, purpose: &'static str) -> Package {
    Package { name, proof, purpose, backport: false }
}

/// All packages that are installed.
pub const PACKAGES: &[Package] = &[
    package("gcc", Proof::Program("gcc"), "C workloads"),
    package("libc6-dev", Proof::File("/usr/lib/x86_64-linux-gnu/libc.a"), "static C workloads"),
    package("g++", Proof::Program("g++"), "building bpf-linker"),
    package("musl-tools", Proof::Program("musl-gcc"), "musl workloads"),
    package("binutils", Proof::Program("objcopy"), "workloads with separate debug info"),
    package("llvm-22-dev", Proof::File("/usr/lib/llvm-22/bin/llvm-config"), "building bpf-linker"),
    package(
        "libpolly-22-dev",
        Proof::File("/usr/lib/llvm-22/lib/libPolly.a"),
        "building bpf-linker",
    ),
    package("llvm-22", Proof::Program("llvm-strip-22"), "stripping the BPF object"),
    package("zlib1g-dev", Proof::File("/usr/include/zlib.h"), "building bpf-linker"),
    package("libzstd-dev", Proof::File("/usr/include/zstd.h"), "building bpf-linker"),
    package("busybox-static", Proof::Static("/bin/busybox"), "VM guests"),
    package("elfutils", Proof::Program("eu-stack"), "comparisons"),
    package("gdb", Proof::Program("gdb"), "comparisons"),
    package("util-linux", Proof::Program("unshare"), "workloads in their own namespaces"),
    // From backports: bookworm's own conflicts with a qemu-utils from there, which cloud images have.
    Package {
        backport: true,
        ..package("qemu-system-x86", Proof::Program("qemu-system-x86_64"), "VM tests")
    },
];

/// One thing that is needed.
pub enum Item {
    /// A package that is installed.
    Package(&'static Package),
    /// nginx, for the test on a real server. Unpacked, not installed: installing it would start a
    /// server on this machine.
    Server,
    /// The linker of the BPF object.
    BpfLinker,
    /// core's source, which the BPF object is built with.
    RustSource,
    /// A kernel for VM guests. Unpacked, not installed.
    Kernel(&'static Kernel),
}

impl Item {
    /// Whether it is there. Fast, and without network.
    pub fn is_here(&self) -> Result<bool> {
        Ok(match self {
            Item::Package(package) => match package.proof {
                Proof::Program(program) => find(program).is_some(),
                Proof::File(path) => Path::new(path).exists(),
                Proof::Static(path) => {
                    fs::read(path).is_ok_and(|file| elf::is_static(&file).unwrap_or(false))
                }
            },
            Item::Server => find("nginx").is_some() || server_folder()?.join("nginx").is_file(),
            Item::BpfLinker => rust::linker_is_here(),
            Item::RustSource => rust::source_is_here()?,
            Item::Kernel(kernel) => kernel.image_path()?.is_file(),
        })
    }

    /// The Debian suite, other than the machine's own, that it comes from.
    pub fn suite(&self) -> Option<&'static str> {
        match self {
            Item::RustSource => Some(rust::SOURCE_SUITE),
            Item::Kernel(kernel) => Some(kernel.suite),
            Item::Package(_) | Item::Server | Item::BpfLinker => None,
        }
    }

    /// Provides it. Packages are installed together, before this.
    pub fn provide(&self, apt: &Apt) -> Result<()> {
        match self {
            Item::Package(_) => Ok(()),
            Item::Server => apt.unpack("nginx", &cache_dir()?.join("nginx")),
            Item::BpfLinker => rust::install_linker(),
            Item::RustSource => rust::provide_source(apt),
            Item::Kernel(kernel) => fetch_kernel(kernel, apt),
        }
    }

    /// What someone on a system that is not Debian is to do.
    pub fn by_hand(&self) -> String {
        match self {
            Item::Package(package) => format!(
                "install what Debian calls {}: {}",
                package.name,
                match package.proof {
                    Proof::Program(program) => format!("it has the program {program}"),
                    Proof::File(path) => format!("it has {path}"),
                    Proof::Static(path) => format!("{path} must be linked statically"),
                }
            ),
            Item::Server => "install nginx".to_owned(),
            Item::BpfLinker => rust::LINKER_BY_HAND.to_owned(),
            Item::RustSource => "rustup component add rust-src".to_owned(),
            Item::Kernel(kernel) => format!(
                "unpack Debian's package {}N{} ({}) and put its kernel image at {}",
                kernel.package_prefix,
                kernel.package_suffix,
                kernel.suite,
                kernel
                    .image_path()
                    .map_or_else(|e| e.to_string(), |path| path.display().to_string())
            ),
        }
    }
}

impl fmt::Display for Item {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Item::Package(package) => write!(f, "{} ({})", package.name, package.purpose),
            Item::Server => write!(f, "nginx (test on a real server)"),
            Item::BpfLinker => write!(f, "bpf-linker {} (BPF object)", rust::LINKER_VERSION),
            Item::RustSource => write!(f, "core's source (BPF object)"),
            Item::Kernel(kernel) => write!(f, "kernel {} (VM tests)", kernel.name),
        }
    }
}

/// Where the unpacked nginx is, for tests to find it by PATH.
pub fn server_folder() -> Result<PathBuf> {
    Ok(cache_dir()?.join("nginx/usr/sbin"))
}

/// Keeps only the image: the modules would be a hundred times its size and guests load none.
fn fetch_kernel(kernel: &Kernel, apt: &Apt) -> Result<()> {
    let names = apt.names(kernel.package_prefix)?;
    let package = newest(kernel, names.iter().map(String::as_str)).with_context(|| {
        format!(
            "suite {} has no package {}N{}",
            kernel.suite, kernel.package_prefix, kernel.package_suffix
        )
    })?;
    let image = kernel.image_path()?;
    let folder = image.parent().context("the image has no folder")?;
    fs::create_dir_all(folder)?;
    let unpacked = tempfile::tempdir_in(folder)?;
    let tree = unpacked.path().join("tree");
    apt.unpack(package, &tree)?;
    let found = image_below(&tree).with_context(|| format!("{package} holds no kernel image"))?;
    fs::write(folder.join("package"), format!("{package}\n"))?;
    fs::rename(found, &image)?;
    Ok(())
}

/// `boot/vmlinuz-*`, or `usr/lib/modules/*/vmlinuz` in newer packages.
fn image_below(tree: &Path) -> Option<PathBuf> {
    let entries = |folder: PathBuf| {
        fs::read_dir(folder).into_iter().flatten().filter_map(|entry| Some(entry.ok()?.path()))
    };
    let in_boot = entries(tree.join("boot")).find(|path| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("vmlinuz-"))
    });
    in_boot.or_else(|| {
        entries(tree.join("usr/lib/modules"))
            .map(|modules| modules.join("vmlinuz"))
            .find(|path| path.is_file())
    })
}
