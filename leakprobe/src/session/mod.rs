//! Owns clocks and threads: takes snapshots until the plan is fulfilled, and turns them into reports.

mod assemble;
mod confirm;
mod error;
mod keys;
mod limits;
mod look;
mod naming;
mod observer;
mod plan;
mod processes;
mod reader;
mod reporter;
mod seen;
mod slice;
mod stop;
mod threads;
mod watched;

pub use error::SessionError;
pub use plan::{Plan, Targets};
pub use stop::StopFlag;

use std::{
    path::Path,
    time::{Duration, Instant},
};

use crate::{
    report::Report,
    snapshot::{
        Snapshot,
        recording::{self, Header, Options, SymbolTable, Writer},
    },
};

use observer::Observer;
use reporter::Reporter;

/// From the begin of a snapshot to its report, whatever the targets do and however much debug
/// information they have.
const REPORT_BUDGET: Duration = Duration::from_millis(1_800);

/// What happens while a session runs.
#[derive(Debug)]
pub enum Event<'a> {
    /// The report of the first snapshot.
    First(&'a Report),
    /// Where it stands.
    Progress {
        /// Snapshots so far.
        snapshots: u64,
        /// Waiters in the newest.
        waiting: u64,
        /// Since the first snapshot.
        elapsed: Duration,
    },
    /// The second snapshot was read.
    Confirmed {
        /// Report of the first.
        first: &'a Report,
        /// Report of both.
        second: &'a Report,
    },
    /// A later snapshot was read.
    Watched(&'a Report),
}

/// Runs a plan; hands back the report of everything seen.
///
/// A target that ends midway ends the run with the last report in which it was seen. An error after
/// the first report loses nothing: `sink` has had the reports so far.
pub fn run(
    plan: &Plan,
    stop: &StopFlag,
    sink: &mut dyn FnMut(Event<'_>),
) -> Result<Report, SessionError> {
    slice::yield_readily();
    limits::raise_open_files();
    let mut notes = Vec::new();
    let targets = watched::resolve(&plan.targets, &mut notes)?;
    let mut observer = Observer::open(plan, &targets).map_err(SessionError::Thread)?;
    let mut reporter = Reporter::new(plan, notes);
    let began = Instant::now();
    let looked_at = Instant::now();
    let snapshot = observer.snapshot(plan, &targets)?;
    if snapshot.processes.is_empty()
        && let Targets::Pids(pids) = &targets
    {
        return Err(SessionError::NoSuchTarget { pid: pids.first().copied().unwrap_or(0) });
    }
    let mut recorder = Recorder::begin(plan, &snapshot)?;
    recorder.append(&snapshot)?;
    let first = reporter.live(snapshot, &observer.files, looked_at + REPORT_BUDGET);
    sink(Event::First(&first));
    let mut newest = first.clone();
    let mut due = began;
    let ends = plan.duration.map(|duration| began + duration);
    while !stop.is_stopped() {
        // The last snapshot is taken at the very end, also of a duration that isn't a multiple of
        // the interval.
        due += plan.interval;
        if let Some(ends) = ends {
            if Instant::now() >= ends {
                break;
            }
            due = due.min(ends);
        }
        // Asked to end, it takes a last look all the same.
        wait(stop, due, began, &newest, sink);
        let looked_at = Instant::now();
        let snapshot = observer.snapshot(plan, &targets)?;
        if snapshot.processes.is_empty() && targets != Targets::Machine {
            reporter.note("the watched processes have ended; this is what was last seen of them");
            newest = reporter.with_notes(newest);
            break;
        }
        note_ended(&targets, &snapshot, &mut reporter);
        recorder.append(&snapshot)?;
        newest = reporter.live(snapshot, &observer.files, looked_at + REPORT_BUDGET);
        if newest.health.snapshots == 2 {
            sink(Event::Confirmed { first: &first, second: &newest });
        } else {
            sink(Event::Watched(&newest));
        }
    }
    recorder.finish(reporter.take_symbols())?;
    Ok(newest)
}

/// Says which of the named processes are no longer there, so that nobody takes their waits for ended.
fn note_ended(targets: &Targets, snapshot: &Snapshot, reporter: &mut Reporter) {
    let Targets::Pids(pids) = targets else { return };
    for pid in pids {
        if !snapshot.processes.iter().any(|process| process.pid == *pid) {
            reporter.note(&format!("process {pid} has ended; earlier reports of this run have it"));
        }
    }
}

/// Waits until the next snapshot is due or the run was asked to end, saying now and then where it
/// stands.
fn wait(
    stop: &StopFlag,
    due: Instant,
    began: Instant,
    newest: &Report,
    sink: &mut dyn FnMut(Event<'_>),
) {
    let waiting = newest.sites.iter().map(|site| site.count).sum();
    while Instant::now() < due {
        let (snapshots, elapsed) = (newest.health.snapshots, began.elapsed());
        sink(Event::Progress { snapshots, waiting, elapsed });
        let tick = Instant::now() + Duration::from_millis(200);
        if stop.wait_until(due.min(tick)) {
            return;
        }
    }
}

/// Gives the report of a recorded run, as the plan wants it said.
pub fn replay(path: &Path, plan: &Plan) -> Result<Report, SessionError> {
    let recording = recording::read(path)?;
    let recorded = &recording.header.options;
    let plan = Plan {
        older: plan.older.or(recorded.older_ns.map(Duration::from_nanos)),
        min_wait: plan.min_wait.max(Duration::from_nanos(recorded.min_wait_ns)),
        all_waiters: plan.all_waiters || recorded.all_waiters,
        ..plan.clone()
    };
    let mut reporter = Reporter::new(&plan, recording.note().into_iter().collect());
    Ok(reporter.recorded(recording.snapshots, recording.symbols))
}

/// The recording of a run, if one is wanted.
struct Recorder(Option<Writer>);

impl Recorder {
    fn begin(plan: &Plan, snapshot: &Snapshot) -> Result<Recorder, SessionError> {
        let Some(path) = &plan.record else { return Ok(Recorder(None)) };
        let options = Options {
            older_ns: plan.older.map(|older| older.as_nanos() as u64),
            min_wait_ns: plan.min_wait.as_nanos() as u64,
            all_waiters: plan.all_waiters,
        };
        let header = Header::new(snapshot.host.clone(), options);
        Ok(Recorder(Some(Writer::create(path, &header)?)))
    }

    fn append(&mut self, snapshot: &Snapshot) -> Result<(), SessionError> {
        match &mut self.0 {
            Some(writer) => Ok(writer.append(snapshot)?),
            None => Ok(()),
        }
    }

    fn finish(self, symbols: SymbolTable) -> Result<(), SessionError> {
        let Some(mut writer) = self.0 else { return Ok(()) };
        writer.symbols(&symbols)?;
        Ok(writer.finish()?)
    }
}
