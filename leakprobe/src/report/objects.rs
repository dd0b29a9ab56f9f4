//! What the waiters of a site wait on.

use rustc_hash::FxHashMap;

use super::{HolderEntry, ObjectEntry, Objects};
use crate::snapshot::{Object, ObjectIx, ObjectKind, Owner, Row, Snapshot, Terms};

/// How many objects a site lists, besides those of the waiters that it lists.
const TOP: usize = 20;

/// Collects the objects of a site's rows. `listed` are the rows that the site will list: what they
/// wait on is always there. The map gives each listed object's index in `Objects::top`.
pub(super) fn collect(
    snapshot: &Snapshot,
    rows: &[&Row],
    listed: usize,
    several_processes: bool,
) -> (Objects, FxHashMap<ObjectIx, u32>) {
    let mut counts: FxHashMap<ObjectIx, u64> = FxHashMap::default();
    for row in rows {
        for object in &row.objects {
            *counts.entry(*object).or_default() += 1;
        }
    }
    let mut most: Vec<(ObjectIx, u64)> = counts.iter().map(|(ix, n)| (*ix, *n)).collect();
    most.sort_by_key(|(ix, n)| (std::cmp::Reverse(*n), *ix));
    let distinct = most.len() as u64;
    let shown: rustc_hash::FxHashSet<ObjectIx> = (most.iter().take(TOP).map(|(ix, _)| *ix))
        .chain(rows.iter().take(listed).flat_map(|row| row.objects.iter().copied()))
        .collect();
    let mut objects = Objects { distinct, top: Vec::new() };
    let mut index = FxHashMap::default();
    for (ix, count) in most {
        if shown.contains(&ix)
            && let Some(object) = snapshot.objects.get(ix.0 as usize)
        {
            index.insert(ix, objects.top.len() as u32);
            objects.top.push(entry(snapshot, object, count, several_processes));
        }
    }
    (objects, index)
}

fn entry(snapshot: &Snapshot, object: &Object, count: u64, several: bool) -> ObjectEntry {
    let mut detail = object.detail.clone();
    if several && let Some(process) = snapshot.processes.get(object.process.0 as usize) {
        detail.insert("pid".to_owned(), process.pid.to_string());
    }
    let mut holders = Vec::new();
    match &object.owner {
        Owner::None => {}
        Owner::NotRecorded { why } => {
            detail.insert("owner".to_owned(), format!("not recorded: {why}"));
        }
        Owner::Unreadable { why } => {
            detail.insert("owner".to_owned(), format!("not readable: {why}"));
        }
        Owner::Held { by, terms } => {
            holders.push(HolderEntry {
                kind: by.kind.as_str().to_owned(),
                id: by.id.to_string(),
                alive: by.alive,
            });
            match terms {
                Terms::OwnerMustRelease => {}
                Terms::DeathReleases { why } | Terms::Hint { why } => {
                    detail.insert("owner".to_owned(), why.clone());
                }
            }
        }
    }
    ObjectEntry {
        kind: object.kind.as_str().to_owned(),
        address: match object.kind {
            ObjectKind::Pipe | ObjectKind::Socket | ObjectKind::Epoll | ObjectKind::File => {
                format!("fd {}", object.address)
            }
            ObjectKind::Child => match object.address {
                0 => "any".to_owned(),
                pid => pid.to_string(),
            },
            _ => format!("{:#x}", object.address),
        },
        count,
        detail,
        holders,
    }
}
