//! Stacks of blocked threads, from their saved registers and their process's memory.
//!
//! Ordinary frames are unwound by framehop. What it would guess at is told apart before
//! ([`frame_info`]): code that no FDE covers, rows that it can't express, signal frames, the end of
//! the stack. So each stack either ends where its thread began, or says why it is not whole.

mod call_site;
mod expression;
mod frame_info;
mod functions;
mod ordinary;
mod outermost;
mod signal;
mod walk;
mod without_cfi;

use std::{ops::Range, sync::Arc, time::Instant};

use crate::{
    probe::Registers,
    process::{Batch, ModuleFile, Target},
    snapshot::Unnamed,
};

use walk::{Outcome, Walk, Ways};

/// Threads whose stacks are read together.
const GROUP: usize = 256;
/// Stack read at first, bytes from the stack pointer on.
const FIRST_WINDOW: u64 = 8 << 10;
/// How much larger the next window is, and the largest.
const GROWTH: u64 = 4;
const MAX_WINDOW: u64 = 128 << 10;
/// Bytes of stack that are held at a time.
const MAX_HELD: u64 = 8 << 20;
/// Bytes of stack that are read for one thread.
const MAX_STACK: u64 = 4 << 20;

/// A frame before modules are interned, see [`Frame`](crate::snapshot::Frame).
#[derive(Clone, Debug)]
pub enum RawFrame {
    /// In a file.
    At {
        /// The file.
        module: Arc<ModuleFile>,
        /// Address in the file's own terms; for callers the last byte of the call instruction.
        svma: u64,
    },
    /// An address without a usable file, or the place where unwinding had to stop.
    Unknown {
        /// The address, 0 where there is none.
        address: u64,
        /// Why no more is known.
        why: Unnamed,
    },
}

/// A stack, innermost frame first. One that could not be followed to its end closes with
/// [`RawFrame::Unknown`].
pub type RawStack = Vec<RawFrame>;

/// Where a thread's stack begins.
#[derive(Clone, Copy, Debug)]
pub struct ThreadStart {
    /// Its saved user registers.
    pub registers: Registers,
}

/// Unwinds the threads of one target. What it learns about code is kept from one call to the next.
#[derive(Default)]
pub struct Unwinder {
    ways: Ways,
    generation: u64,
}

impl Unwinder {
    /// For a target of which nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The stacks of threads, in their order. [`Target::modules`] must have been called since the
    /// last [`Target::refresh`], or no address has a file. Threads not reached by the deadline end
    /// in [`Unnamed::OutOfTime`].
    pub fn unwind(
        &mut self,
        target: &Target,
        threads: &[ThreadStart],
        deadline: Instant,
    ) -> Vec<RawStack> {
        if self.generation != target.generation() {
            self.generation = target.generation();
            self.ways = Ways::default();
        }
        self.ways.forget_code();
        let mut walks: Vec<Walk> = threads.iter().map(|t| Walk::new(&t.registers)).collect();
        for group in walks.chunks_mut(GROUP) {
            let mut group: Vec<&mut Walk> = group.iter_mut().collect();
            self.read_and_walk(target, &mut group, FIRST_WINDOW, deadline);
        }
        walks.into_iter().map(Walk::into_stack).collect()
    }

    /// Reads a window of each stack, follows it, and goes on with larger windows for those that lead
    /// out of theirs.
    fn read_and_walk(
        &mut self,
        target: &Target,
        walks: &mut [&mut Walk],
        window: u64,
        deadline: Instant,
    ) {
        if Instant::now() >= deadline {
            walks.iter_mut().for_each(|w| w.stop(Unnamed::OutOfTime));
            return;
        }
        let mut ranges = Vec::with_capacity(walks.len());
        let mut own = Vec::with_capacity(walks.len());
        for walk in walks.iter_mut() {
            let before = ranges.len();
            wanted(target, walk, window, &mut ranges);
            walk.count_read(ranges[before..].iter().map(|r| r.end - r.start).sum());
            own.push(before..ranges.len());
        }
        let batch = target.memory().read_many(&ranges);
        let mut unfinished = Vec::new();
        for (walk, own) in walks.iter_mut().zip(own) {
            let asked = |address: u64| {
                let mut own = ranges.get(own.clone()).unwrap_or_default().iter();
                own.any(|range| range.contains(&address))
            };
            match walk.follow(target, &mut self.ways, &batch, deadline) {
                Outcome::Ended => {}
                // It was asked for and is not there, or it can't be.
                Outcome::Needs(address)
                    if asked(address) || target.maps().find(address).is_none() =>
                {
                    walk.stop(Unnamed::StackUnreadable);
                }
                Outcome::Needs(_) if walk.bytes_read() >= MAX_STACK => walk.stop(Unnamed::TooDeep),
                Outcome::Needs(_) => unfinished.push(&mut **walk),
            }
        }
        drop(batch);
        let window = (window * GROWTH).min(MAX_WINDOW);
        let at_once = ((MAX_HELD / window) as usize).max(1);
        for group in unfinished.chunks_mut(at_once) {
            self.read_and_walk(target, group, window, deadline);
        }
    }
}

/// What to read for a stack: a window from its stack pointer on, and one from each address that was
/// missing; within the mappings that they lie in.
fn wanted(target: &Target, walk: &Walk, window: u64, ranges: &mut Vec<Range<u64>>) {
    for start in std::iter::once(walk.stack_pointer()).chain(walk.missing().iter().copied()) {
        if let Some(mapping) = target.maps().find(start) {
            ranges.push(start..start.saturating_add(window).min(mapping.end));
        }
    }
}

/// The part of a stack that was read.
struct Window<'a> {
    batch: &'a Batch,
}

impl Window<'_> {
    fn word(&self, address: u64) -> Option<u64> {
        self.batch.u64(address)
    }
}

#[cfg(test)]
mod tests;
