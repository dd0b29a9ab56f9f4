//! Files that take the place of another once they are complete, and are gone if they never are.

use std::{
    fs::{self, File, OpenOptions, Permissions},
    io,
    os::unix::fs::{MetadataExt, PermissionsExt, fchown},
    path::{Path, PathBuf},
    process,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

/// Temporary files that are being written, so that an abort can remove them.
#[derive(Clone, Debug, Default)]
pub struct Unfinished(Arc<Mutex<Vec<PathBuf>>>);

impl Unfinished {
    /// Removes all of them.
    pub fn remove_all(&self) {
        for path in self.list().drain(..) {
            // It is gone, or nothing more can be done about it on the way out.
            let _ = fs::remove_file(path);
        }
    }

    fn list(&self) -> MutexGuard<'_, Vec<PathBuf>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file beside the one it is for, removed when dropped.
#[derive(Debug)]
pub struct Temporary {
    file: File,
    path: PathBuf,
    unfinished: Unfinished,
}

impl Temporary {
    /// Makes an empty one.
    pub fn create(beside: &Path, unfinished: &Unfinished) -> io::Result<Temporary> {
        let name = (beside.file_name())
            .ok_or_else(|| io::Error::new(io::ErrorKind::InvalidInput, "no file name"))?;
        // Short of the name itself, which may already be as long as names can be.
        let name = name.to_string_lossy();
        let name: String = name.chars().take(32).collect();
        let mut attempt = 0;
        loop {
            let own = format!(".{name}.{}.{attempt}.tmp", process::id());
            let path = parent(beside).join(own);
            // create_new never follows a link that someone put there.
            match OpenOptions::new().write(true).create_new(true).open(&path) {
                Ok(file) => {
                    unfinished.list().push(path.clone());
                    return Ok(Temporary { file, path, unfinished: unfinished.clone() });
                }
                // A run that was killed may have left one, and process ids come round again.
                Err(e) if e.kind() == io::ErrorKind::AlreadyExists && attempt < 16 => attempt += 1,
                Err(e) => return Err(e),
            }
        }
    }

    /// What is to be filled.
    pub fn file(&self) -> &File {
        &self.file
    }

    /// Renames it to `file`, which keeps its owner and mode.
    pub fn take_place_of(self, file: &Path) -> io::Result<()> {
        if let Ok(there) = fs::metadata(file) {
            // A report written by root over a user's file stays the user's. Owner first: changing it
            // clears mode bits. Not every file system has owners.
            let _ = fchown(&self.file, Some(there.uid()), Some(there.gid()));
            let mode = Permissions::from_mode(there.mode() & 0o777);
            let _ = self.file.set_permissions(mode);
        }
        // Some file systems tell only now that there was no room.
        self.file.sync_all()?;
        fs::rename(&self.path, file)
    }
}

impl Drop for Temporary {
    fn drop(&mut self) {
        // After the rename there is nothing left by that name.
        let _ = fs::remove_file(&self.path);
        self.unfinished.list().retain(|path| *path != self.path);
    }
}

/// The directory that a file is in.
pub fn parent(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}
