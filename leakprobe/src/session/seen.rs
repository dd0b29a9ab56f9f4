//! A task as one pass saw it.

use std::{ops::Deref, sync::Arc};

use crate::probe::Task;

/// One task of a pass, without a copy: a pass can hold a hundred thousand of them.
#[derive(Clone, Debug)]
pub struct Seen {
    pass: Arc<Vec<Task>>,
    index: usize,
}

impl Seen {
    /// The tasks at these indices of a pass; indices that it doesn't have are left out.
    pub fn of(pass: &Arc<Vec<Task>>, indices: Vec<usize>) -> Vec<Seen> {
        let inside = indices.into_iter().filter(|index| *index < pass.len());
        inside.map(|index| Seen { pass: pass.clone(), index }).collect()
    }
}

impl Deref for Seen {
    type Target = Task;

    fn deref(&self) -> &Task {
        &self.pass[self.index]
    }
}
