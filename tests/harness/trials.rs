//! Live tests, with their skips in plain sight.

use std::process::ExitCode;

use anyhow::Result;
use libtest_mimic::{Arguments, Failed, Trial};

/// Whether this process is root.
pub fn is_root() -> bool {
    // SAFETY: geteuid has no preconditions.
    unsafe { libc::geteuid() == 0 }
}

/// The tests of one file. One that can't run here is counted as ignored, and says why.
#[derive(Default)]
pub struct Trials(Vec<Trial>);

impl Trials {
    /// A test that needs root.
    pub fn root(
        &mut self,
        name: impl Into<String>,
        test: impl FnOnce() -> Result<()> + Send + 'static,
    ) {
        let missing = (!is_root()).then_some("needs root");
        self.unless(missing, name, test);
    }

    /// A test that can't run if something is missing here.
    pub fn unless(
        &mut self,
        missing: Option<&'static str>,
        name: impl Into<String>,
        test: impl FnOnce() -> Result<()> + Send + 'static,
    ) {
        let name = name.into();
        if let Some(why) = missing {
            eprintln!("SKIPPED {name}: {why}");
        }
        let run = move || test().map_err(|e| Failed::from(format!("{e:#}")));
        self.0.push(Trial::test(name, run).with_ignored_flag(missing.is_some()));
    }

    /// Runs them, one after another unless told otherwise: ages are compared to within 50 ms, and
    /// tests that run beside one another would be each other's noise.
    pub fn run(self) -> ExitCode {
        let mut arguments = Arguments::from_args();
        arguments.test_threads.get_or_insert(1);
        libtest_mimic::run(&arguments, self.0).exit_code()
    }
}
