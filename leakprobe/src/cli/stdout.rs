//! The standard output, whose reader may go away.

use std::{
    env,
    io::{self, IsTerminal, Write},
};

/// The standard output. `leakprobe | head` is no error: once the reader is gone all is swallowed.
#[derive(Debug, Default)]
pub struct Stdout {
    reader_gone: bool,
}

impl Stdout {
    /// Whether nobody reads any more.
    pub fn reader_gone(&self) -> bool {
        self.reader_gone
    }

    /// Finds out whether a pipe's reader left, which a write would tell only when there is something
    /// to write: poll(2) answers POLLERR for a pipe without a reader.
    pub fn look_for_reader(&mut self) {
        let mut stdout = libc::pollfd { fd: libc::STDOUT_FILENO, events: 0, revents: 0 };
        // SAFETY: one pollfd is passed, and it lives through the call, which does not wait.
        let ready = unsafe { libc::poll(&mut stdout, 1, 0) };
        if ready == 1 && stdout.revents & libc::POLLERR != 0 {
            self.reader_gone = true;
        }
    }

    /// Writes a text at once.
    pub fn say(&mut self, text: &str) -> io::Result<()> {
        self.write_all(text.as_bytes())?;
        self.flush()
    }

    fn swallow<T>(&mut self, result: io::Result<T>, instead: T) -> io::Result<T> {
        match result {
            Err(e) if e.kind() == io::ErrorKind::BrokenPipe => {
                self.reader_gone = true;
                Ok(instead)
            }
            other => other,
        }
    }
}

impl Write for Stdout {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        if self.reader_gone {
            return Ok(bytes.len());
        }
        let written = io::stdout().lock().write(bytes);
        self.swallow(written, bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.reader_gone {
            return Ok(());
        }
        let flushed = io::stdout().lock().flush();
        self.swallow(flushed, ())
    }
}

/// Whether the standard output is to be coloured: a terminal that knows colours, and a user who has
/// not set NO_COLOR (<https://no-color.org>: any value but an empty one).
pub fn coloured() -> bool {
    let unwanted = env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
    let dumb = env::var_os("TERM").is_none_or(|term| term == "dumb");
    io::stdout().is_terminal() && !unwanted && !dumb
}
