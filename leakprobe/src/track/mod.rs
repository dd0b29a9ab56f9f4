//! Takes snapshots in order and keeps what persists: which wait goes on, since when at best
//! knowledge, and for how long a waiter has been coming back to the same place.
//!
//! Pure: no I/O, no clock, no threads, and no names of functions. Memory is bounded by the rows of
//! the newest snapshot: what is not in it is forgotten.

mod place;
mod since;

use std::time::Duration;

use rustc_hash::FxHashMap;

use crate::snapshot::{Ns, Row, Snapshot, WaiterKind};

use place::Place;
use since::narrow;

/// A waiter across snapshots: never a bare number, since ids are reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct WaiterKey {
    pid: u32,
    process_start: u64,
    exec: u64,
    kind: WaiterKind,
    id: u64,
    birth: u64,
}

/// What is known of a waiter from all snapshots so far.
#[derive(Clone, Copy, Debug)]
struct Known {
    place: Place,
    token: u64,
    /// Begin of the present wait, narrowed by every snapshot that saw it.
    since: crate::snapshot::Since,
    /// Since when it has been at this place, wake-ups that returned to it included.
    at_place: Ns,
    /// How many snapshots in a row saw this very wait.
    sightings: u32,
    /// How long the present wait had lasted when it was last seen, at least.
    lasted_ns: u64,
}

/// A row of the newest snapshot with its history.
#[derive(Clone, Copy, Debug)]
pub struct Tracked {
    /// Index into the newest snapshot's rows.
    pub row: usize,
    /// Begin of the present wait at best knowledge.
    pub since: crate::snapshot::Since,
    /// Since when the waiter has been at this stack and object, wake-ups that returned to the same
    /// place included.
    pub at_place: Ns,
    /// How many snapshots in a row saw this very wait.
    pub sightings: u32,
}

/// The history of a run.
#[derive(Debug)]
pub struct Track {
    /// Waits that lasted for less than this are not counted when they end.
    min_wait_ns: u64,
    known: FxHashMap<WaiterKey, Known>,
    newest: Option<Snapshot>,
    began: Option<Ns>,
    snapshots: u64,
    ended_waits: u64,
}

impl Track {
    /// An empty history. Shorter waits than `min_wait` are not counted when they end.
    pub fn new(min_wait: Duration) -> Self {
        Track {
            min_wait_ns: u64::try_from(min_wait.as_nanos()).unwrap_or(u64::MAX),
            known: FxHashMap::default(),
            newest: None,
            began: None,
            snapshots: 0,
            ended_waits: 0,
        }
    }

    /// Takes the next snapshot. Snapshots come in the order in which they were read.
    pub fn add(&mut self, snapshot: Snapshot) {
        self.began.get_or_insert(snapshot.ended);
        self.snapshots += 1;
        let mut known = FxHashMap::default();
        known.reserve(snapshot.rows.len());
        for row in &snapshot.rows {
            let Some(key) = key_of(&snapshot, row) else {
                continue;
            };
            let place = Place::of(&snapshot, row);
            let before = self.known.get(&key);
            let now = follow(before, row, place);
            if let Some(before) = self.known.remove(&key)
                && before.token != now.token
            {
                self.ended_waits += u64::from(before.lasted_ns >= self.min_wait_ns);
            }
            known.insert(key, now);
        }
        let vanished = self.known.values().filter(|k| k.lasted_ns >= self.min_wait_ns);
        self.ended_waits += vanished.count() as u64;
        self.known = known;
        self.newest = Some(snapshot);
    }

    /// The newest snapshot.
    pub fn newest(&self) -> Option<&Snapshot> {
        self.newest.as_ref()
    }

    /// The newest snapshot's rows with their history, in the snapshot's order.
    pub fn tracked(&self) -> Vec<Tracked> {
        let Some(snapshot) = &self.newest else {
            return Vec::new();
        };
        let rows = snapshot.rows.iter().enumerate();
        rows.filter_map(|(row, r)| {
            let known = self.known.get(&key_of(snapshot, r)?)?;
            Some(Tracked {
                row,
                since: known.since,
                at_place: known.at_place,
                sightings: known.sightings,
            })
        })
        .collect()
    }

    /// Nanoseconds between the end of the first snapshot and the end of the newest.
    pub fn watched_ns(&self) -> u64 {
        match (self.began, &self.newest) {
            (Some(began), Some(newest)) => newest.ended.0.saturating_sub(began.0),
            _ => 0,
        }
    }

    /// How many snapshots there were.
    pub fn snapshots(&self) -> u64 {
        self.snapshots
    }

    /// How many waits that an earlier snapshot saw, and that had lasted, had ended by the next one.
    pub fn ended_waits(&self) -> u64 {
        self.ended_waits
    }
}

fn key_of(snapshot: &Snapshot, row: &Row) -> Option<WaiterKey> {
    let process = snapshot.processes.get(row.waiter.process.0 as usize)?;
    Some(WaiterKey {
        pid: process.pid,
        process_start: process.start_boottime_ns,
        exec: process.exec,
        kind: row.waiter.kind,
        id: row.waiter.id,
        birth: row.waiter.birth,
    })
}

fn follow(before: Option<&Known>, row: &Row, place: Place) -> Known {
    let fresh = Known {
        place,
        token: row.stay.token,
        since: row.since,
        at_place: row.since.latest.min(row.seen),
        sightings: 1,
        lasted_ns: row.seen.0.saturating_sub(row.since.latest.0),
    };
    let Some(before) = before else { return fresh };
    // A certain token that has not moved says that the waiter is still where it was, even if its
    // stack could be read only one of the two times.
    let same_wait = before.token == row.stay.token && (row.stay.certain || before.place == place);
    if same_wait {
        let since = narrow(before.since, row.since);
        Known {
            since,
            lasted_ns: row.seen.0.saturating_sub(since.latest.0),
            at_place: before.at_place.min(fresh.at_place),
            sightings: before.sightings.saturating_add(1),
            ..fresh
        }
    } else if before.place == place {
        Known { at_place: before.at_place, ..fresh }
    } else {
        fresh
    }
}

#[cfg(test)]
mod tests;
