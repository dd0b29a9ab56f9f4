//! Reading files, links and directories below /proc, each within a bound.

use std::{
    collections::HashMap,
    fmt::{Arguments, Write as _},
    io::{self, Read as _},
    os::unix::{ffi::OsStringExt as _, fs::MetadataExt as _},
};

/// Bytes of a file that are read: more than any of these files has.
const MAX_FILE: u64 = 64 << 10;

/// Reads small files into a buffer that is used over and over.
pub(super) struct Reader {
    path: String,
    bytes: Vec<u8>,
}

impl Reader {
    pub(super) fn new() -> Self {
        Reader { path: String::new(), bytes: Vec::new() }
    }

    /// The content of a file; `None` if it is gone or denied.
    pub(super) fn bytes(&mut self, path: Arguments<'_>) -> Option<&[u8]> {
        self.set_path(path);
        self.bytes.clear();
        let mut file = std::fs::File::open(&self.path).ok()?.take(MAX_FILE);
        file.read_to_end(&mut self.bytes).ok()?;
        Some(&self.bytes)
    }

    /// The content of one of the files of a thread.
    pub(super) fn thread(&mut self, pid: u32, tid: u32, file: &str) -> Option<&[u8]> {
        self.bytes(format_args!("/proc/{pid}/task/{tid}/{file}"))
    }

    /// Where a link points; `None` if it is gone or denied.
    pub(super) fn link(&mut self, path: Arguments<'_>) -> Option<Vec<u8>> {
        self.set_path(path);
        let target = std::fs::read_link(&self.path).ok()?;
        Some(target.into_os_string().into_vec())
    }

    /// The entries of a directory whose names are numbers.
    pub(super) fn numbers(&mut self, path: &str) -> io::Result<Vec<u32>> {
        let entries = std::fs::read_dir(path)?;
        Ok(entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect())
    }

    fn set_path(&mut self, path: Arguments<'_>) {
        self.path.clear();
        // Writing to a String cannot fail.
        let _ = self.path.write_fmt(path);
    }
}

/// Ids of cgroups by their path.
pub(super) struct Cgroups {
    /// Where the default hierarchy is mounted.
    root: Option<&'static str>,
    known: HashMap<String, Option<u64>>,
}

impl Cgroups {
    /// Finds the default hierarchy, also beside an older one.
    pub(super) fn find() -> Self {
        let roots = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"];
        let is_default =
            |root: &&str| std::path::Path::new(root).join("cgroup.controllers").exists();
        Cgroups { root: roots.into_iter().find(is_default), known: HashMap::new() }
    }

    /// A path may be used again by another cgroup: nothing is kept beyond one pass.
    pub(super) fn forget(&mut self) {
        self.known.clear();
    }

    /// The id of the cgroup at a path: its directory's inode.
    pub(super) fn id(&mut self, path: &str) -> Option<u64> {
        let root = self.root?;
        *self.known.entry(path.to_owned()).or_insert_with(|| {
            let metadata = std::fs::metadata(format!("{root}{path}")).ok()?;
            Some(metadata.ino())
        })
    }
}
