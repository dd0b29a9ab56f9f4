//! The memory of one process, read only, without growing it and without blocking on it.
//!
//! Reading a page that is not there would fault it in: the target's page tables would grow, and on
//! a page that a userfaultfd handler serves the reader would sleep until the handler deigns to.
//! Hence `/proc/PID/pagemap` is asked first and only present pages are read; and where the process
//! holds a userfaultfd, pages are read through `/proc/PID/mem`, which fails there instead (measured
//! on 6.18: process_vm_readv blocks until killed, /proc/PID/mem answers EIO at once).

mod batch;
mod pagemap;

use std::{
    fs::File,
    io,
    ops::Range,
    os::unix::fs::FileExt,
    path::Path,
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
};

pub use batch::Batch;

use self::pagemap::Pagemap;
use super::ProcessError;

/// Size of a page on x86-64, bytes.
pub(crate) const PAGE: u64 = 4096;
/// Two ranges that are this near are read as one, bytes.
const MERGE_GAP: u64 = PAGE;
/// Bytes that one batch holds at most; what is beyond counts as not readable.
const MAX_BATCH: u64 = 128 << 20;
/// Descriptors looked through for a userfaultfd. A process with more is treated as having one.
const MAX_DESCRIPTORS: usize = 4096;
/// Addresses from here on are the kernel's.
const USER_END: u64 = 1 << 47;

/// Pages that could not be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Missed {
    /// Not in memory: never touched, swapped out, or not mapped at all.
    pub absent_pages: u64,
    /// In memory a moment before, but the kernel refused to read them.
    pub failed_pages: u64,
    /// Left out because a batch would have become too large.
    pub over_limit_pages: u64,
}

/// The memory of one process.
#[derive(Debug)]
pub struct Memory {
    /// A task of the process whose memory it is: the leader, unless that has ended already.
    tid: u32,
    /// Pins the address space: after an exec it reads nothing, so that two programs are never mixed.
    mem: File,
    pagemap: Option<File>,
    /// Read through `mem` only.
    by_mem: AtomicBool,
    absent: AtomicU64,
    failed: AtomicU64,
    over_limit: AtomicU64,
}

impl Memory {
    /// Opens the memory of the task whose /proc folder is `folder`.
    pub(super) fn open(pid: u32, tid: u32, folder: &Path) -> Result<Memory, ProcessError> {
        let mem =
            File::open(folder.join("mem")).map_err(|e| ProcessError::from_io(pid, "mem", e))?;
        let pagemap = File::open(folder.join("pagemap")).ok();
        // Without a pagemap nothing says which pages a read would block on.
        let by_mem = pagemap.is_none() || may_have_userfaultfd(folder);
        Ok(Memory {
            tid,
            mem,
            pagemap,
            by_mem: AtomicBool::new(by_mem),
            absent: AtomicU64::new(0),
            failed: AtomicU64::new(0),
            over_limit: AtomicU64::new(0),
        })
    }

    /// Reads ranges, in any order and overlapping or not, with as few system calls as possible.
    pub fn read_many(&self, ranges: &[Range<u64>]) -> Batch {
        let wanted = merged(ranges);
        let mut pieces = Vec::with_capacity(wanted.len());
        let mut total = 0;
        let mut pagemap = self.pagemap.as_ref().map(Pagemap::new);
        for range in wanted {
            let size = range.end - range.start;
            if total + size > MAX_BATCH {
                self.over_limit.fetch_add(size.div_ceil(PAGE), Relaxed);
                continue;
            }
            total += size;
            match &mut pagemap {
                Some(pagemap) => {
                    let absent = pagemap.present(range, &mut pieces);
                    self.absent.fetch_add(absent, Relaxed);
                }
                None => pieces.push(range),
            }
        }
        let mut batch = Batch::new(pieces);
        if !self.by_mem.load(Relaxed) {
            match batch.fill_by_readv(self.tid) {
                Ok(failed) => {
                    self.failed.fetch_add(failed, Relaxed);
                    return batch;
                }
                // Some sandboxes refuse the call although they allow /proc/PID/mem.
                Err(_) => self.by_mem.store(true, Relaxed),
            }
        }
        let failed = batch.fill_by_mem(&self.mem);
        self.failed.fetch_add(failed, Relaxed);
        batch
    }

    /// Fills `buffer` from `address` on, all or nothing.
    pub fn read(&self, address: u64, buffer: &mut [u8]) -> bool {
        let Some(end) = address.checked_add(buffer.len() as u64) else {
            return false;
        };
        let batch = self.read_many(std::slice::from_ref(&(address..end)));
        match batch.bytes(address..end) {
            Some(bytes) => {
                buffer.copy_from_slice(bytes);
                true
            }
            None => false,
        }
    }

    /// The `u32` at an address.
    pub fn u32(&self, address: u64) -> Option<u32> {
        let mut bytes = [0; 4];
        self.read(address, &mut bytes).then(|| u32::from_le_bytes(bytes))
    }

    /// The `u64` at an address.
    pub fn u64(&self, address: u64) -> Option<u64> {
        let mut bytes = [0; 8];
        self.read(address, &mut bytes).then(|| u64::from_le_bytes(bytes))
    }

    /// Whether the address space that was opened is still in use: false after an exec and after the
    /// end of the process. To be asked after reading: only then all that was read is of one program.
    pub fn is_current(&self) -> bool {
        // mem_rw in fs/proc/base.c: end of file when the address space has no user left, an error
        // or a byte otherwise.
        !matches!(self.mem.read_at(&mut [0], 0), Ok(0))
    }

    /// What could not be read so far.
    pub fn missed(&self) -> Missed {
        Missed {
            absent_pages: self.absent.load(Relaxed),
            failed_pages: self.failed.load(Relaxed),
            over_limit_pages: self.over_limit.load(Relaxed),
        }
    }

    /// Looks again whether the process holds a userfaultfd.
    pub(super) fn recheck(&self, folder: &Path) {
        if self.pagemap.is_some() && may_have_userfaultfd(folder) {
            self.by_mem.store(true, Relaxed);
        }
    }
}

/// Sorted and merged over small gaps; empty ranges and those of the kernel left out.
fn merged(ranges: &[Range<u64>]) -> Vec<Range<u64>> {
    let mut sorted: Vec<Range<u64>> =
        ranges.iter().map(|r| r.start..r.end.min(USER_END)).filter(|r| r.start < r.end).collect();
    sorted.sort_unstable_by_key(|r| r.start);
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last) if range.start <= last.end.saturating_add(MERGE_GAP) => {
                last.end = last.end.max(range.end);
            }
            _ => merged.push(range),
        }
    }
    merged
}

/// Whether a descriptor of the process is a userfaultfd; true too if that can't be told.
fn may_have_userfaultfd(folder: &Path) -> bool {
    let Ok(descriptors) = std::fs::read_dir(folder.join("fd")) else {
        return true;
    };
    for (seen, entry) in descriptors.enumerate() {
        let link = match entry {
            Ok(_) if seen == MAX_DESCRIPTORS => return true,
            Ok(entry) => std::fs::read_link(entry.path()),
            Err(_) => return true,
        };
        match link {
            Ok(to) if to.as_os_str() == "anon_inode:[userfaultfd]" => return true,
            Ok(_) => {}
            // Closed since.
            Err(e) if e.kind() == io::ErrorKind::NotFound => {}
            Err(_) => return true,
        }
    }
    false
}

#[cfg(test)]
mod tests;
