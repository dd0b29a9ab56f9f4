//! Where an output goes, tried before there is anything to write.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, BufWriter, Write},
    path::{Path, PathBuf},
};

use super::temporary::{Temporary, Unfinished, parent};

/// A place that can't be written to.
#[derive(Debug, thiserror::Error)]
pub enum DestinationError {
    /// It is a directory.
    #[error("can't write {}: it is a directory; name a file in it", .0.display())]
    IsDirectory(PathBuf),
    /// A folder that isn't there.
    #[error("can't write {}: there is no directory {}; create it, or name another file",
            .path.display(), .parent.display())]
    NoDirectory {
        /// The file.
        path: PathBuf,
        /// Where it was to be.
        parent: PathBuf,
    },
    /// The file is there but must not be written.
    #[error("can't write {} ({why}): name another file", .path.display())]
    File {
        /// The file.
        path: PathBuf,
        /// Why not.
        why: io::Error,
    },
    /// No file can be made in the directory.
    #[error("can't write {}: no file can be created in {} ({why}); name one in another directory",
            .path.display(), .parent.display())]
    Directory {
        /// The file.
        path: PathBuf,
        /// The directory.
        parent: PathBuf,
        /// Why not.
        why: io::Error,
    },
}

/// A place for an output that was found good.
#[derive(Debug)]
pub struct Destination {
    path: PathBuf,
    way: Way,
    unfinished: Unfinished,
}

#[derive(Debug)]
enum Way {
    /// A pipe, a terminal, /dev/null …: written as it is. Held open, so that a reader sees its end.
    Direct(File),
    /// A regular file: a temporary file beside it takes its place.
    Replace {
        /// The file itself where `path` is a link to it.
        file: PathBuf,
    },
}

impl Destination {
    /// Checks that `path` can be written, without changing what is there.
    pub fn check(path: &Path, unfinished: &Unfinished) -> Result<Destination, DestinationError> {
        Ok(Destination {
            path: path.to_owned(),
            way: way(path, unfinished)?,
            unfinished: unfinished.clone(),
        })
    }

    /// As the user named it.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Writes all of it. After an error a regular file is as it was before.
    pub fn write(
        self,
        fill: impl FnOnce(&mut dyn Write) -> anyhow::Result<()>,
    ) -> anyhow::Result<()> {
        match self.way {
            Way::Direct(file) => {
                let mut w = BufWriter::new(file);
                fill(&mut w)?;
                Ok(w.flush()?)
            }
            Way::Replace { file } => {
                let temporary = Temporary::create(&file, &self.unfinished)?;
                let mut w = BufWriter::new(temporary.file());
                fill(&mut w)?;
                w.flush()?;
                drop(w);
                Ok(temporary.take_place_of(&file)?)
            }
        }
    }
}

