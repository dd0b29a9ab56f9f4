//! Many ranges of a process's memory, read together.

use std::{fs::File, io, ops::Range, os::unix::fs::FileExt};

use super::PAGE;

/// Ranges that one process_vm_readv takes (IOV_MAX, `include/uapi/linux/uio.h`).
const MAX_RANGES: usize = 1024;

/// A stretch of memory that was read.
#[derive(Clone, Copy, Debug)]
struct Piece {
    address: u64,
    /// Where its bytes begin in the buffer.
    at: usize,
    len: usize,
}

/// Memory that was read: what is not in it was not readable.
#[derive(Debug, Default)]
pub struct Batch {
    /// By address, apart from each other.
    pieces: Vec<Piece>,
    wanted: Vec<Range<u64>>,
    bytes: Vec<u8>,
}

impl Batch {
    /// For ranges that are sorted and apart from each other.
    pub(super) fn new(wanted: Vec<Range<u64>>) -> Batch {
        let total: u64 = wanted.iter().map(|r| r.end - r.start).sum();
        Batch {
            pieces: Vec::with_capacity(wanted.len()),
            wanted,
            bytes: vec![0; total as usize],
        }
    }

    /// The bytes of a range, if all of it was read.
    pub fn bytes(&self, range: Range<u64>) -> Option<&[u8]> {
        let len = usize::try_from(range.end.checked_sub(range.start)?).ok()?;
        let after = self.pieces.partition_point(|p| p.address <= range.start);
        let piece = self.pieces.get(after.checked_sub(1)?)?;
        let skip = usize::try_from(range.start - piece.address).ok()?;
        if skip.checked_add(len)? > piece.len {
            return None;
        }
        let begin = piece.at.checked_add(skip)?;
        self.bytes.get(begin..begin.checked_add(len)?)
    }

    /// All that was read from an address on without a gap.
    pub fn readable_from(&self, address: u64) -> &[u8] {
        let after = self.pieces.partition_point(|p| p.address <= address);
        let piece = after.checked_sub(1).and_then(|at| self.pieces.get(at));
        let end = piece.map_or(address, |p| p.address + p.len as u64);
        self.bytes(address..end.max(address)).unwrap_or_default()
    }

    /// The `u32` at an address.
    pub fn u32(&self, address: u64) -> Option<u32> {
        let bytes = self.bytes(address..address.checked_add(4)?)?;
        Some(u32::from_le_bytes(bytes.try_into().ok()?))
    }

    /// The `u64` at an address.
    pub fn u64(&self, address: u64) -> Option<u64> {
        let bytes = self.bytes(address..address.checked_add(8)?)?;
        Some(u64::from_le_bytes(bytes.try_into().ok()?))
    }

    /// Reads with process_vm_readv; returns how many pages failed. An error: the call as such is
    /// refused, nothing was read.
    pub(super) fn fill_by_readv(&mut self, tid: u32) -> io::Result<u64> {
        let wanted = std::mem::take(&mut self.wanted);
        let mut failed = 0;
        let mut next = 0;
        // How much of wanted[next] is dealt with.
        let mut skip = 0;
        let mut at = 0;
        while let Some(first) = wanted.get(next) {
            let mut asked = 0;
            let remote: Vec<libc::iovec> = wanted[next..]
                .iter()
                .take(MAX_RANGES)
                .enumerate()
                .map(|(i, range)| {
                    let skip = if i == 0 { skip } else { 0 };
                    let len = (range.end - range.start - skip) as usize;
                    asked += len;
                    libc::iovec {
                        iov_base: (range.start + skip) as *mut libc::c_void,
                        iov_len: len,
                    }
                })
                .collect();
            let Some(local) = self.bytes.get_mut(at..at + asked) else {
                break;
            };
            let mut got = match readv(tid, local, &remote) {
                Ok(got) => got,
                Err(e) if e.raw_os_error() == Some(libc::EFAULT) => 0,
                Err(e) if at == 0 => {
                    self.wanted = wanted;
                    return Err(e);
                }
                // The process ended in between.
                Err(_) => break,
            };
            let complete = got == asked;
            while got > 0
                && let Some(range) = wanted.get(next)
            {
                let address = range.start + skip;
                let len = got.min((range.end - address) as usize);
                self.filled(address, at, len);
                got -= len;
                at += len;
                skip += len as u64;
                if range.start + skip == range.end {
                    (next, skip) = (next + 1, 0);
                }
            }
            if complete {
                continue;
            }
            // The kernel stops at the first page that it can't read: leave that one out.
            let range = wanted.get(next).unwrap_or(first);
            let address = range.start + skip;
            let page_end = (address / PAGE + 1) * PAGE;
            let left_out = page_end.min(range.end) - address;
            failed += 1;
            at += left_out as usize;
            skip += left_out;
            if range.start + skip >= range.end {
                (next, skip) = (next + 1, 0);
            }
        }
        Ok(failed)
    }

    /// Reads with /proc/PID/mem; returns how many pages failed.
    pub(super) fn fill_by_mem(&mut self, mem: &File) -> u64 {
        let mut failed = 0;
        let mut at = 0;
        for range in std::mem::take(&mut self.wanted) {
            let mut address = range.start;
            while address < range.end {
                let len = (range.end - address) as usize;
                let Some(buffer) = self.bytes.get_mut(at..at + len) else {
                    return failed;
                };
                let done = match mem.read_at(buffer, address) {
                    Ok(0) | Err(_) => {
                        failed += 1;
                        ((address / PAGE + 1) * PAGE).min(range.end) - address
                    }
                    Ok(got) => {
                        self.filled(address, at, got);
                        got as u64
                    }
                };
                address += done;
                at += done as usize;
            }
        }
        failed
    }

    fn filled(&mut self, address: u64, at: usize, len: usize) {
        match self.pieces.last_mut() {
            Some(last) if last.address + last.len as u64 == address && last.at + last.len == at => {
                last.len += len;
            }
            _ => self.pieces.push(Piece { address, at, len }),
        }
    }
}

/// process_vm_readv of several remote ranges into one buffer; returns the bytes read.
fn readv(tid: u32, local: &mut [u8], remote: &[libc::iovec]) -> io::Result<usize> {
    let into = libc::iovec {
        iov_base: local.as_mut_ptr().cast(),
        iov_len: local.len(),
    };
    // SAFETY: `into` describes `local`, which is borrowed for writing during the call; the kernel
    // checks the remote ranges, which are of another process and are only read.
    let got = unsafe {
        libc::process_vm_readv(
            tid as libc::pid_t,
            &into,
            1,
            remote.as_ptr(),
            remote.len() as libc::c_ulong,
            0,
        )
    };
    usize::try_from(got).map_err(|_| io::Error::last_os_error())
}
