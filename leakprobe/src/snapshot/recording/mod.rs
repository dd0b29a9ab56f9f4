//! Recorded runs: the sequence of snapshots with their symbols, in one file.
//!
//! The file is gzip over lines of JSON, so that `zcat run.lpr | jq` works on it:
//!
//! ```text
//! {"leakprobe_recording":1,"tool":…,"host":…,"options":…}     first
//! {"snapshot":{…}}                                            one for each, oldest first
//! {"symbols":{"modules":[…],"kernel":[…]}}                    any number, anywhere; they add up
//! {"end":{"snapshots":n}}                                     last; not there if the run was killed
//! ```
//!
//! Lines of other kinds are skipped, so that later versions can add some. What would be
//! misunderstood by an older reader moves [`VERSION`].
//!
//! A recording may come from anyone: the reader bounds every size and checks every index, so that
//! later stages can rely on them.

mod check;
mod read;
mod symbols;
mod write;

#[cfg(test)]
mod arbitrary;
#[cfg(test)]
mod tests;

pub use read::{Recording, read, read_from};
pub use symbols::SymbolTable;
pub use write::Writer;

use std::{io, path::PathBuf};

use serde::{Deserialize, Serialize};

use super::{Host, Snapshot};

/// Version of the format.
pub const VERSION: u32 = 1;

/// Longest first line, in bytes.
const MAX_HEADER: u64 = 1 << 20;
/// Longest line after it, in bytes: a snapshot of some 300,000 waiters.
const MAX_LINE: u64 = 256 << 20;
/// Longest recording, in bytes before compression. The writer stops there too.
const MAX_TOTAL: u64 = 1 << 30;
/// Most snapshots.
const MAX_SNAPSHOTS: usize = 100_000;

/// The first line of a recording.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Header {
    /// [`VERSION`] of the writer.
    pub leakprobe_recording: u32,
    /// `leakprobe` and its version.
    pub tool: String,
    /// The machine that was recorded.
    pub host: Host,
    /// What of the command line the same report needs.
    pub options: Options,
}

/// What of the recorded run's command line a replay needs to say the same.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Options {
    /// Waits older than this are `stuck`, in nanoseconds.
    pub older_ns: Option<u64>,
    /// Shorter waits were not collected, in nanoseconds.
    pub min_wait_ns: u64,
    /// All waiters of a site were asked for.
    pub all_waiters: bool,
}

impl Header {
    /// A header of this version.
    pub fn new(host: Host, options: Options) -> Self {
        Header {
            leakprobe_recording: VERSION,
            tool: concat!("leakprobe ", env!("CARGO_PKG_VERSION")).to_owned(),
            host,
            options,
        }
    }
}

/// A line after the first; exactly one of these is set in lines that this version knows.
#[derive(Deserialize)]
struct Line {
    snapshot: Option<Snapshot>,
    symbols: Option<SymbolTable>,
    end: Option<End>,
}

/// The last line of a recording that was closed.
#[derive(Clone, Copy, Serialize, Deserialize)]
struct End {
    /// How many there are.
    snapshots: u64,
}

/// Why a recording can't be written or read.
#[derive(Debug, thiserror::Error)]
pub enum RecordingError {
    /// The file can't be created or written.
    #[error(
        "can't write the recording {}: {source}. Choose a place with room where you may write: \
         --record FILE",
        path.display()
    )]
    Write {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// The recording has reached the size up to which it can be read.
    #[error(
        "the recording {} is full ({} MiB before compression); what it holds so far can be \
         replayed. Record with a longer --interval or a shorter --duration",
        path.display(),
        MAX_TOTAL >> 20
    )]
    Full {
        /// The file.
        path: PathBuf,
    },
    /// The file can't be opened or read.
    #[error("can't read the recording {}: {source}. Check the path and its permissions", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// It is another kind of file.
    #[error(
        "{} is not a leakprobe recording. Make one with: leakprobe --record FILE",
        path.display()
    )]
    NotARecording {
        /// The file.
        path: PathBuf,
    },
    /// A newer leakprobe wrote it.
    #[error(
        "{} has recording format {version}, written by {tool}; this leakprobe reads format \
         {VERSION}. Replay it with that version or a newer one",
        path.display()
    )]
    Newer {
        /// The file.
        path: PathBuf,
        /// Its version.
        version: u64,
        /// Who wrote it.
        tool: String,
    },
    /// It is damaged.
    #[error(
        "the recording {} is damaged in line {line}: {why}. Copy it once more (in binary mode) or \
         record again",
        path.display()
    )]
    Corrupt {
        /// The file.
        path: PathBuf,
        /// Line, the header being 1.
        line: u64,
        /// What is wrong with it.
        why: String,
    },
    /// It holds more than this version will read.
    #[error(
        "the recording {} is too big: {what}. Record with a longer --interval, a shorter \
         --duration or fewer processes (--pid)",
        path.display()
    )]
    TooBig {
        /// The file.
        path: PathBuf,
        /// What of it, with the limit.
        what: String,
    },
    /// It ends before its first snapshot.
    #[error(
        "the recording {} ends before its first snapshot: the run that wrote it was killed or its \
         disk was full. Record again",
        path.display()
    )]
    Empty {
        /// The file.
        path: PathBuf,
    },
}
