//! What is said, and when: the first answer at once, its confirmation, the last word at the end.

use std::io;

use super::{progress::Progress, stdout::Stdout};
use crate::{export::text, report::Report, session::Event};

/// How far the text on the standard output has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    Nothing,
    First,
    /// More was seen since the first answer and its confirmation.
    Outdated,
}

/// Tells what a run finds as it goes.
#[derive(Debug)]
pub struct Telling {
    text: bool,
    colour: bool,
    stdout: Stdout,
    progress: Progress,
    told: Told,
    newest: Option<Report>,
    error: Option<io::Error>,
}

impl Telling {
    /// `text`: whether text goes to the standard output at all.
    pub fn new(text: bool, colour: bool, progress: Progress) -> Telling {
        Telling {
            text,
            colour,
            stdout: Stdout::default(),
            progress,
            told: Told::Nothing,
            newest: None,
            error: None,
        }
    }

    /// Tells what just happened.
    pub fn event(&mut self, event: Event<'_>) {
        match event {
            Event::First(report) => {
                self.newest = Some(report.clone());
                self.told = Told::First;
                self.say(&text::body(report, self.colour));
            }
            Event::Confirmed { first, second } => {
                self.newest = Some(second.clone());
                self.say(&format!("\n{}", text::confirmation(first, second)));
            }
            Event::Watched(report) => {
                self.newest = Some(report.clone());
                self.told = Told::Outdated;
            }
            Event::Progress { snapshots, waiting, elapsed } => {
                self.stdout.look_for_reader();
                self.progress.show(snapshots, waiting, elapsed);
            }
        }
    }

    /// What was known last, for a run that failed midway.
    pub fn take_newest(&mut self) -> Option<Report> {
        self.newest.take()
    }

    /// Whether nobody reads the standard output any more.
    pub fn reader_gone(&self) -> bool {
        self.stdout.reader_gone()
    }

    /// The report at the end, where it is not what has already been told.
    pub fn finish(&mut self, report: &Report) {
        match self.told {
            Told::Nothing => self.say(&text::body(report, self.colour)),
            Told::First => {}
            Told::Outdated => {
                self.say(&format!(
                    "\nAfter {:.0} s and {} snapshots:\n\n",
                    report.watched_seconds, report.health.snapshots
                ));
                self.say(&text::body(report, self.colour));
            }
        }
        self.told = Told::First;
        self.progress.clear();
    }

    /// The last line: what could not be seen. Hands back the standard output, or why it can't be
    /// written.
    pub fn last(mut self, report: &Report) -> io::Result<Stdout> {
        self.say(&text::last_line(report));
        match self.error {
            Some(error) => Err(error),
            None => Ok(self.stdout),
        }
    }

    /// Prints whole lines.
    fn say(&mut self, text: &str) {
        if !self.text {
            return;
        }
        self.progress.clear();
        let ended = if text.ends_with('\n') { "" } else { "\n" };
        if let Err(error) = self.stdout.say(&format!("{text}{ended}")) {
            self.error.get_or_insert(error);
        }
    }
}
