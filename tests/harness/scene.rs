//! A workload at rest, and leakprobe looking at it.

use std::{path::Path, process::Command, time::Duration};

use anyhow::Result;

use crate::{
    Run, Sight, Target, assert_truth,
    workloads::{Program, Running, Variant, build},
};

/// Older than the minimum wait that is reported by default.
const OLD_ENOUGH: Duration = Duration::from_millis(1500);

/// A workload whose waits are old enough to be reported, and what can be seen of it.
pub struct Scene {
    /// The workload.
    pub running: Running,
    /// What can be seen of it.
    pub sight: Sight,
}

impl Scene {
    /// Builds and starts a workload.
    ///
    /// # Errors
    ///
    /// It can't be built or doesn't come to rest.
    pub fn of(program: Program, variant: Variant, args: &[&str]) -> Result<Self> {
        Self::at(&build(program, variant)?, program, variant, args)
    }

    /// Starts a workload that lies somewhere else than where it was built.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of).
    pub fn at(path: &Path, program: Program, variant: Variant, args: &[&str]) -> Result<Self> {
        let mut command = Command::new(path);
        command.args(args);
        Self::by(command, program, variant)
    }

    /// Runs a command that becomes a workload, or starts one.
    ///
    /// # Errors
    ///
    /// As [`of`](Self::of).
    pub fn by(command: Command, program: Program, variant: Variant) -> Result<Self> {
        let running = Running::start_command(command)?;
        running.age_to(OLD_ENOUGH);
        Ok(Scene { running, sight: Sight::of(program, variant) })
    }

    /// Its process id, as an argument.
    pub fn pid(&self) -> String {
        self.running.pid().to_string()
    }

    /// Looks at it once and holds the report against the truth.
    ///
    /// # Errors
    ///
    /// leakprobe fails, or says what isn't so.
    pub fn check(&self) -> Result<()> {
        self.check_with(Run::on(self.running.pid()).once())
    }

    /// The same with a run of the caller's own.
    ///
    /// # Errors
    ///
    /// As [`check`](Self::check).
    pub fn check_with(&self, run: Run) -> Result<()> {
        let report = run.report()?;
        assert_truth(&report, &Target::of(&self.running)?, &self.sight)
    }
}
