//! Which outputs are wanted, and writing them.

use std::{
    fmt,
    io::{BufWriter, Write},
    path::{Path, PathBuf},
};

use anyhow::anyhow;

use super::{destination::Destination, exit::Failure, temporary::Unfinished};
use crate::{
    export::{
        flamegraph,
        folded::{self, Weight},
        json,
    },
    report::Report,
};

/// Where an output goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// The standard output, in place of the text.
    Stdout,
    /// A file.
    File(PathBuf),
}

impl Place {
    /// Whether it is this file, as far as the names tell.
    pub fn is_file(&self, path: &Path) -> bool {
        matches!(self, Place::File(own) if own == path)
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::Stdout => f.write_str("the standard output"),
            Place::File(path) => path.display().fmt(f),
        }
    }
}

/// The outputs that the user asks for besides the text.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// JSON.
    pub json: Option<Place>,
    /// Folded stacks.
    pub folded: Option<Place>,
    /// A flame graph.
    pub flamegraph: Option<Place>,
    /// What its width stands for.
    pub flamegraph_width: Weight,
}

/// What can be done about a file that failed when all was collected.
const WAY_OUT: &str = "what was found is on the standard output; free space or name another \
                       file, and use --record to be able to write it again";

/// What is written.
#[derive(Clone, Copy, Debug)]
enum Format {
    Json,
    Folded,
    Flamegraph(Weight),
}

impl Format {
    fn write(self, report: &Report, w: &mut dyn Write) -> anyhow::Result<()> {
        match self {
            Format::Json => json::write(report, w)?,
            Format::Folded => folded::write(report, Weight::Waiters, w)?,
            Format::Flamegraph(width) => flamegraph::write(report, width, w)?,
        }
        Ok(())
    }
}

/// Outputs whose places have been found good, before anything was collected.
#[derive(Debug)]
pub struct Outputs {
    stdout: Option<Format>,
    files: Vec<(Format, Destination)>,
}

impl Outputs {
    /// Checks each place. The error names the one that can't be written and the way out.
    pub fn check(wanted: Wanted, unfinished: &Unfinished) -> Result<Outputs, Failure> {
        let mut outputs = Outputs { stdout: None, files: Vec::new() };
        let width = wanted.flamegraph_width;
        for (format, place) in [
            (Format::Json, wanted.json),
            (Format::Folded, wanted.folded),
            (Format::Flamegraph(width), wanted.flamegraph),
        ] {
            match place {
                None => {}
                Some(Place::Stdout) => outputs.stdout = Some(format),
                Some(Place::File(path)) => outputs
                    .files
                    .push((format, Destination::check(&path, unfinished).map_err(Failure::usage)?)),
            }
        }
        Ok(outputs)
    }

    /// Whether the text goes to the standard output: nothing else does.
    pub fn text_on_stdout(&self) -> bool {
        self.stdout.is_none()
    }

    /// Whether there are files to write.
    pub fn has_files(&self) -> bool {
        !self.files.is_empty()
    }

    /// Writes what goes to the standard output in place of the text.
    pub fn write_stdout(&self, report: &Report, stdout: &mut dyn Write) -> anyhow::Result<()> {
        match self.stdout {
            None => Ok(()),
            Some(format) => {
                let mut w = BufWriter::new(stdout);
                format.write(report, &mut w)?;
                Ok(w.flush()?)
            }
        }
    }

    /// Writes all files; one that fails keeps none of the others from being written.
    pub fn write_files(self, report: &Report) -> Vec<anyhow::Error> {
        (self.files.into_iter())
            .filter_map(|(format, destination)| {
                let path = destination.path().to_owned();
                destination
                    .write(|w| format.write(report, w))
                    .map_err(|why| anyhow!("can't write {} ({why:#}): {WAY_OUT}", path.display()))
                    .err()
            })
            .collect()
    }
}
