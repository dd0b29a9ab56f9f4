//! Reading a recording, whoever wrote it.

use std::{
    fs::File,
    io::{self, BufRead, BufReader, Read},
    path::Path,
};

use flate2::bufread::MultiGzDecoder;

use super::{
    Header, Line, MAX_HEADER, MAX_LINE, MAX_SNAPSHOTS, MAX_TOTAL, RecordingError, SymbolTable,
    VERSION, check,
};
use crate::snapshot::Snapshot;

/// What a recording holds. All indices in its snapshots point at something.
#[derive(Clone, Debug)]
pub struct Recording {
    /// Its first line.
    pub header: Header,
    /// The snapshots, oldest first; at least one.
    pub snapshots: Vec<Snapshot>,
    /// Names of the snapshots' addresses.
    pub symbols: SymbolTable,
    /// Whether it was closed. If not, the run that wrote it was killed or its disk was full, and
    /// `snapshots` is all that had reached the file.
    pub complete: bool,
}

impl Recording {
    /// For people: what is to be known about an incomplete recording.
    pub fn note(&self) -> Option<String> {
        (!self.complete).then(|| {
            let n = self.snapshots.len();
            format!(
                "the recording was cut short: it ends after {n} snapshot{}",
                if n == 1 { "" } else { "s" }
            )
        })
    }
}

/// Reads a recording from a file.
pub fn read(path: &Path) -> Result<Recording, RecordingError> {
    let file = File::open(path)
        .map_err(|source| RecordingError::Read { path: path.to_owned(), source })?;
    read_from(BufReader::new(file), path)
}

/// Reads a recording from anything; `path` is what messages call it.
pub fn read_from(mut input: impl BufRead, path: &Path) -> Result<Recording, RecordingError> {
    let magic = input
        .fill_buf()
        .map_err(|source| RecordingError::Read { path: path.to_owned(), source })?;
    if !magic.starts_with(&[0x1f, 0x8b]) {
        return Err(not_a_recording(path));
    }
    let mut lines = Lines {
        input: BufReader::new(MultiGzDecoder::new(input).take(MAX_TOTAL + 1)),
        path,
        number: 0,
        bytes: 0,
    };
    let header = match lines.next()? {
        Next::Line(line) => header(&line, path)?,
        Next::End | Next::Cut => return Err(not_a_recording(path)),
    };
    let mut recording = Recording {
        header,
        snapshots: Vec::new(),
        symbols: SymbolTable::default(),
        complete: false,
    };
    while !recording.complete {
        match lines.next()? {
            Next::Line(line) => take(&mut recording, &line, &lines)?,
            Next::End | Next::Cut => break,
        }
    }
    // Reading on to the end also compares gzip's checksum.
    if recording.complete
        && let Next::Line(_) = lines.next()?
    {
        return Err(lines.corrupt("it goes on after its end"));
    }
    if recording.snapshots.is_empty() {
        return Err(RecordingError::Empty { path: path.to_owned() });
    }
    Ok(recording)
}

/// Takes in one line after the first.
fn take(
    recording: &mut Recording,
    line: &[u8],
    lines: &Lines<impl BufRead>,
) -> Result<(), RecordingError> {
    let line: Line = serde_json::from_slice(line).map_err(|error| lines.corrupt(error))?;
    if let Some(snapshot) = line.snapshot {
        check::snapshot(&snapshot).map_err(|problem| match problem {
            check::Problem::Wrong(why) => lines.corrupt(why),
            check::Problem::TooMany(what) => lines.too_big(what),
        })?;
        if recording.snapshots.len() >= MAX_SNAPSHOTS {
            return Err(lines.too_big(format!("more than {MAX_SNAPSHOTS} snapshots")));
        }
        if let Some(before) = recording.snapshots.last()
            && before.began > snapshot.began
        {
            return Err(lines.corrupt("its snapshots are not in order"));
        }
        recording.snapshots.push(snapshot);
    }
    if let Some(symbols) = line.symbols {
        recording.symbols.merge(symbols);
    }
    if let Some(end) = line.end {
        if end.snapshots != recording.snapshots.len() as u64 {
            return Err(lines.corrupt(format!(
                "it should hold {} snapshots and holds {}",
                end.snapshots,
                recording.snapshots.len()
            )));
        }
        recording.complete = true;
    }
    Ok(())
}

/// Reads the first line, its version first: the rest is only understood if that is known.
fn header(line: &[u8], path: &Path) -> Result<Header, RecordingError> {
    let value: serde_json::Value =
        serde_json::from_slice(line).map_err(|_| not_a_recording(path))?;
    let version = value
        .get("leakprobe_recording")
        .and_then(serde_json::Value::as_u64)
        .ok_or_else(|| not_a_recording(path))?;
    if version != u64::from(VERSION) {
        let tool = value.get("tool").and_then(serde_json::Value::as_str);
        // Comes from the file: no control characters, no novel.
        let tool: String = (tool.unwrap_or("another leakprobe").chars())
            .filter(|c| !c.is_control())
            .take(60)
            .collect();
        return Err(RecordingError::Newer { path: path.to_owned(), version, tool });
    }
    serde_json::from_value(value).map_err(|error| RecordingError::Corrupt {
        path: path.to_owned(),
        line: 1,
        why: error.to_string(),
    })
}

/// What comes next in a file.
enum Next {
    /// A whole line, without its end.
    Line(Vec<u8>),
    /// Nothing: all was read.
    End,
    /// Nothing: the file is cut off here, perhaps within a line.
    Cut,
}

/// Takes a file apart into lines, within bounds.
struct Lines<'a, R> {
    input: R,
    path: &'a Path,
    number: u64,
    bytes: u64,
}

impl<R: BufRead> Lines<'_, R> {
    fn next(&mut self) -> Result<Next, RecordingError> {
        let mut line = Vec::new();
        self.number += 1;
        let longest = if self.number == 1 { MAX_HEADER } else { MAX_LINE };
        match (&mut self.input).take(longest + 1).read_until(b'\n', &mut line) {
            Ok(_) => {}
            // The compressed data ends within a block: the writer was killed.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(Next::Cut),
            Err(error)
                if matches!(
                    error.kind(),
                    io::ErrorKind::InvalidInput | io::ErrorKind::InvalidData
                ) =>
            {
                return Err(self.corrupt(error));
            }
            Err(source) => {
                return Err(RecordingError::Read { path: self.path.to_owned(), source });
            }
        }
        self.bytes += line.len() as u64;
        if line.len() as u64 > longest {
            return Err(self.too_big(format!("a line of over {} MiB", longest >> 20)));
        }
        if self.bytes > MAX_TOTAL {
            return Err(self.too_big(format!("over {} MiB before compression", MAX_TOTAL >> 20)));
        }
        match line.pop() {
            None => Ok(Next::End),
            Some(b'\n') => Ok(Next::Line(line)),
            Some(_) => Ok(Next::Cut),
        }
    }

    fn corrupt(&self, why: impl ToString) -> RecordingError {
        RecordingError::Corrupt {
            path: self.path.to_owned(),
            line: self.number,
            why: why.to_string(),
        }
    }

    fn too_big(&self, what: impl Into<String>) -> RecordingError {
        RecordingError::TooBig { path: self.path.to_owned(), what: what.into() }
    }
}

fn not_a_recording(path: &Path) -> RecordingError {
    RecordingError::NotARecording { path: path.to_owned() }
}
