//! Which pages are in memory: `/proc/PID/pagemap` (Documentation/admin-guide/mm/pagemap.rst).

use std::{fs::File, ops::Range, os::unix::fs::FileExt};

use super::PAGE;

/// Bytes of one entry.
const ENTRY: u64 = 8;
/// Bit 63: the page is present.
const PRESENT: u64 = 1 << 63;
/// Entries read at a time.
const CHUNK: u64 = 512;

/// Reads the pagemap of one process for ranges in ascending order.
pub(super) struct Pagemap<'a> {
    file: &'a File,
    buffer: Box<[u8; (CHUNK * ENTRY) as usize]>,
    /// The pages whose entries are in `buffer`.
    held: Range<u64>,
}

impl<'a> Pagemap<'a> {
    pub(super) fn new(file: &'a File) -> Self {
        Pagemap { file, buffer: Box::new([0; (CHUNK * ENTRY) as usize]), held: 0..0 }
    }

    /// Appends the parts of `range` that lie in present pages; returns how many pages do not.
    pub(super) fn present(&mut self, range: Range<u64>, parts: &mut Vec<Range<u64>>) -> u64 {
        let mut absent = 0;
        let last = range.end.div_ceil(PAGE);
        let mut run: Option<Range<u64>> = None;
        for page in range.start / PAGE..last {
            let start = page * PAGE;
            if self.is_present(page, last) {
                run.get_or_insert(start..start).end = start + PAGE;
            } else {
                absent += 1;
                parts.extend(run.take().map(|run| within(&run, &range)));
            }
        }
        parts.extend(run.map(|run| within(&run, &range)));
        absent
    }

    fn is_present(&mut self, page: u64, last: u64) -> bool {
        if !self.held.contains(&page) {
            self.fill(page, last);
        }
        let at = (page.wrapping_sub(self.held.start) * ENTRY) as usize;
        let entry = self.buffer.get(at..at + ENTRY as usize).and_then(|e| e.try_into().ok());
        self.held.contains(&page) && entry.map_or(0, u64::from_le_bytes) & PRESENT != 0
    }

    /// Reads the entries from `page` on: to `last`, or as many as fit where the ranges lie close
    /// together (small stacks), so that one read serves many.
    fn fill(&mut self, page: u64, last: u64) {
        let close = page.wrapping_sub(self.held.end) < CHUNK;
        let count = if close { CHUNK } else { (last - page).min(CHUNK) };
        let bytes = self.buffer.get_mut(..(count * ENTRY) as usize).unwrap_or_default();
        // A short read says that the rest is beyond the end of user memory.
        let got = self.file.read_at(bytes, page * ENTRY).unwrap_or(0) as u64 / ENTRY;
        self.held = page..page + got;
    }
}

fn within(run: &Range<u64>, range: &Range<u64>) -> Range<u64> {
    run.start.max(range.start)..run.end.min(range.end)
}
