//! Who waits for whom: from each wait to the holder of its lock, as far as that is proved.

use rustc_hash::{FxHashMap, FxHashSet};

use crate::snapshot::{
    Holder, ObjectIx, Owner, ProcessIx, Proof, Row, Snapshot, Terms, Timeout, WaiterKind,
};

/// A wait without timeout on a lock whose recorded holder was confirmed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Link {
    /// The lock.
    pub object: ObjectIx,
    /// Who holds it.
    pub holder: Holder,
    /// The holder's own wait, if it is blocked too.
    pub holder_row: Option<usize>,
    /// By the lock's contract, nothing releases it once its holder is gone.
    pub owner_must_release: bool,
}

/// The proved links between the rows of one snapshot. A row has at most one: it waits on one lock.
#[derive(Debug, Default)]
pub struct Graph {
    links: FxHashMap<usize, Link>,
    cycles: Vec<Vec<usize>>,
    cycle_of: FxHashMap<usize, usize>,
    leaked: FxHashSet<usize>,
}

impl Graph {
    /// Builds the graph of a snapshot.
    pub fn of(snapshot: &Snapshot) -> Graph {
        let rows: RowsByWaiter = (snapshot.rows.iter().enumerate())
            .map(|(i, r)| ((r.waiter.kind, process_of(r), r.waiter.id), i))
            .collect();
        let held: FxHashSet<ObjectIx> =
            snapshot.proofs.iter().map(|Proof::HeldThroughout { object }| *object).collect();
        let mut graph = Graph::default();
        for (index, row) in snapshot.rows.iter().enumerate() {
            if let Some(link) = link_of(snapshot, row, &rows, &held) {
                graph.links.insert(index, link);
            }
        }
        graph.find_cycles();
        graph.find_leaked();
        graph
    }

    /// The link of a row.
    pub fn link(&self, row: usize) -> Option<&Link> {
        self.links.get(&row)
    }

    /// All cycles, each starting at its smallest row.
    pub fn cycles(&self) -> &[Vec<usize>] {
        &self.cycles
    }

    /// The cycle that a row is a member of.
    pub fn cycle_of(&self, row: usize) -> Option<&[usize]> {
        self.cycle_of.get(&row).map(|&c| self.cycles[c].as_slice())
    }

    /// Whether a row is proved never to wake: in a cycle, behind a holder that is gone, or behind
    /// one of these.
    pub fn is_leaked(&self, row: usize) -> bool {
        self.leaked.contains(&row)
    }

    /// Each row has at most one successor, so a walk either ends, or meets an earlier walk, or
    /// closes a cycle of its own.
    fn find_cycles(&mut self) {
        let mut visited: FxHashSet<usize> = FxHashSet::default();
        let mut starts: Vec<usize> = self.links.keys().copied().collect();
        starts.sort_unstable();
        for start in starts {
            let mut path = Vec::new();
            let mut at = Some(start);
            while let Some(row) = at.filter(|row| visited.insert(*row)) {
                path.push(row);
                at = self.links.get(&row).and_then(|link| link.holder_row);
            }
            let Some(first) = at.and_then(|row| path.iter().position(|p| *p == row)) else {
                continue;
            };
            let mut cycle = path.split_off(first);
            let least = (0..cycle.len()).min_by_key(|i| cycle[*i]).unwrap_or(0);
            cycle.rotate_left(least);
            self.cycle_of.extend(cycle.iter().map(|row| (*row, self.cycles.len())));
            self.cycles.push(cycle);
        }
    }

    fn find_leaked(&mut self) {
        let mut waiting_for: FxHashMap<usize, Vec<usize>> = FxHashMap::default();
        for (row, link) in &self.links {
            if let Some(holder) = link.holder_row {
                waiting_for.entry(holder).or_default().push(*row);
            }
        }
        let gone = self.links.iter().filter(|(_, link)| link.is_gone()).map(|(row, _)| *row);
        let mut todo: Vec<usize> = gone.chain(self.cycle_of.keys().copied()).collect();
        while let Some(row) = todo.pop() {
            if self.leaked.insert(row) {
                todo.extend(waiting_for.get(&row).into_iter().flatten());
            }
        }
    }
}

impl Link {
    /// The holder is gone and nothing releases the lock in its place.
    pub fn is_gone(&self) -> bool {
        self.owner_must_release && self.holder.alive == Some(false)
    }
}

fn link_of(
    snapshot: &Snapshot,
    row: &Row,
    rows: &RowsByWaiter,
    held: &FxHashSet<ObjectIx>,
) -> Option<Link> {
    if row.until != Timeout::Never {
        return None;
    }
    let [object_ix] = row.objects[..] else {
        return None;
    };
    let object = snapshot.objects.get(object_ix.0 as usize)?;
    let Owner::Held { by, terms } = &object.owner else {
        return None;
    };
    let owner_must_release = match terms {
        Terms::OwnerMustRelease => true,
        Terms::DeathReleases { .. } => false,
        Terms::Hint { .. } => return None,
    };
    if !held.contains(&object_ix) {
        return None;
    }
    let holder_row = match by.alive {
        Some(true) => holder_row(rows, by, row),
        _ => None,
    };
    Some(Link { object: object_ix, holder: *by, holder_row, owner_must_release })
}

/// Rows by waiter. Thread ids are unique in the machine, and a holder may be a thread of another
/// process that shares the memory; the ids of other waiters are their process's own.
type RowsByWaiter = FxHashMap<(WaiterKind, Option<ProcessIx>, u64), usize>;

fn process_of(row: &Row) -> Option<ProcessIx> {
    (row.waiter.kind != WaiterKind::Thread).then_some(row.waiter.process)
}

fn holder_row(rows: &RowsByWaiter, by: &Holder, waiter: &Row) -> Option<usize> {
    let process = (by.kind != WaiterKind::Thread).then_some(waiter.waiter.process);
    rows.get(&(by.kind, process, by.id)).copied()
}
