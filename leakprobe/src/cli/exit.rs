//! Exit codes, and failures that carry theirs.

use std::{io::Write, process::ExitCode};

use crate::session::SessionError;

/// The run did what it was asked to.
pub const OK: u8 = 0;
/// `--fail-on` was met.
pub const FAIL_ON_MET: u8 = 1;
/// The command line, or a file named on it, can't be used.
pub const USAGE: u8 = 2;
/// A second Ctrl-C: as a shell reports a process that SIGINT ended.
pub const ABORTED: u8 = 130;

/// leakprobe itself failed.
const INTERNAL: u8 = 101;

/// What each code means, for `--help` and the man page.
pub const MEANINGS: [(u8, &str); 5] = [
    (OK, "the run ended and was reported"),
    (FAIL_ON_MET, "it was, and --fail-on is met"),
    (USAGE, "wrong usage, or a file that can't be read or written"),
    (3, "a privilege or a kernel ability is missing; see `leakprobe doctor`"),
    (4, "no such process"),
];

/// An error with the exit code that it ends in.
#[derive(Debug)]
pub struct Failure {
    code: u8,
    error: anyhow::Error,
}

impl Failure {
    /// A file or option that can't be used: exit code 2.
    pub fn usage(error: impl Into<anyhow::Error>) -> Failure {
        Failure { code: USAGE, error: error.into() }
    }

    /// What should not happen: exit code 101, as any Rust program that gives up.
    pub fn internal(error: impl Into<anyhow::Error>) -> Failure {
        Failure { code: INTERNAL, error: error.into() }
    }

    /// The work panicked, and its message is already on stderr.
    pub fn panicked() -> Failure {
        Failure::internal(anyhow::anyhow!(
            "leakprobe failed; please report it with the lines above"
        ))
    }

    /// Outputs that could not be written, if any: told one by one, exit code 2.
    pub fn all(errors: Vec<anyhow::Error>) -> Result<(), Failure> {
        let mut failures = errors.into_iter().map(Failure::usage);
        let Some(last) = failures.next_back() else {
            return Ok(());
        };
        for failure in failures {
            failure.report();
        }
        Err(last)
    }

    /// Tells the user, and ends.
    pub fn report(&self) -> ExitCode {
        // Without stderr there is nobody to tell; the exit code still speaks.
        let _ = writeln!(std::io::stderr(), "error: {}", told(&self.error));
        ExitCode::from(self.code)
    }
}

/// The error and its causes on one line, without those that are already in the text before them.
fn told(error: &anyhow::Error) -> String {
    let mut text = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !text.contains(&cause) {
            text.push_str(": ");
            text.push_str(&cause);
        }
    }
    text
}

impl From<SessionError> for Failure {
    fn from(error: SessionError) -> Failure {
        Failure { code: error.exit_code(), error: error.into() }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn causes_are_told_once() {
        // Check that a cause that its error already quotes is not repeated.
        let cause = || anyhow::anyhow!("disk full");
        let apart = cause().context("can't write a");
        assert_eq!(told(&apart), "can't write a: disk full");
        let quoted = cause().context("can't write a (disk full): free some space");
        assert_eq!(told(&quoted), "can't write a (disk full): free some space");
    }
}
