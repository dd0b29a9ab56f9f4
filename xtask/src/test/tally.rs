//! Adds up what test programs say.

use std::fmt;

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
    /// The skipped ones, with the reason.
    pub skips: Vec<String>,
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
        } else if let Some(test) = line.strip_prefix("test ") {
            if let Some(name) = test.strip_suffix(" ... FAILED") {
                self.failures.push(name.to_owned());
            } else if let Some((name, reason)) = test.split_once(" ... ignored") {
                let reason = reason.trim_start_matches([',', ' ']);
                let reason = if reason.is_empty() { "ignored" } else { reason };
                self.skips.push(format!("{name}: {reason}"));
            }
        }
    }

    /// Takes in a test's own word that it could not do its work: its test program counts it as
    /// passed.
    pub fn skip(&mut self, what: &str) {
        self.skips.push(what.to_owned());
        self.skipped += 1;
        self.passed = self.passed.saturating_sub(1);
    }

    /// Adds another tally.
    pub fn add(&mut self, other: &Tally) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
        self.failures.extend_from_slice(&other.failures);
        self.skips.extend_from_slice(&other.skips);
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
            "test a::two ... FAILED",
            "test a::three ... ignored, needs a printer",
            "test a::four ... ignored",
            "test result: FAILED. 1 passed; 1 failed; 2 ignored; 0 measured; 9 filtered out; finished in 0.01s",
            "test result: ok. 40 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out; finished in 1.50s",
        ] {
            tally.line(line);
        }
        assert_eq!(tally.to_string(), "41 passed, 1 failed, 2 skipped");
        assert_eq!(tally.failures, ["a::two"]);
        assert_eq!(tally.skips, ["a::three: needs a printer", "a::four: ignored"]);
    }

    /// Check that a test that skipped itself is not counted as passed.
    #[test]
    fn skipped_by_itself() {
        let mut tally = Tally::default();
        tally.line("test result: ok. 2 passed; 0 failed; 0 ignored; 0 measured; 0 filtered out");
        tally.skip("live: not root");
        assert_eq!(tally.to_string(), "1 passed, 0 failed, 1 skipped");
    }
}
