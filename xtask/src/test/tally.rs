//! Adds up what test programs say.

use std::{collections::BTreeMap, fmt};

/// Counts of tests, and the names that someone will want to know.
#[derive(Debug, Default, PartialEq)]
pub struct Tally {
    /// Tests that passed and were not skipped.
    pub passed: u64,
    /// Tests that failed.
    pub failed: u64,
    /// Tests that could not do their work here, or are marked `#[ignore]`.
    pub skipped: u64,
    /// The failed ones.
    pub failures: Vec<String>,
    /// The skipped ones, with the reason where one was given.
    pub skips: BTreeMap<String, String>,
}

impl Tally {
    /// Takes in one line of a test program's output.
    pub fn line(&mut self, line: &str) {
        if let Some(counts) = line.strip_prefix("test result: ") {
            let count = |what: &str| -> u64 {
                counts
                    .split([';', '.'])
                    .filter_map(|part| part.trim().strip_suffix(what))
                    .find_map(|number| number.trim().parse().ok())
                    .unwrap_or(0)
            };
            self.passed += count("passed");
            self.failed += count("failed");
            self.skipped += count("ignored");
        } else if let Some(skip) = line.strip_prefix("SKIPPED ") {
            // What a test says itself, on standard error: it counts as ignored.
            if let Some((name, reason)) = skip.split_once(": ") {
                self.skips.insert(name.to_owned(), reason.to_owned());
            }
        } else if let Some(test) = line.strip_prefix("test ") {
            if let Some(name) = test.strip_suffix(" ... FAILED") {
                self.failures.push(name.trim_end().to_owned());
            } else if let Some((name, reason)) = test.split_once(" ... ignored") {
                let reason = reason.trim_start_matches([',', ' ']);
                let known = self.skips.entry(name.trim_end().to_owned()).or_default();
                if known.is_empty() {
                    *known = reason.to_owned();
                }
            }
        }
    }

    /// One more failure, of something that is no test.
    pub fn fail(&mut self, what: &str) {
        self.failed += 1;
        self.failures.push(what.to_owned());
    }

    /// Whether nothing was run.
    pub fn is_empty(&self) -> bool {
        self.passed + self.failed + self.skipped == 0
    }

    /// Adds another tally.
    pub fn add(&mut self, other: &Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failures.extend_from_slice(&other.failures);
        self.skips.extend(other.skips.clone());
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that the results of several test programs are summed, and failed and ignored tests
    /// named.
    #[test]
    fn sums() {
        let mut tally = Tally::default();
        for line in [
            "running 3 tests",
            "test a::one ... ok",
            "test a::two   ... FAILED",
            "test a::three ... ignored, needs a printer",
            "test a::four ... ignored",
            "test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 9 filtered out; finished in 0.01s",
            "test result: ok. 40 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s",
        ] {
            tally.line(line);
        }
        assert_eq!(tally.to_string(), "41 passed, 1 failed, 2 skipped");
        assert_eq!(tally.failures, ["a::two"]);
        assert_eq!(tally.skips["a::three"], "needs a printer");
        assert_eq!(tally.skips["a::four"], "");
    }

    /// Check that a test that says why it is skipped is named once, with its reason, whichever of
    /// its two lines comes first.
    #[test]
    fn reasons() {
        let lines = ["SKIPPED live: needs root", "test live   ... ignored"];
        for order in [[0, 1], [1, 0]] {
            let mut tally = Tally::default();
            for index in order {
                tally.line(lines[index]);
            }
            assert_eq!(tally.skips.len(), 1);
            assert_eq!(tally.skips["live"], "needs root");
        }
    }
}
