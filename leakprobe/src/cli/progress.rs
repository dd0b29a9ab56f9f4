//! One line on a terminal that says how far the run is. Elsewhere nothing.

use std::{
    io::{self, IsTerminal, Write},
    time::Duration,
};

/// Back to the start of the line, and erase it (ECMA-48: EL).
const ERASE_LINE: &str = "\r\x1b[K";

/// The progress line.
#[derive(Debug)]
pub struct Progress {
    enabled: bool,
    shown: bool,
}

impl Progress {
    /// Shown only if stderr is a terminal and not `quiet`: log lines would run into it.
    pub fn new(quiet: bool) -> Progress {
        Progress { enabled: !quiet && io::stderr().is_terminal(), shown: false }
    }

    /// Shows where the run stands.
    pub fn show(&mut self, snapshots: u64, waiting: u64, elapsed: Duration) {
        if self.enabled {
            self.shown = true;
            write_stderr(&format!("{ERASE_LINE}{}", line(snapshots, waiting, elapsed)));
        }
    }

    /// Erases it. To be called before anything else is printed.
    pub fn clear(&mut self) {
        if self.shown {
            self.shown = false;
            write_stderr(ERASE_LINE);
        }
    }
}

impl Drop for Progress {
    fn drop(&mut self) {
        self.clear();
    }
}

/// Short of 80 columns as long as the figures are sane: a wrapped line could not be erased.
fn line(snapshots: u64, waiting: u64, elapsed: Duration) -> String {
    let snapshots = match snapshots {
        1 => "1 snapshot".to_owned(),
        n => format!("{n} snapshots"),
    };
    format!("{} s, {snapshots}, {waiting} waiting (Ctrl-C ends and reports)", elapsed.as_secs())
}

fn write_stderr(text: &str) {
    let mut stderr = io::stderr().lock();
    // Nobody depends on the line.
    let _ = stderr.write_all(text.as_bytes());
    let _ = stderr.flush();
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fits_a_terminal() {
        // Check that the line does not wrap on 80 columns even after a month on a large machine.
        let month = Duration::from_secs(31 * 86_400);
        assert!(line(1_339_200, 1_000_000, month).len() < 80);
        assert!(line(1, 5, Duration::from_secs(2)).starts_with("2 s, 1 snapshot, 5 waiting"));
    }
}
