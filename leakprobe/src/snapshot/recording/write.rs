//! Writing a recording while the run goes on.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
};

use flate2::{Compression, write::GzEncoder};
use serde::Serialize;

use super::{End, Header, MAX_LINE, MAX_SNAPSHOTS, MAX_TOTAL, RecordingError, SymbolTable};
use crate::snapshot::Snapshot;

/// Room that is kept for symbols and the end marker when snapshots have filled the recording.
const RESERVE: u64 = 64 << 20;

/// Writes a recording. Each line reaches the file before the call returns, so that a run that is
/// killed loses nothing that was handed over.
#[derive(Debug)]
pub struct Writer {
    path: PathBuf,
    out: GzEncoder<File>,
    snapshots: u64,
    bytes: u64,
    /// A write has failed, perhaps within a line: what came after it could not be read.
    broken: bool,
}

/// Lines as they are written.
#[derive(Serialize)]
#[serde(rename_all = "snake_case")]
enum LineOut<'a> {
    Snapshot(&'a Snapshot),
    Symbols(&'a SymbolTable),
    End(End),
}

impl Writer {
    /// Creates the file, or empties it, and writes the header.
    pub fn create(path: impl Into<PathBuf>, header: &Header) -> Result<Self, RecordingError> {
        let path = path.into();
        let file = File::create(&path).map_err(|source| failed(&path, source))?;
        let mut writer = Writer {
            path,
            out: GzEncoder::new(file, Compression::fast()),
            snapshots: 0,
            bytes: 0,
            broken: false,
        };
        writer.line(header, 0)?;
        Ok(writer)
    }

    /// Where it is written.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Appends a snapshot. [`RecordingError::Full`] leaves the recording as it was: it can still be
    /// given symbols and be finished. After a failed write nothing more is written, and what was
    /// handed over before it can be read.
    pub fn append(&mut self, snapshot: &Snapshot) -> Result<(), RecordingError> {
        if self.snapshots >= MAX_SNAPSHOTS as u64 {
            return Err(RecordingError::Full { path: self.path.clone() });
        }
        self.line(&LineOut::Snapshot(snapshot), RESERVE)?;
        self.snapshots += 1;
        Ok(())
    }

    /// Appends names for addresses of the snapshots, see [`SymbolTable::learn`]. May be called
    /// after each snapshot, with what is new; a run that is killed then keeps its names too.
    pub fn symbols(&mut self, symbols: &SymbolTable) -> Result<(), RecordingError> {
        if symbols.is_empty() {
            return Ok(());
        }
        self.line(&LineOut::Symbols(symbols), RESERVE / 2)
    }

    /// Marks the recording as whole and closes it.
    pub fn finish(mut self) -> Result<(), RecordingError> {
        let end = End { snapshots: self.snapshots };
        self.line(&LineOut::End(end), 0)?;
        let path = self.path;
        self.out
            .finish()
            .and_then(|file| file.sync_all().or_else(not_a_disk))
            .map_err(|source| failed(&path, source))
    }

    /// Writes a line and brings it to the file, `reserve` bytes from the end at the latest.
    fn line(&mut self, line: &impl Serialize, reserve: u64) -> Result<(), RecordingError> {
        let mut bytes = serde_json::to_vec(line)
            .map_err(|error| failed(&self.path, io::Error::other(error)))?;
        bytes.push(b'\n');
        let length = bytes.len() as u64;
        if length > MAX_LINE || self.bytes.saturating_add(length) > MAX_TOTAL - reserve {
            return Err(RecordingError::Full { path: self.path.clone() });
        }
        if self.broken {
            let gone = io::Error::other("an earlier write has failed");
            return Err(failed(&self.path, gone));
        }
        if let Err(source) = self.out.write_all(&bytes).and_then(|()| self.out.flush()) {
            self.broken = true;
            return Err(failed(&self.path, source));
        }
        self.bytes += length;
        Ok(())
    }
}

/// Pipes and devices can't be synced, and need not be.
fn not_a_disk(error: io::Error) -> io::Result<()> {
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::EROFS | libc::ENOTSUP) => Ok(()),
        _ => Err(error),
    }
}

fn failed(path: &Path, source: io::Error) -> RecordingError {
    RecordingError::Write { path: path.to_owned(), source }
}
