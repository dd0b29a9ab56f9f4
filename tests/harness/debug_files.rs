//! Debug information where a system keeps it: by build id.

use std::{
    fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result};

/// A debug file that stands under `/usr/lib/debug/.build-id` until this is dropped.
#[derive(Debug)]
pub struct InstalledDebugFile(PathBuf);

impl InstalledDebugFile {
    /// Installs `debug` as the debug information of `program`.
    ///
    /// # Errors
    ///
    /// The program has no build id, or the folder can't be written.
    pub fn new(program: &Path, debug: &Path) -> Result<Self> {
        let output = Command::new("readelf").arg("-n").arg(program).output()?;
        let text = String::from_utf8_lossy(&output.stdout);
        let id = text
            .split("Build ID: ")
            .nth(1)
            .and_then(|rest| rest.split_whitespace().next())
            .with_context(|| format!("{} has no build id", program.display()))?;
        let (first, rest) = id.split_at_checked(2).context("the build id is too short")?;
        let folder = Path::new("/usr/lib/debug/.build-id").join(first);
        fs::create_dir_all(&folder)?;
        let path = folder.join(format!("{rest}.debug"));
        let _ = fs::remove_file(&path); // left by a run that was killed
        symlink(debug, &path).with_context(|| format!("creating {}", path.display()))?;
        Ok(InstalledDebugFile(path))
    }
}

impl Drop for InstalledDebugFile {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}
