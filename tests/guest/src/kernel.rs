//! Which kernels can be booted, and where their images are kept.

use std::{
    cmp::Ordering,
    env,
    path::{Path, PathBuf},
};

use anyhow::{Context, Result, bail};

/// A stock Debian kernel.
#[derive(Debug)]
pub struct Kernel {
    /// Its version as people say it: `6.1`.
    pub name: &'static str,
    /// Debian suite that holds it.
    pub suite: &'static str,
    /// How the package's name begins …
    pub package_prefix: &'static str,
    /// … and ends. Between them stands the ABI number; the newest is taken.
    pub package_suffix: &'static str,
}

/// All that are known, oldest first. Each is here because the kernel offers BPF programs something
/// that the one before it did not.
pub const KERNELS: &[Kernel] = &[
    Kernel {
        name: "5.10",
        suite: "bullseye",
        package_prefix: "linux-image-5.10.0-",
        package_suffix: "-cloud-amd64",
    },
    Kernel {
        name: "6.1",
        suite: "bookworm",
        package_prefix: "linux-image-6.1.0-",
        package_suffix: "-cloud-amd64",
    },
    Kernel {
        name: "6.12",
        suite: "bookworm-backports",
        package_prefix: "linux-image-6.12.",
        package_suffix: "+deb12-cloud-amd64",
    },
    Kernel {
        name: "7.3",
        suite: "trixie-backports",
        package_prefix: "linux-binary-7.3.",
        package_suffix: "+deb13-cloud-amd64",
    },
];

impl Kernel {
    /// The kernel called `name` (`6.1`).
    pub fn named(name: &str) -> Result<&'static Kernel> {
        if let Some(kernel) = KERNELS.iter().find(|k| k.name == name) {
            return Ok(kernel);
        }
        let known: Vec<_> = KERNELS.iter().map(|k| k.name).collect();
        bail!("no kernel called {name}: there are {}", known.join(", "));
    }

    /// Where its image is kept.
    pub fn image_path(&self) -> Result<PathBuf> {
        Ok(cache_dir()?.join("kernels").join(self.name).join("vmlinuz"))
    }

    /// Its image, which must have been fetched.
    pub fn image(&self) -> Result<PathBuf> {
        let path = self.image_path()?;
        if !path.is_file() {
            bail!(
                "kernel {} is not here ({} is absent): run `cargo xtask setup`",
                self.name,
                path.display()
            );
        }
        Ok(path)
    }

    /// Whether a package of this name holds such a kernel.
    pub fn is_package(&self, package: &str) -> bool {
        self.abi(package).is_some()
    }

    fn abi<'p>(&self, package: &'p str) -> Option<&'p str> {
        package
            .strip_prefix(self.package_prefix)?
            .strip_suffix(self.package_suffix)
            .filter(|abi| abi.starts_with(|c: char| c.is_ascii_digit()))
    }
}

/// The newest of `packages` that holds `kernel`.
pub fn newest<'p>(kernel: &Kernel, packages: impl IntoIterator<Item = &'p str>) -> Option<&'p str> {
    packages
        .into_iter()
        .filter_map(|package| Some((package, kernel.abi(package)?)))
        .max_by(|(_, a), (_, b)| by_numbers(a, b))
        .map(|(package, _)| package)
}

/// Compares two version strings number by number.
fn by_numbers(a: &str, b: &str) -> Ordering {
    let numbers = |s: &str| -> Vec<u64> {
        s.split(|c: char| !c.is_ascii_digit()).filter_map(|n| n.parse().ok()).collect()
    };
    numbers(a).cmp(&numbers(b))
}

/// Where things that were fetched once are kept: `$XDG_CACHE_HOME/leakprobe`, else
/// `~/.cache/leakprobe`.
pub fn cache_dir() -> Result<PathBuf> {
    let base = match env::var_os("XDG_CACHE_HOME").filter(|d| Path::new(d).is_absolute()) {
        Some(dir) => PathBuf::from(dir),
        None => PathBuf::from(env::var_os("HOME").context(
            "neither XDG_CACHE_HOME nor HOME is set: set one, so that downloads have a place",
        )?)
        .join(".cache"),
    };
    Ok(base.join("leakprobe"))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the newest ABI is found by number, not by letter, and that packages which hold
    /// something else (debug symbols, unsigned images, other flavours) are passed over.
    #[test]
    fn newest_package() {
        let kernel = Kernel::named("6.1").unwrap();
        let packages = [
            "linux-image-6.1.0-9-cloud-amd64",
            "linux-image-6.1.0-50-cloud-amd64",
            "linux-image-6.1.0-47-cloud-amd64",
            "linux-image-6.1.0-99-cloud-amd64-dbg",
            "linux-image-6.1.0-99-amd64",
            "linux-image-6.12.0-99-cloud-amd64",
        ];
        assert_eq!(newest(kernel, packages), Some(packages[1]));
        assert_eq!(newest(kernel, ["bash"]), None);
    }

    /// Check that an unknown kernel's error names the known ones.
    #[test]
    fn unknown_kernel() {
        let error = Kernel::named("2.4").unwrap_err().to_string();
        assert!(error.contains("6.1"), "{error}");
    }
}
