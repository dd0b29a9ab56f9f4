//! Sites as a table, for the messages of failed tests.

use std::fmt::Write as _;

use leakprobe::report::Report;

/// One line for each site, and one for what could not be seen.
pub fn site_table(report: &Report) -> String {
    let mut text = format!("the report, {}:\n", report.at);
    for site in &report.sites {
        let stack: Vec<&str> = site.stack.iter().take(8).map(|f| f.function.as_str()).collect();
        let objects: Vec<String> = site
            .objects
            .top
            .iter()
            .take(3)
            .map(|o| {
                let holders: Vec<String> = o
                    .holders
                    .iter()
                    .map(|h| format!("{} {} alive={:?}", h.kind, h.id, h.alive))
                    .collect();
                format!("{} {} [{}]", o.kind, o.address, holders.join(", "))
            })
            .collect();
        let _ = writeln!(
            text,
            "  {:8} {:4} {:24} {:7.3}..{:7.3}s {} | {} | T{}",
            site.verdict.as_str(),
            site.count,
            site.reason,
            site.newest_seconds,
            site.oldest_seconds,
            stack.join(" < "),
            objects.join("; "),
            site.waiters.iter().take(12).map(|w| w.id.as_str()).collect::<Vec<_>>().join(" T"),
        );
    }
    let _ = writeln!(text, "  health: {:?}", report.health);
    text
}
