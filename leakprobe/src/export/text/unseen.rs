//! The last line: what could not be seen, with what to do about it.

use super::super::printable::printable;
use crate::report::Report;

/// `not seen: …`, or that nothing was missed.
pub fn last_line(report: &Report) -> String {
    let health = &report.health;
    let mut parts: Vec<String> = (health.counts.iter())
        .filter(|(_, count)| **count > 0)
        .map(|(cause, count)| part(cause, *count))
        .collect();
    for note in &health.notes {
        parts.push(note.trim_end_matches('.').to_owned());
    }
    if parts.is_empty() {
        return "not seen: nothing".to_owned();
    }
    printable(&format!("not seen: {}", parts.join("; "))).into_owned()
}

/// What of [`Cause`](crate::snapshot::Cause) it is, and the way out.
fn part(cause: &str, n: u64) -> String {
    let s = if n == 1 { "" } else { "s" };
    let es = if n == 1 { "" } else { "es" };
    match cause {
        "no_task_iterator" => "how the kernel accounts for waits (no task iterator, /proc was \
                               read: ages are ranges; leakprobe doctor says why)"
            .to_owned(),
        "processes_denied" => format!("{n} process{es} of other users (run as root)"),
        "process_gone" => format!("{n} process{es} that ended meanwhile"),
        "process_timed_out" => {
            format!("{n} process{es} that could not be read in time (watch fewer: --pid)")
        }
        "compat32" => format!("{n} 32-bit thread{s} (not supported)"),
        "thread_moved" => format!(
            "the stack{s} of {n} thread{s} that ran while being read (look longer: --duration)"
        ),
        "stack_truncated" => format!(
            "the outer end of {n} stack{s} (no unwind information there: generated code, or debug \
             files are missing)"
        ),
        "memory_unreadable" => {
            format!("{n} piece{s} of memory that {} not present or may not be read", is(n))
        }
        "module_unavailable" => format!(
            "names from {n} mapped file{s} that {} gone or replaced (install debug files with the \
             same build id)",
            is(n)
        ),
        "limit_reached" => format!("{n} thing{s} beyond a limit (watch fewer: --pid)"),
        "clock_uncalibrated" => {
            "exact ages (the scheduler's clock could not be calibrated: ages are ranges)".to_owned()
        }
        "unknown_record" => {
            format!("{n} record{s} that this version does not know (update leakprobe)")
        }
        other => format!("{n} × {}", other.replace('_', " ")),
    }
}

fn is(n: u64) -> &'static str {
    if n == 1 { "is" } else { "are" }
}
