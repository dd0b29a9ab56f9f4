//! `cargo xtask setup`: what building the BPF object, the workloads and the VM tests need.
//!
//! What is there already is left alone, whoever installed it; so a second run does nothing, and a
//! system that this file doesn't know passes once all is there. The system's package sources are
//! never changed.

use std::time::Instant;

use anyhow::{Result, bail};
use leakprobe_guest::KERNELS;

use crate::command::{find, is_root};

mod apt;
mod item;
mod rust;

use apt::Apt;
use item::{Item, PACKAGES};

pub use item::server_folder;

/// Makes sure that everything is there.
pub fn run() -> Result<()> {
    let mut wanted: Vec<Item> = PACKAGES.iter().map(Item::Package).collect();
    wanted.extend([Item::Server, Item::BpfLinker, Item::RustSource]);
    wanted.extend(KERNELS.iter().map(Item::Kernel));
    provide(wanted)
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
