//! Which pages are in memory: `/proc/PID/pagemap` (Documentation/admin-guide/mm/pagemap.rst).

use std::{fs::File, ops::Range, os::unix::fs::FileExt};

use super::PAGE;

/// Bytes of one entry.
const ENTRY: u64 = 8;
/// Bit 63: the page is present.
const PRESENT: u64 = 1 << 63;
/// Entries read at a time.
const CHUNK: u64 = 512;

/// Appends the parts of `range` that lie in present pages; returns how many pages do not.
pub(super) fn present(pagemap: &File, range: Range<u64>, parts: &mut Vec<Range<u64>>) -> u64 {
    let mut absent = 0;
    let mut buffer = [0; (CHUNK * ENTRY) as usize];
    let last = range.end.div_ceil(PAGE);
    let mut page = range.start / PAGE;
    let mut run: Option<Range<u64>> = None;
    while page < last {
        let count = (last - page).min(CHUNK);
        let Some(bytes) = buffer.get_mut(..(count * ENTRY) as usize) else {
            break;
        };
        // A short read says that the rest is beyond the end of user memory.
        let got = pagemap.read_at(bytes, page * ENTRY).unwrap_or(0) as u64 / ENTRY;
        for (i, entry) in bytes.chunks_exact(ENTRY as usize).enumerate() {
            let entry = entry.try_into().map_or(0, u64::from_le_bytes);
            let start = (page + i as u64) * PAGE;
            if (i as u64) < got && entry & PRESENT != 0 {
                run.get_or_insert(start..start).end = start + PAGE;
            } else {
                absent += 1;
                parts.extend(run.take().map(|run| within(&run, &range)));
            }
        }
        page += count;
    }
    parts.extend(run.map(|run| within(&run, &range)));
    absent
}

fn within(run: &Range<u64>, range: &Range<u64>) -> Range<u64> {
    run.start.max(range.start)..run.end.min(range.end)
}
