//! Report a recording.

use std::path::Path;

use super::{
    exit::Failure,
    outputs::{Outputs, Wanted},
    progress::Progress,
    run, stdout,
    telling::Telling,
    temporary::Unfinished,
};
use crate::session::{self, Plan};

/// Reports the recording in `file`. The exit code, where nothing fails.
pub fn replay(file: &Path, plan: &Plan, wanted: Wanted) -> Result<u8, Failure> {
    let outputs = Outputs::check(wanted, &Unfinished::default())?;
    let report = session::replay(file, plan)?;
    let quiet = Progress::new(true);
    let telling = Telling::new(outputs.text_on_stdout(), stdout::coloured(), quiet);
    run::deliver(&report, outputs, telling)?;
    Ok(run::code(plan.fail_on, run::verdicts(&report)))
}
