//! Writes an initramfs: a cpio archive in the "newc" format (the kernel's
//! Documentation/driver-api/early-userspace/buffer-format.rst).

use std::{
    collections::BTreeSet,
    io::{self, Write},
};

const DIRECTORY: u32 = 0o040_000;
const REGULAR: u32 = 0o100_000;
const CHARACTER_DEVICE: u32 = 0o020_000;

/// An archive that is being written.
pub struct Archive<W> {
    out: W,
    written: u64,
    inode: u32,
    directories: BTreeSet<String>,
}

impl<W: Write> Archive<W> {
    /// Begins an archive.
    pub fn new(out: W) -> Self {
        Archive { out, written: 0, inode: 0, directories: BTreeSet::new() }
    }

    /// Adds a directory, and those that it lies in.
    pub fn directory(&mut self, path: &str) -> io::Result<()> {
        let path = path.trim_matches('/');
        if path.is_empty() || !self.directories.insert(path.to_owned()) {
            return Ok(());
        }
        self.parents(path)?;
        self.entry(path, DIRECTORY | 0o755, (0, 0), &[])
    }

    /// Adds a file with these permission bits, and the directories that it lies in.
    pub fn file(&mut self, path: &str, mode: u32, content: &[u8]) -> io::Result<()> {
        let path = path.trim_matches('/');
        self.parents(path)?;
        self.entry(path, REGULAR | (mode & 0o7777), (0, 0), content)
    }

    /// Adds a character device.
    pub fn device(&mut self, path: &str, major: u32, minor: u32) -> io::Result<()> {
        let path = path.trim_matches('/');
        self.parents(path)?;
        self.entry(path, CHARACTER_DEVICE | 0o600, (major, minor), &[])
    }

    /// Ends the archive.
    pub fn finish(mut self) -> io::Result<W> {
        self.inode = 0;
        self.entry("TRAILER!!!", 0, (0, 0), &[])?;
        self.out.flush()?;
        Ok(self.out)
    }

    fn parents(&mut self, path: &str) -> io::Result<()> {
        match path.rsplit_once('/') {
            Some((parent, _)) => self.directory(parent),
            None => Ok(()),
        }
    }

    fn entry(
        &mut self,
        name: &str,
        mode: u32,
        device: (u32, u32),
        content: &[u8],
    ) -> io::Result<()> {
        let size = u32::try_from(content.len()).map_err(|_| {
            io::Error::new(
                io::ErrorKind::InvalidInput,
                format!("{name} is larger than 4 GiB, which a newc archive can't hold"),
            )
        })?;
        self.inode += 1;
        let fields = [
            self.inode,
            mode,
            0, // uid
            0, // gid
            1, // links
            0, // mtime
            size,
            0, // device that it lies on
            0,
            device.0,
            device.1,
            name.len() as u32 + 1,
            0, // checksum: none in this format
        ];
        let mut header = String::from("070701");
        for field in fields {
            header.push_str(&format!("{field:08x}"));
        }
        self.write(header.as_bytes())?;
        self.write(name.as_bytes())?;
        self.write(&[0])?;
        self.align()?;
        self.write(content)?;
        self.align()
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.written += bytes.len() as u64;
        self.out.write_all(bytes)
    }

    /// Header with name, and content, each end on a multiple of four.
    fn align(&mut self) -> io::Result<()> {
        let padding = self.written.next_multiple_of(4) - self.written;
        self.write(&[0; 4][..padding as usize])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that directories come before what lies in them, each once, and that every entry begins
    /// on a multiple of four.
    #[test]
    fn layout() {
        let mut archive = Archive::new(Vec::new());
        archive.file("/a/b/one", 0o755, b"12345").unwrap();
        archive.file("/a/b/two", 0o644, b"").unwrap();
        let bytes = archive.finish().unwrap();
        let starts: Vec<usize> = bytes
            .windows(6)
            .enumerate()
            .filter(|(_, w)| w == b"070701")
            .map(|(at, _)| at)
            .collect();
        let names: Vec<String> = starts
            .iter()
            .map(|at| {
                let name = bytes[at + 110..].split(|b| *b == 0).next().unwrap();
                String::from_utf8(name.to_vec()).unwrap()
            })
            .collect();
        assert_eq!(names, ["a", "a/b", "a/b/one", "a/b/two", "TRAILER!!!"]);
        assert!(starts.iter().all(|at| at % 4 == 0));
    }
}
