//! Folded stacks, one line each: `program;outermost;…;innermost;reason N`, as inferno,
//! flamegraph.pl, speedscope and others read them.

use std::{
    collections::BTreeMap,
    io::{self, Write},
};

use super::printable::printable;
use crate::report::{Report, Site, Verdict};

/// What the number behind a stack, and the width of a flame graph, is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Weight {
    /// How many wait there.
    #[default]
    Waiters,
    /// How long they have waited together, in milliseconds.
    Time,
}

impl Weight {
    /// Unit of the number.
    pub fn unit(self) -> &'static str {
        match self {
            Weight::Waiters => "waiters",
            Weight::Time => "ms",
        }
    }
}

/// Writes the folded stacks of all sites.
pub fn write(report: &Report, weight: Weight, mut out: impl Write) -> io::Result<()> {
    for line in lines(report, weight) {
        writeln!(out, "{line}")?;
    }
    Ok(())
}

/// One line for each stack, sorted.
pub(super) fn lines(report: &Report, weight: Weight) -> Vec<String> {
    let mut weights: BTreeMap<String, u64> = BTreeMap::new();
    for site in &report.sites {
        let n = match weight {
            Weight::Waiters => site.count,
            // A wait that is not yet a millisecond old still is one.
            Weight::Time => ((site.total_seconds * 1e3) as u64).max(1),
        };
        *weights.entry(stack(site)).or_default() += n;
    }
    weights.into_iter().map(|(stack, n)| format!("{stack} {n}")).collect()
}

fn stack(site: &Site) -> String {
    let mut frames = vec![frame(&site.program)];
    frames.extend(site.stack.iter().rev().map(|entry| frame(&entry.function)));
    frames.push(leaf(site));
    frames.join(";")
}

/// The reason, with the verdict where there is something to say.
fn leaf(site: &Site) -> String {
    let mut leaf = frame(&site.reason);
    if !matches!(site.verdict, Verdict::Waiting | Verdict::Idle) {
        leaf.push_str(&format!(" [{}]", site.verdict.as_str()));
    }
    // `syscall 435 10` would be read as two numbers behind a stack.
    while let Some((head, last)) = leaf.rsplit_once(' ')
        && last.parse::<f64>().is_ok()
    {
        leaf = format!("{head}_{last}");
    }
    leaf
}

/// A name that neither ends a frame nor a line: `[u8; 4]` → `[u8: 4]`.
fn frame(name: &str) -> String {
    let name = printable(name.trim()).replace(';', ":");
    if name.is_empty() { "?".to_owned() } else { name }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::sample::{Sample, deadlock};

    #[test]
    fn stacks_of_a_deadlock() {
        // Check the lines of a typical report.
        assert_eq!(lines(&deadlock().report(), Weight::Waiters).join("\n"), GOLDEN);
    }

    const GOLDEN: &str = "\
waits;clone3;start_thread;heir;inherit;pthread_mutex_lock@@GLIBC_2.2.5;__lll_lock_wait;pthread_mutex_lock [leaked] 1
waits;clone3;start_thread;hold;sleep;clock_nanosleep;clock_nanosleep 1
waits;clone3;start_thread;left;lock_ab;pthread_mutex_lock@@GLIBC_2.2.5;__lll_lock_wait;pthread_mutex_lock [leaked] 1
waits;clone3;start_thread;right;lock_ba;pthread_mutex_lock@@GLIBC_2.2.5;__lll_lock_wait;pthread_mutex_lock [leaked] 1
waits;clone3;start_thread;worker;consume;pthread_cond_wait;__futex_abstimed_wait_common;pthread_cond_wait 10
waits;clone3;start_thread;worker;drain;read;read 5
waits;clone3;start_thread;worker;take;pthread_mutex_lock@@GLIBC_2.2.5;__lll_lock_wait;pthread_mutex_lock 10";

    #[test]
    fn time_and_hostile_names() {
        // Check that time is summed in milliseconds, and that names can neither split a stack nor
        // be taken for its number.
        let mut s = Sample::new();
        let p = s.process(1, "x", "/srv/x;\n1");
        let at = s.stack(&["libc.so.6!syscall", "/srv/x;\n!<[u8; 4] as T>::f\u{1b}"]);
        s.thread(p, 1, "syscall 4 35", at, &[], 1_500);
        s.thread(p, 2, "syscall 4 35", at, &[], 1_000);
        let report = s.report();
        assert_eq!(
            lines(&report, Weight::Time),
            ["x:\\n1;<[u8: 4] as T>::f\\x1b;syscall;syscall 4_35 2500"]
        );
        let mut out = Vec::new();
        write(&report, Weight::Waiters, &mut out).unwrap();
        assert!(String::from_utf8(out).unwrap().ends_with("syscall 4_35 2\n"));
    }
}
