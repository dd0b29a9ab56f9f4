//! From snapshots to reports: track, verdict, names, report.

use std::{sync::Arc, time::Instant};

use rustc_hash::FxHashMap;

use super::{Plan, naming::LiveNames};
use crate::{
    process::ModuleFile,
    report::{self, Report, ReportOptions},
    snapshot::{Module, Snapshot, recording::SymbolTable},
    stack::Names,
    track::Track,
    verdict::{self, Thresholds},
};

/// Follows one run and reports it.
pub struct Reporter {
    track: Track,
    thresholds: Thresholds,
    options: ReportOptions,
    live: LiveNames,
    /// Every name that was needed so far.
    symbols: SymbolTable,
    recording: bool,
    notes: Vec<String>,
}

impl Reporter {
    /// For this plan; `notes` are said in every report's health.
    pub fn new(plan: &Plan, notes: Vec<String>) -> Reporter {
        Reporter {
            track: Track::new(plan.min_wait),
            thresholds: Thresholds { min_wait: plan.min_wait, older: plan.older },
            options: ReportOptions { all_waiters: plan.all_waiters, min_wait: plan.min_wait },
            live: LiveNames::new(),
            symbols: SymbolTable::default(),
            recording: plan.record.is_some(),
            notes,
        }
    }

    /// Says this in every further report.
    pub fn note(&mut self, note: &str) {
        if !self.notes.iter().any(|known| known == note) {
            self.notes.push(note.to_owned());
        }
    }

    /// The report after one more snapshot, named by these files. Lines and inlined functions are
    /// looked for until then; names from symbol tables don't depend on it.
    pub fn live(
        &mut self,
        snapshot: Snapshot,
        files: &FxHashMap<Module, Arc<ModuleFile>>,
        until: Instant,
    ) -> Report {
        self.live.prepare(&snapshot, files, until);
        if self.recording {
            self.symbols.learn(&snapshot, &mut self.live);
        }
        self.track.add(snapshot);
        let report = build(&self.track, &self.thresholds, &mut self.live, &self.options);
        self.with_notes(report)
    }

    /// The report of a whole recorded run.
    pub fn recorded(&mut self, snapshots: Vec<Snapshot>, mut symbols: SymbolTable) -> Report {
        snapshots.into_iter().for_each(|snapshot| self.track.add(snapshot));
        let report = build(&self.track, &self.thresholds, &mut symbols, &self.options);
        self.with_notes(report)
    }

    /// A report with all notes so far.
    pub fn with_notes(&self, mut report: Report) -> Report {
        for note in self.notes.iter().chain(self.live.notes()) {
            if !report.health.notes.contains(note) {
                report.health.notes.push(note.clone());
            }
        }
        report
    }

    /// Every name that was needed, for the recording.
    pub fn take_symbols(&mut self) -> SymbolTable {
        std::mem::take(&mut self.symbols)
    }
}

fn build(
    track: &Track,
    thresholds: &Thresholds,
    names: &mut dyn Names,
    options: &ReportOptions,
) -> Report {
    let judgement = verdict::judge(track, thresholds);
    // Nothing seen yet is the report of an empty snapshot.
    let nothing = Snapshot::default();
    report::build(track.newest().unwrap_or(&nothing), &judgement, names, options)
}
