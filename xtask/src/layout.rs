//! Where things are.

use std::{
    env,
    path::{Path, PathBuf},
};

/// The target whose standard library can be linked statically; named, so that `+crt-static` does
/// not reach build scripts and procedural macros.
pub const TRIPLE: &str = "x86_64-unknown-linux-gnu";

/// The repository.
pub fn root() -> PathBuf {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR"));
    manifest.parent().unwrap_or(manifest).to_owned()
}

/// Where cargo builds.
pub fn target_dir() -> PathBuf {
    match env::var_os("CARGO_TARGET_DIR") {
        Some(dir) => root().join(dir),
        None => root().join("target"),
    }
}
