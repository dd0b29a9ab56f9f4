//! Look at running processes: from a plan to what is printed and written.

use super::{
    destination::{Destination, Unfinished},
    exit::{self, Failure},
    outputs::{Outputs, Wanted},
    progress::Progress,
    signals, stdout,
    telling::Telling,
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
    signals::guard(work, || stop.stop(), || unfinished.remove_all())
        .map_err(|e| Failure::internal(anyhow::Error::new(e).context("can't start the collector")))?
        .unwrap_or_else(|| Err(Failure::panicked()))
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
            Ok(code(plan.fail_on, &report))
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
    let mut failures = Vec::new();
    // Last, so that a full disk comes after the text and not in place of it.
    match telling.last(report) {
        Ok(mut stdout) => {
            if let Err(error) = outputs.write_stdout(report, &mut stdout) {
                failures.push(error.context("can't write to the standard output"));
            }
        }
        Err(error) => {
            failures.push(anyhow::Error::new(error).context("can't write to the standard output"));
        }
    }
    failures.extend(outputs.write_files(report));
    Failure::all(failures)
}

/// The exit code: whether a site has the verdict that is to fail the run, or a worse one.
pub fn code(fail_on: Option<Verdict>, report: &Report) -> u8 {
    let worst = report.sites.iter().map(|site| site.verdict).max();
    match (fail_on, worst) {
        (Some(limit), Some(worst)) if worst >= limit => exit::FAIL_ON_MET,
        _ => exit::OK,
    }
}
