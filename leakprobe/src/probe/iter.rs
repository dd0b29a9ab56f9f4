//! The first rung: a BPF program walks every task of the PID namespace in one read.

use std::{
    collections::BTreeSet,
    fs::File,
    hash::RandomState,
    io::Read as _,
    time::{Duration, Instant},
};

use leakprobe_common::{HAS_SCHED, TaskRecord};

use super::{
    ProbeError, Task, Watch,
    clock::{Calibrator, Wakeup},
    object::{Loaded, Through, WATCHED_MAX},
    record::{self, Reading},
};
use crate::snapshot::Clock;

/// How long the clock is calibrated if wake-ups go on to tell little.
const CALIBRATION: Duration = Duration::from_millis(50);

/// Records read at once: the iterator's own buffer holds 8 pages (kernel/bpf/bpf_iter.c).
const BUFFER: usize = 8 * 4096;

/// Where a scheduler other than the fair one says that it runs.
const SCHED_EXT: &str = "/sys/kernel/sched_ext/state";

/// Tasks through the kernel's task iterator.
pub struct IterTasks {
    loaded: Loaded,
    reading: Reading,
    /// `mm` of the watched processes.
    memories: BTreeSet<u64>,
}

impl IterTasks {
    /// Loads the iterator and calibrates the scheduler's clock. Also returns, for people, what
    /// could not be done.
    pub(super) fn open(verbose: bool) -> Result<(IterTasks, Vec<String>), ProbeError> {
        let mut loaded = Loaded::load(verbose)?;
        let calibration = calibrate(&mut loaded)?;
        let mut notes = Vec::new();
        if calibration.finish().is_none() {
            notes.push(
                "the scheduler's clock could not be calibrated: ages are ranges; try again on a \
                 machine that is less busy"
                    .to_owned(),
            );
        }
        let reading = Reading {
            calibration: calibration.finish(),
            fair: !std::fs::read(SCHED_EXT).is_ok_and(|state| state.starts_with(b"enabled")),
            key: RandomState::new(),
        };
        if !reading.fair {
            notes.push(
                "a sched_ext scheduler is loaded, which does not account for a thread's last run: \
                 ages are ranges"
                    .to_owned(),
            );
        }
        let tasks = IterTasks { loaded, reading, memories: BTreeSet::new() };
        Ok((tasks, notes))
    }

    pub(super) fn is_calibrated(&self) -> bool {
        self.reading.calibration.is_some()
    }

    pub(super) fn read(&mut self, watch: &Watch, clock: &Clock) -> Result<Vec<Task>, ProbeError> {
        let old = (self.reading.calibration).is_none_or(|known| known.is_old(clock.monotonic));
        if old && let Some(anew) = calibrate(&mut self.loaded)?.finish() {
            self.reading.calibration = Some(anew);
        }
        let records = match &watch.pids {
            None => self.pass(Through::All, watch.kernel_stacks)?,
            Some(pids) => self.watched(pids, watch.kernel_stacks)?,
        };
        if let Some(log) = &mut self.loaded.log {
            log.drain();
        }
        Ok((records.iter()).map(|record| self.reading.task(record, clock.suspended_ns)).collect())
    }

    /// The tasks of some processes, and from the second pass on those that share memory with them:
    /// which memory that is, the pass before tells.
    fn watched(&mut self, pids: &[u32], stacks: bool) -> Result<Vec<TaskRecord>, ProbeError> {
        let memories: Vec<u64> = self.memories.iter().copied().collect();
        let fits = pids.len() <= WATCHED_MAX && memories.len() <= WATCHED_MAX;
        let mut records = match fits {
            true => self.pass(Through::Watched(pids, &memories), stacks)?,
            false => self.pass(Through::All, stacks)?,
        };
        let pids: BTreeSet<u32> = pids.iter().copied().collect();
        self.memories = (records.iter())
            .filter(|record| record.mm != 0 && pids.contains(&record.pid))
            .map(|record| record.mm)
            .collect();
        records.retain(|record| pids.contains(&record.pid) || self.memories.contains(&record.mm));
        Ok(records)
    }

    fn pass(&mut self, through: Through<'_>, stacks: bool) -> Result<Vec<TaskRecord>, ProbeError> {
        self.loaded.set_filter(through, stacks)?;
        let file = self.loaded.open_pass()?;
        let mut records = Vec::new();
        walk(file, |record| records.push(*record))?;
        Ok(records)
    }
}

/// Reads the iterator's file to its end.
fn walk(mut file: File, mut found: impl FnMut(&TaskRecord)) -> Result<(), ProbeError> {
    let mut buffer = vec![0; BUFFER];
    let mut filled = 0;
    loop {
        let length = match file.read(&mut buffer[filled..]) {
            Ok(length) => length,
            // After a million tasks of which none was let through the kernel pauses with EAGAIN.
            Err(error) if is_pause(&error) => continue,
            Err(error) => return Err(failed(error)),
        };
        if length == 0 {
            break;
        }
        filled += length;
        let whole = filled - filled % record::SIZE;
        buffer[..whole]
            .chunks_exact(record::SIZE)
            .filter_map(record::decode)
            .for_each(|record| found(&record));
        buffer.copy_within(whole..filled, 0);
        filled -= whole;
    }
    match filled {
        0 => Ok(()),
        _ => Err(failed(std::io::ErrorKind::UnexpectedEof.into())),
    }
}

fn is_pause(error: &std::io::Error) -> bool {
    use std::io::ErrorKind::{Interrupted, WouldBlock};
    matches!(error.kind(), WouldBlock | Interrupted)
}

/// Naps on this thread and asks the kernel when it woke up.
fn calibrate(loaded: &mut Loaded) -> Result<Calibrator, ProbeError> {
    loaded.set_filter(Through::Reader, false)?;
    let mut calibrator = Calibrator::new();
    let mut bytes = [0; record::SIZE];
    let start = Instant::now();
    while !calibrator.is_good() && start.elapsed() < CALIBRATION {
        // Opened before the nap: what it takes could have this thread switched out.
        let mut file = loaded.open_pass()?;
        let Some(wakeup) = Wakeup::nap() else {
            continue;
        };
        file.read_exact(&mut bytes).map_err(failed)?;
        let reader = record::decode(&bytes).filter(|record| record.has & HAS_SCHED != 0);
        if let Some(record) = reader {
            let switches = record.nvcsw.saturating_add(record.nivcsw);
            calibrator.observe(wakeup, record.last_arrival_ns, switches);
        }
    }
    log::debug!("{calibrator:?}");
    Ok(calibrator)
}

fn failed(source: std::io::Error) -> ProbeError {
    ProbeError::Read { from: "the task iterator", source }
}
