//! The report for a terminal. The first line is the answer, the last what could not be seen; in
//! between the sites, worst first, each with its evidence below it.

mod confirmation;
mod layout;
mod process;
mod site;
mod unseen;

pub use confirmation::confirmation;
pub use unseen::last_line;

use super::printable::printable;
use crate::report::{Report, Verdict};
use layout::{Page, Style};

/// Sites that are neither idle nor merely waiting are all shown; of the rest no more than fit a
/// few screens.
const UNREMARKABLE: usize = 40;

/// The report without its last line, see [`last_line`]; `colour` where the output is a terminal.
pub fn body(report: &Report, colour: bool) -> String {
    let mut page = Page::new(colour);
    let style = match report.sites.first().map(|site| site.verdict) {
        Some(Verdict::Leaked | Verdict::Leaking) => Style::Alarm,
        Some(Verdict::Stuck) => Style::Warning,
        _ => Style::Bold,
    };
    page.line(&printable(&report.answer), style);
    process::heads(&mut page, report);
    let remarkable = (report.sites.iter()).filter(|site| site.verdict >= Verdict::Stuck).count();
    let shown = (remarkable + UNREMARKABLE).min(report.sites.len());
    let (shown, rest) = report.sites.split_at(shown);
    for each in shown {
        page.blank();
        site::entry(&mut page, report, each);
    }
    if !rest.is_empty() {
        let waiters: u64 = rest.iter().map(|site| site.count).sum();
        page.blank();
        page.line(
            &format!("and {} more places with {waiters} waiters (--json lists all)", rest.len()),
            Style::Dim,
        );
    }
    page.into_text()
}

#[cfg(test)]
mod tests;