fn way(path: &Path, unfinished: &Unfinished) -> Result<Way, DestinationError> {
    let failed = |why| DestinationError::File { path: path.to_owned(), why };
    let file = match fs::metadata(path) {
        Ok(there) if there.is_dir() => return Err(DestinationError::IsDirectory(path.to_owned())),
        Ok(there) => {
            // Opening tells more than the mode bits: access lists, read-only mounts, immutable files.
            let open = OpenOptions::new().write(true).open(path).map_err(failed)?;
            if !there.is_file() {
                return Ok(Way::Direct(open));
            }
            fs::canonicalize(path).map_err(failed)?
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => path.to_owned(),
        Err(e) => return Err(failed(e)),
    };
    let parent = parent(&file);
    if !parent.is_dir() {
        return Err(DestinationError::NoDirectory {
            path: path.to_owned(),
            parent: parent.to_owned(),
        });
    }
    // The only sure test; the file goes at once, so that a long run leaves nothing lying about.
    Temporary::create(&file, unfinished).map_err(|why| DestinationError::Directory {
        path: path.to_owned(),
        parent: parent.to_owned(),
        why,
    })?;
    Ok(Way::Replace { file })
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};

    use super::*;

    fn check(path: &Path) -> Result<Destination, DestinationError> {
        Destination::check(path, &Unfinished::default())
    }

    fn names(dir: &Path) -> Vec<String> {
        let mut names: Vec<String> = fs::read_dir(dir)
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        names
    }

    #[test]
    fn checking_leaves_no_trace() {
        // Check that a check creates nothing and changes nothing.
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("old"), "kept").unwrap();
        check(&dir.path().join("new")).unwrap();
        check(&dir.path().join("old")).unwrap();
        assert_eq!(names(dir.path()), ["old"]);
        assert_eq!(fs::read_to_string(dir.path().join("old")).unwrap(), "kept");
    }

    #[test]
    fn replaces_whole() {
        // Check that a written file replaces the old one, keeps its mode and leaves nothing beside it.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        fs::write(&path, "a longer text than the new one").unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o640)).unwrap();
        let destination = check(&path).unwrap();
        destination.write(|w| Ok(w.write_all(b"new")?)).unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "new");
        assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o640);
        assert_eq!(names(dir.path()), ["out"]);
    }

    #[test]
    fn failure_keeps_the_old() {
        // Check that a failure midway leaves the old file as it was and no half file.
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        fs::write(&path, "old").unwrap();
        let destination = check(&path).unwrap();
        let failed = destination.write(|w| {
            w.write_all(b"half")?;
            anyhow::bail!("disk full")
        });
        assert!(failed.is_err());
        assert_eq!(fs::read_to_string(&path).unwrap(), "old");
        assert_eq!(names(dir.path()), ["out"]);
    }

    #[test]
    fn abort_removes_the_unfinished() {
        // Check that what is being written can be removed from elsewhere.
        let dir = tempfile::tempdir().unwrap();
        let unfinished = Unfinished::default();
        let destination = Destination::check(&dir.path().join("out"), &unfinished).unwrap();
        let mut seen = Vec::new();
        let result = destination.write(|_| {
            seen = names(dir.path());
            unfinished.remove_all();
            assert!(names(dir.path()).is_empty());
            Ok(())
        });
        assert_eq!(seen.len(), 1);
        assert!(result.is_err(), "the rename has nothing to rename");
    }

    #[test]
    fn link_is_kept() {
        // Check that a link to a file goes on being one.
        let dir = tempfile::tempdir().unwrap();
        let (file, link) = (dir.path().join("file"), dir.path().join("link"));
        fs::write(&file, "old").unwrap();
        symlink("file", &link).unwrap();
        let destination = check(&link).unwrap();
        destination.write(|w| Ok(w.write_all(b"new")?)).unwrap();
        assert!(fs::symlink_metadata(&link).unwrap().is_symlink());
        assert_eq!(fs::read_to_string(&file).unwrap(), "new");
    }

    #[test]
    fn devices_are_written_not_replaced() {
        // Check that /dev/null survives root, and that a full device is an error.
        check(Path::new("/dev/null")).unwrap().write(|w| Ok(w.write_all(b"x")?)).unwrap();
        assert!(!fs::metadata("/dev/null").unwrap().is_file());
        let full = check(Path::new("/dev/full")).unwrap();
        assert!(full.write(|w| Ok(w.write_all(b"x")?)).is_err());
    }

    #[test]
    fn bad_places() {
        // Check that each bad place is refused with its own message.
        let dir = tempfile::tempdir().unwrap();
        fs::write(dir.path().join("file"), "").unwrap();
        for (path, part) in [
            (dir.path().to_owned(), "is a directory"),
            (dir.path().join("none/out"), "create it"),
            (dir.path().join("file/out"), "name another file"),
            // Nobody, not even root, can create files here.
            ("/proc/self/out".into(), "another directory"),
            ("/proc/self/status".into(), "another"),
            ("".into(), "another directory"),
        ] {
            let error = check(&path).expect_err(&path.display().to_string());
            assert!(error.to_string().contains(part), "{path:?}: {error}");
        }
    }
}
