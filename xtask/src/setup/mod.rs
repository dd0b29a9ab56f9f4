//! `cargo xtask setup`: what building the BPF object, the workloads and the VM tests need.
//!
//! What is there already is left alone, whoever installed it; so a second run does nothing, and a
//! system that this file doesn't know passes once all is there. The system's package sources are
//! never changed.

use std::time::Instant;

use anyhow::{Result, bail};
use leakprobe_guest::{KERNELS, Kernel};

use crate::command::{find, is_root};

mod apt;
mod item;
mod rust;

use apt::Apt;
use item::{Item, PACKAGES};

pub use item::server_folder;

/// Makes sure that everything is there, and the VM kernels named (besides the default ones).
pub fn run(kernels: &[String]) -> Result<()> {
    let mut wanted: Vec<Item> = PACKAGES.iter().map(Item::Package).collect();
    wanted.extend([Item::Server, Item::BpfLinker, Item::RustSource]);
    let mut images: Vec<&Kernel> = KERNELS.iter().filter(|k| k.by_default).collect();
    for name in kernels {
        let kernel = Kernel::named(name)?;
        if !images.iter().any(|k| k.name == kernel.name) {
            images.push(kernel);
        }
    }
    wanted.extend(images.into_iter().map(Item::Kernel));
    provide(wanted)
}

/// Makes sure that there is a C compiler, which is all that the demo needs besides Rust.
pub fn c_compiler() -> Result<()> {
    provide(
        PACKAGES
            .iter()
            .filter(|p| p.name == "gcc" || p.name == "libc6-dev")
            .map(Item::Package)
            .collect(),
    )
}

fn provide(wanted: Vec<Item>) -> Result<()> {
    let missing = missing(wanted)?;
    if missing.is_empty() {
        eprintln!("setup: everything is here");
        return Ok(());
    }
    for item in &missing {
        eprintln!("setup: missing: {item}");
    }
    if !apt::is_debian() {
        for item in &missing {
            eprintln!("setup: by hand: {}", item.by_hand());
        }
        bail!("this system is not Debian: provide what is missing by hand, as said above");
    }

    let began = Instant::now();
    let apt = Apt::new(missing.iter().filter_map(Item::suite))?;
    let packages: Vec<_> = missing
        .iter()
        .filter_map(|item| match item {
            Item::Package(package) => Some(*package),
            _ => None,
        })
        .collect();
    if !packages.is_empty() {
        if !is_root() && find("sudo").is_none() {
            bail!("installing packages needs root, and there is no sudo: run this as root");
        }
        apt.install(&packages)?;
    }
    for item in &missing {
        item.provide(&apt)?;
    }

    let still: Vec<String> = self::missing(missing)?.iter().map(ToString::to_string).collect();
    if !still.is_empty() {
        bail!("still missing after installing: {}", still.join("; "));
    }
    eprintln!("setup: done in {:.0} s", began.elapsed().as_secs_f64());
    Ok(())
}

fn missing(wanted: Vec<Item>) -> Result<Vec<Item>> {
    let mut missing = Vec::new();
    for item in wanted {
        if !item.is_here()? {
            missing.push(item);
        }
    }
    Ok(missing)
}
