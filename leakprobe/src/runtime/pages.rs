//! Pages of a target's memory, each read once in a look.
//!
//! Thousands of threads wait on objects that lie close together; a system call for each word of each
//! would be most of a snapshot's time.

use std::cell::RefCell;

use rustc_hash::FxHashMap;

use crate::process::Memory;

const PAGE: usize = 4096;
/// Pages kept: 8 MiB.
const MAX_PAGES: usize = 2048;

/// The memory of one process as one look sees it.
pub struct Pages<'a> {
    memory: &'a Memory,
    /// `None`: not readable.
    known: RefCell<FxHashMap<u64, Option<Box<[u8; PAGE]>>>>,
}

impl<'a> Pages<'a> {
    /// Nothing is read yet.
    pub fn of(memory: &'a Memory) -> Pages<'a> {
        Pages { memory, known: RefCell::default() }
    }

    /// Some bytes at an address; `None` where they can't be read.
    pub fn bytes<const N: usize>(&self, address: u64) -> Option<[u8; N]> {
        let offset = (address % PAGE as u64) as usize;
        let mut known = self.known.borrow_mut();
        if offset + N <= PAGE {
            if known.len() >= MAX_PAGES {
                known.clear();
            }
            let page = known.entry(address - offset as u64).or_insert_with_key(|start| {
                let mut page = Box::new([0; PAGE]);
                self.memory.read(*start, page.as_mut_slice()).then_some(page)
            });
            return page.as_ref()?.get(offset..offset + N)?.try_into().ok();
        }
        drop(known);
        // Across two pages: rare, since words are aligned.
        let mut bytes = [0; N];
        self.memory.read(address, &mut bytes).then_some(bytes)
    }
}
