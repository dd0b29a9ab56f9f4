//! Arguments become plain structs; no clap type goes further than this.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{CommandFactory, Parser, error::ErrorKind};
use clap_complete::Shell;

use super::{
    args::{Cli, Command, ReportArgs, WatchArgs},
    outputs::{Place, Wanted},
};
use crate::session::{Plan, Targets};

/// Waits that are reported unless `--min-wait` says otherwise.
const MIN_WAIT: Duration = Duration::from_secs(1);

/// What the user asks for.
#[derive(Debug)]
pub struct Request {
    /// How much to log: 0 to 2.
    pub verbose: u8,
    /// What to do.
    pub task: Task,
}

/// What to do.
#[derive(Debug)]
pub enum Task {
    /// Look at running processes.
    Run {
        /// How.
        plan: Plan,
        /// What to write.
        wanted: Wanted,
    },
    /// Report a recording.
    Replay {
        /// It.
        file: PathBuf,
        /// How to report it; what to watch and how long are the recording's.
        plan: Plan,
        /// What to write.
        wanted: Wanted,
    },
    /// Show what this machine allows.
    Doctor {
        /// For programs.
        json: bool,
    },
    /// Print completions.
    Completions(Shell),
    /// Print the man page.
    Man,
}

/// Reads the command line. The error is a usage error, or a help text that was asked for.
pub fn parse(argv: impl IntoIterator<Item = OsString>) -> Result<Request, clap::Error> {
    let Cli { command, watch, report, verbose } =
        Cli::try_parse_from(argv).map_err(point_at_pid)?;
    let task = match command {
        None => Task::Run {
            plan: run_plan(&watch, &report, verbose),
            wanted: wanted(report, watch.record.as_ref())?,
        },
        Some(Command::Replay { file, report }) => {
            Task::Replay { plan: replay_plan(&report), wanted: wanted(report, Some(&file))?, file }
        }
        Some(Command::Doctor { json }) => Task::Doctor { json },
        Some(Command::Completions { shell }) => Task::Completions(shell),
        Some(Command::Man) => Task::Man,
    };
    Ok(Request { verbose, task })
}

fn run_plan(watch: &WatchArgs, report: &ReportArgs, verbose: u8) -> Plan {
    let mut pids = watch.pid.clone();
    pids.sort_unstable();
    pids.dedup();
    Plan {
        targets: match pids.is_empty() {
            true => Targets::Machine,
            false => Targets::Pids(pids),
        },
        // Neither --duration nor --watch: a first snapshot, and a second one to confirm it.
        duration: match (watch.watch, watch.duration) {
            (true, _) => None,
            (false, given) => Some(given.unwrap_or(watch.interval)),
        },
        interval: watch.interval,
        // Waits that --older makes stuck must be among those that are reported.
        min_wait: report
            .min_wait
            .unwrap_or_else(|| report.older.map_or(MIN_WAIT, |older| older.min(MIN_WAIT))),
        kernel_stacks: watch.kernel_stacks,
        record: watch.record.clone(),
        verbose: verbose > 0,
        ..report_plan(report)
    }
}

/// A recording says what was watched and for how long, and holds only what was reported then.
fn replay_plan(report: &ReportArgs) -> Plan {
    Plan {
        min_wait: report.min_wait.unwrap_or(Duration::ZERO),
        kernel_stacks: true,
        ..report_plan(report)
    }
}

fn report_plan(report: &ReportArgs) -> Plan {
    Plan {
        targets: Targets::Machine,
        name: report.name.clone(),
        duration: Some(Duration::ZERO),
        interval: Duration::from_secs(2),
        older: report.older,
        min_wait: MIN_WAIT,
        kernel_stacks: false,
        all_waiters: report.all_waiters,
        record: None,
        verbose: false,
        fail_on: report.fail_on.map(Into::into),
    }
}

/// The outputs, none of which may overwrite another or `other`: the recording.
fn wanted(report: ReportArgs, other: Option<&PathBuf>) -> Result<Wanted, clap::Error> {
    let wanted = Wanted {
        json: report.json,
        folded: report.folded,
        flamegraph: report.flamegraph,
        flamegraph_width: report.flamegraph_width.into(),
    };
    let places: Vec<&Place> =
        [&wanted.json, &wanted.folded, &wanted.flamegraph].into_iter().flatten().collect();
    for (i, place) in places.iter().enumerate() {
        let taken = places.iter().skip(i + 1).any(|later| later == place);
        if taken || other.is_some_and(|other| place.is_file(other)) {
            return Err(Cli::command().error(
                ErrorKind::ArgumentConflict,
                format!("{place} can hold only one of the outputs: name another file"),
            ));
        }
    }
    Ok(wanted)
}

