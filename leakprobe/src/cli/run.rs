//! Look at running processes: from a plan to what is printed and written.

use std::{
    io::{self, IsTerminal},
    process,
};

use super::{
    destination::Destination,
    exit::{self, Failure},
    outputs::{Outputs, Wanted},
    progress::Progress,
    signals::{self, Outcome},
    stdout,
    telling::Telling,
    temporary::Unfinished,
};
use crate::{
    report::{Report, Verdict},
    session::{self, Plan, StopFlag},
};

/// Runs `plan` and reports. The exit code, where nothing fails.
pub fn run(plan: Plan, wanted: Wanted) -> Result<u8, Failure> {
    // All places are tried before anything is collected, so that nothing collected can be lost to a
    // misspelt directory.
    let unfinished = Unfinished::default();
    let outputs = Outputs::check(wanted, &unfinished)?;
    if let Some(record) = &plan.record {
        Destination::check(record, &unfinished).map_err(Failure::usage)?;
    }
    let stop = StopFlag::default();
    let work = {
        let stop = stop.clone();
        move || watch(&plan, outputs, &stop)
    };
    let end = || {
        stop.stop();
        if io::stderr().is_terminal() {
            eprintln!("\nending, the report follows (Ctrl-C again: end at once)");
        }
    };
    match signals::guard(work, end) {
        Ok(Outcome::Done(result)) => result,
        Ok(Outcome::Panicked) => Err(Failure::panicked()),
        Ok(Outcome::Abandoned) => {
            unfinished.remove_all();
            // Not by returning: nothing may wait for the thread that is being abandoned.
            process::exit(i32::from(exit::ABORTED))
        }
        Err(error) => {
            Err(Failure::internal(anyhow::Error::new(error).context("can't start the collector")))
        }
    }
}

fn watch(plan: &Plan, outputs: Outputs, stop: &StopFlag) -> Result<u8, Failure> {
    let progress = Progress::new(plan.verbose);
    let mut telling = Telling::new(outputs.text_on_stdout(), stdout::coloured(), progress);
    // Someone who took the first lines and left wants no more, unless files were asked for.
    let stdout_is_all = !outputs.has_files() && plan.record.is_none();
    let ended = session::run(plan, stop, &mut |event| {
        telling.event(event);
        if telling.reader_gone() && stdout_is_all {
            stop.stop();
        }
    });
    match ended {
        Ok(report) => {
            deliver(&report, outputs, telling)?;
            Ok(code(plan.fail_on, verdicts(&report)))
        }
        // What was known when it failed is still worth having; the failure is told last.
        Err(failed) => {
            if let Some(report) = telling.take_newest()
                && let Err(failure) = deliver(&report, outputs, telling)
            {
                failure.report();
            }
            Err(failed.into())
        }
    }
}

/// Prints and writes a finished report.
pub fn deliver(report: &Report, outputs: Outputs, mut telling: Telling) -> Result<(), Failure> {
    telling.finish(report);
    let stdout = |error: anyhow::Error| error.context("can't write to the standard output");
    let mut failures = Vec::new();
    match telling.last(report) {
        Ok(mut out) => failures.extend(outputs.write_stdout(report, &mut out).err().map(stdout)),
        Err(error) => failures.push(stdout(error.into())),
    }
    // After the text, which then is there even if a file can't be written.
    failures.extend(outputs.write_files(report));
    Failure::all(failures)
}

/// The exit code: whether a site has the verdict that is to fail the run, or a worse one.
pub fn code(fail_on: Option<Verdict>, found: impl IntoIterator<Item = Verdict>) -> u8 {
    match (fail_on, found.into_iter().max()) {
        (Some(limit), Some(worst)) if worst >= limit => exit::FAIL_ON_MET,
        _ => exit::OK,
    }
}

/// The verdicts of a report.
pub fn verdicts(report: &Report) -> impl Iterator<Item = Verdict> {
    report.sites.iter().map(|site| site.verdict)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fail_on() {
        // Check that the verdict itself and any worse one fail the run, wherever the site stands.
        use Verdict::{Idle, Leaked, Leaking, Stuck, Waiting};
        let mixed = [Waiting, Stuck, Idle];
        assert_eq!(code(Some(Waiting), mixed), exit::FAIL_ON_MET);
        assert_eq!(code(Some(Idle), mixed), exit::FAIL_ON_MET);
        assert_eq!(code(Some(Stuck), mixed), exit::FAIL_ON_MET);
        assert_eq!(code(Some(Leaking), mixed), exit::OK);
        assert_eq!(code(Some(Stuck), [Leaking]), exit::FAIL_ON_MET);
        assert_eq!(code(Some(Leaking), [Leaked]), exit::FAIL_ON_MET);
        assert_eq!(code(None, [Leaked]), exit::OK);
        assert_eq!(code(Some(Waiting), []), exit::OK);
    }
}
