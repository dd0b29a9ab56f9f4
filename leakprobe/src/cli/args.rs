//! The command line, as clap sees it.

use std::{ffi::OsString, path::PathBuf, time::Duration};

use clap::{
    Args, Parser, Subcommand, ValueEnum,
    builder::{OsStringValueParser, TypedValueParser},
};
use clap_complete::Shell;

use super::{duration, help, outputs::Place};
use crate::{export::folded::Weight, report::Verdict};

/// Shortest time between snapshots: anything less would watch itself.
const SHORTEST_INTERVAL: Duration = Duration::from_millis(100);

const WATCH: &str = "What to watch";
const TIME: &str = "How long";
const OUTPUT: &str = "What to report";

/// The command.
#[derive(Debug, Parser)]
#[command(
    name = "leakprobe",
    version,
    about = help::ABOUT,
    args_conflicts_with_subcommands = true,
    after_help = help::after(),
    max_term_width = 100
)]
pub struct Cli {
    #[command(subcommand)]
    pub command: Option<Command>,
    #[command(flatten)]
    pub watch: WatchArgs,
    #[command(flatten)]
    pub report: ReportArgs,
    /// Say on stderr what is done (-vv: everything)
    #[arg(short, long, action = clap::ArgAction::Count, global = true)]
    pub verbose: u8,
}

/// What only a live run has.
#[derive(Args, Debug)]
pub struct WatchArgs {
    /// Watch these processes (can be repeated)
    #[arg(short, long, value_name = "PID", value_delimiter = ',', value_parser = pid,
          allow_hyphen_values = true, help_heading = WATCH)]
    pub pid: Vec<u32>,
    /// Collect and show kernel frames too
    #[arg(long, help_heading = WATCH)]
    pub kernel_stacks: bool,
    /// Go on for this long: 30s, 2m, 1h30m; 0 is one snapshot [default: 2 snapshots]
    #[arg(short, long, value_name = "TIME", value_parser = duration::parse,
          allow_hyphen_values = true, help_heading = TIME)]
    pub duration: Option<Duration>,
    /// Go on until Ctrl-C, then report
    #[arg(short, long, conflicts_with = "duration", help_heading = TIME)]
    pub watch: bool,
    /// Time between snapshots
    #[arg(short, long, value_name = "TIME", default_value = "2s", value_parser = interval,
          allow_hyphen_values = true, help_heading = TIME)]
    pub interval: Duration,
    /// Record the run for `leakprobe replay`
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(recording), help_heading = OUTPUT)]
    pub record: Option<PathBuf>,
}

/// What a replay has too.
#[derive(Args, Debug)]
pub struct ReportArgs {
    /// Only threads whose own or process's name contains this
    #[arg(short, long, value_name = "TEXT", help_heading = WATCH)]
    pub name: Option<String>,
    /// Leave out shorter waits [default: 1s; all that was recorded in a replay]
    #[arg(long, value_name = "TIME", value_parser = duration::parse,
          allow_hyphen_values = true, help_heading = WATCH)]
    pub min_wait: Option<Duration>,
    /// Call waits older than this stuck
    #[arg(long, value_name = "TIME", value_parser = duration::parse,
          allow_hyphen_values = true, help_heading = OUTPUT)]
    pub older: Option<Duration>,
    /// Exit with 1 if a site is this bad or worse
    #[arg(long, value_name = "VERDICT", value_enum, help_heading = OUTPUT)]
    pub fail_on: Option<VerdictArg>,
    /// List all waiters of a site, not the 20 oldest
    #[arg(long, help_heading = OUTPUT)]
    pub all_waiters: bool,
    /// Write JSON, in place of the text or to FILE
    #[arg(long, value_name = "FILE", num_args = 0..=1, require_equals = true,
          default_missing_value = "-", value_parser = OsStringValueParser::new().try_map(place), help_heading = OUTPUT)]
    pub json: Option<Place>,
    /// Draw a flame graph (SVG)
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(place), help_heading = OUTPUT)]
    pub flamegraph: Option<Place>,
    /// What a flame graph's width stands for
    #[arg(long, value_name = "WHAT", value_enum, default_value_t, requires = "flamegraph",
          help_heading = OUTPUT)]
    pub flamegraph_width: WidthArg,
    /// Write folded stacks, one line each
    #[arg(long, value_name = "FILE", value_parser = OsStringValueParser::new().try_map(place), help_heading = OUTPUT)]
    pub folded: Option<Place>,
}

#[derive(Debug, Subcommand)]
pub enum Command {
    /// Report a recorded run again: no root, any machine
    #[command(after_help = help::replay())]
    Replay {
        /// Recording, as --record wrote it
        file: PathBuf,
        #[command(flatten)]
        report: ReportArgs,
    },
    /// Show what this machine allows, what is lost without it and what to do
    Doctor {
        /// Write JSON
        #[arg(long)]
        json: bool,
    },
    /// Print shell completions
    #[command(after_help = help::completions())]
    Completions {
        /// Shell to complete in
        shell: Shell,
    },
    /// Print the man page
    Man,
}

/// [`Verdict`] as clap reads it.
#[derive(Clone, Copy, Debug, ValueEnum)]
pub enum VerdictArg {
    Waiting,
    Idle,
    Stuck,
    Leaking,
    Leaked,
}

impl From<VerdictArg> for Verdict {
    fn from(arg: VerdictArg) -> Verdict {
        match arg {
            VerdictArg::Waiting => Verdict::Waiting,
            VerdictArg::Idle => Verdict::Idle,
            VerdictArg::Stuck => Verdict::Stuck,
            VerdictArg::Leaking => Verdict::Leaking,
            VerdictArg::Leaked => Verdict::Leaked,
        }
    }
}

/// [`Weight`] as clap reads it.
#[derive(Clone, Copy, Debug, Default, ValueEnum)]
pub enum WidthArg {
    #[default]
    Waiters,
    Seconds,
}

impl From<WidthArg> for Weight {
    fn from(arg: WidthArg) -> Weight {
        match arg {
            WidthArg::Waiters => Weight::Waiters,
            WidthArg::Seconds => Weight::Time,
        }
    }
}

fn pid(text: &str) -> Result<u32, String> {
    match text.trim().parse::<u32>() {
        Ok(0) => Err("0 is no process; leave --pid out to watch the whole machine".to_owned()),
        Ok(pid) => Ok(pid),
        Err(_) => Err("not a process id; find it with `pgrep -a NAME`".to_owned()),
    }
}

fn interval(text: &str) -> Result<Duration, String> {
    let interval = duration::parse(text).map_err(|e| e.to_string())?;
    if interval < SHORTEST_INTERVAL {
        return Err(format!(
            "the shortest interval is {} ms; for a single snapshot use --duration 0",
            SHORTEST_INTERVAL.as_millis()
        ));
    }
    Ok(interval)
}

fn place(text: OsString) -> Result<Place, &'static str> {
    if text.is_empty() {
        return Err("a file name is missing; - is the standard output");
    }
    Ok(if text == "-" { Place::Stdout } else { Place::File(text.into()) })
}

fn recording(text: OsString) -> Result<PathBuf, &'static str> {
    if text.is_empty() || text == "-" {
        return Err("a recording needs a file");
    }
    Ok(text.into())
}