/// `leakprobe 1234` is what one types without the manual: say what was meant.
fn point_at_pid(error: clap::Error) -> clap::Error {
    let given = match error.get(clap::error::ContextKind::InvalidSubcommand) {
        Some(clap::error::ContextValue::String(given)) => given,
        _ => return error,
    };
    if given.parse::<u32>().is_err() {
        return error;
    }
    Cli::command().error(
        ErrorKind::UnknownArgument,
        format!("to watch process {given}: leakprobe --pid {given}"),
    )
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Verdict;

    fn task(line: &str) -> Task {
        let argv = std::iter::once("leakprobe").chain(line.split_whitespace());
        parse(argv.map(OsString::from)).expect(line).task
    }

    fn plan(line: &str) -> Plan {
        match task(line) {
            Task::Run { plan, .. } | Task::Replay { plan, .. } => plan,
            other => panic!("{line}: {other:?}"),
        }
    }

    fn usage(line: &str) -> String {
        let argv = std::iter::once("leakprobe").chain(line.split_whitespace());
        let error = parse(argv.map(OsString::from)).expect_err(line);
        assert_eq!(error.exit_code(), 2, "{line}");
        error.to_string()
    }

    #[test]
    fn definitions_are_sound() {
        // Check clap's own assertions over the whole command.
        Cli::command().debug_assert();
    }

    #[test]
    fn time() {
        // Check that a plain run takes a second snapshot to confirm, and what the options make of it.
        let two = Some(Duration::from_secs(2));
        assert_eq!(plan("--pid 7").duration, two);
        assert_eq!(plan("").duration, two);
        assert_eq!(plan("--pid 7 --duration 0").duration, Some(Duration::ZERO));
        assert_eq!(plan("--watch").duration, None);
        let slow = plan("--pid 7 --interval 5s");
        assert_eq!(slow.duration, Some(Duration::from_secs(5)));
        assert_eq!(slow.interval, Duration::from_secs(5));
    }

    #[test]
    fn targets() {
        // Check that pids repeat, split at commas and lose their doubles.
        assert_eq!(plan("").targets, Targets::Machine);
        assert_eq!(plan("--pid 9,7 -p 8 --pid=7").targets, Targets::Pids(vec![7, 8, 9]));
    }

    #[test]
    fn min_wait() {
        // Check that --older lowers the minimum wait but a given minimum stands.
        let wait = |line| plan(line).min_wait;
        assert_eq!(wait(""), Duration::from_secs(1));
        assert_eq!(wait("--older 10s"), Duration::from_secs(1));
        assert_eq!(wait("--older 200ms"), Duration::from_millis(200));
        assert_eq!(wait("--older 200ms --min-wait 3"), Duration::from_secs(3));
        assert_eq!(wait("replay f"), Duration::ZERO);
        assert_eq!(wait("replay f --min-wait 3"), Duration::from_secs(3));
    }

    #[test]
    fn json_takes_its_file_with_an_equals_sign() {
        // Check that `--json replay`-like lines don't swallow the next word as a file.
        let json = |line| match task(line) {
            Task::Run { wanted, .. } | Task::Replay { wanted, .. } => wanted.json,
            other => panic!("{other:?}"),
        };
        assert_eq!(json("--json --pid 7"), Some(Place::Stdout));
        assert_eq!(json("--json=a"), Some(Place::File("a".into())));
        assert_eq!(json("replay --json f"), Some(Place::Stdout));
        assert_eq!(json(""), None);
    }

    #[test]
    fn fail_on() {
        // Check that each verdict can be named.
        for (name, verdict) in [
            ("waiting", Verdict::Waiting),
            ("idle", Verdict::Idle),
            ("stuck", Verdict::Stuck),
            ("leaking", Verdict::Leaking),
            ("leaked", Verdict::Leaked),
        ] {
            let plan = plan(&format!("--fail-on {name}"));
            assert_eq!(plan.fail_on, Some(verdict));
        }
    }

    #[test]
    fn mistakes() {
        // Check that each mistake is a usage error whose message says what to do.
        for (line, part) in [
            ("--pid 0", "leave --pid out"),
            ("--pid -1", "pgrep"),
            ("--pid nginx", "pgrep"),
            ("--pid 7,x", "pgrep"),
            ("--pid 99999999999", "pgrep"),
            ("--duration soon", "10s, 2m or 1h30m"),
            ("--duration -1s", "negative"),
            ("--interval 0", "--duration 0"),
            ("--watch --duration 3s", "cannot be used with"),
            ("--fail-on bad", "leaked"),
            ("--json --folded -", "the standard output"),
            ("--json=a --flamegraph a", "a can hold only one"),
            ("--json=a --record a", "a can hold only one"),
            ("replay a --json=a", "a can hold only one"),
            ("--record -", "needs a file"),
            ("--json=", "file name"),
            ("--flamegraph-width seconds", "--flamegraph"),
            ("--watch replay f", "cannot be used with"),
            ("replay", "<FILE>"),
            ("1234", "leakprobe --pid 1234"),
            ("--colour", "unexpected argument"),
        ] {
            let message = usage(line);
            assert!(message.contains(part), "{line}: {message}");
        }
    }
}
