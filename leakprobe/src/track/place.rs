//! Where a waiter waits, comparable across the snapshots of a run.

use std::hash::{Hash, Hasher};

use rustc_hash::FxHasher;

use crate::snapshot::{Frame, Row, Snapshot};

/// Hash of reason, stack (by build id and offset, or path where there is no build id) and objects.
/// Two waits of one waiter with the same place are the same call on the same thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Place(u64);

impl Place {
    /// The place of a row of this snapshot.
    pub fn of(snapshot: &Snapshot, row: &Row) -> Place {
        let mut hasher = FxHasher::default();
        row.reason.hash(&mut hasher);
        for frame in snapshot.stack(row) {
            hash_frame(snapshot, frame, &mut hasher);
        }
        for object in &row.objects {
            if let Some(object) = snapshot.objects.get(object.0 as usize) {
                (object.kind, object.address).hash(&mut hasher);
            }
        }
        Place(hasher.finish())
    }
}

fn hash_frame(snapshot: &Snapshot, frame: &Frame, hasher: &mut FxHasher) {
    match frame {
        // Module indices differ from snapshot to snapshot.
        Frame::At { module, offset } => {
            if let Some(module) = snapshot.modules.get(module.0 as usize) {
                match &module.build_id {
                    Some(id) => id.hash(hasher),
                    None => module.path.hash(hasher),
                }
            }
            offset.hash(hasher);
        }
        other => other.hash(hasher),
    }
}
