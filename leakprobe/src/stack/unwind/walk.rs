//! Following one stack, frame by frame.

use std::time::Instant;

use rustc_hash::FxHashMap;

use super::{
    RawFrame, RawStack, Window,
    expression::Rules,
    frame_info::{FrameInfo, Way},
    ordinary::Ordinary,
    outermost::Outermost,
    signal,
    without_cfi::WithoutCfi,
};
use crate::{
    probe::Registers,
    process::{Batch, Target, Unusable},
    snapshot::Unnamed,
};

/// Frames of one stack that are kept.
const MAX_FRAMES: usize = 512;
/// Addresses missing for one and the same step, at most.
const MAX_MISSING: usize = 8;
/// Places of which it is remembered how to unwind them.
const MAX_WAYS: usize = 1 << 16;

/// The registers that unwinding needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Regs {
    pub ip: u64,
    pub sp: u64,
    pub bp: Option<u64>,
    /// rdi, which only the innermost frame has: vfork keeps its return address there (glibc,
    /// sysdeps/unix/sysv/linux/x86_64/vfork.S; musl, src/process/x86_64/vfork.s).
    pub di: Option<u64>,
}

/// What one step up the stack comes to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// The caller, at its return address.
    Caller(Regs),
    /// What a signal interrupted, at the very instruction.
    Interrupted(Regs),
    /// This was the outermost frame.
    End,
    /// Memory that is not in the window.
    Needs(u64),
    /// No way further.
    Lost(Unnamed),
}

/// How far a stack could be followed.
pub(super) enum Outcome {
    Ended,
    /// The memory at this address is needed.
    Needs(u64),
}

/// What is known about the code of one target: how to unwind each place met so far.
#[derive(Default)]
pub(super) struct Ways {
    known: FxHashMap<u64, Way>,
    frame_info: FrameInfo,
    ordinary: Ordinary,
    without_cfi: WithoutCfi,
    outermost: Outermost,
}

impl Ways {
    /// Forgets what may have changed since: a JIT writes new code where old code was.
    pub(super) fn forget_code(&mut self) {
        self.without_cfi.forget_code();
    }

    fn way(&mut self, target: &Target, ip: u64, lookup: u64) -> Way {
        if let Some(way) = self.known.get(&lookup) {
            return way.clone();
        }
        let way = self.frame_info.way(target, ip, lookup);
        if self.known.len() >= MAX_WAYS {
            self.known.clear();
        }
        self.known.insert(lookup, way.clone());
        way
    }

    fn step(&mut self, target: &Target, regs: &Regs, exact: bool, window: &Window) -> Step {
        let lookup = if exact { regs.ip } else { regs.ip.wrapping_sub(1) };
        let step = match self.way(target, regs.ip, lookup) {
            Way::Ordinary(kind) => self.ordinary.step(target, kind, regs, exact, window),
            Way::Rules(rules) => Rules::step(&rules, regs, window),
            Way::Signal => return signal::step(regs, window),
            Way::End => Step::End,
            Way::WithoutCfi => self.without_cfi.step(target, regs, exact, window),
        };
        // The code may say what its unwind information leaves to rbp.
        let step = match step {
            Step::Lost(Unnamed::NoBasePointer) if regs.bp.is_none() => {
                match self.without_cfi.step(target, regs, exact, window) {
                    Step::Lost(_) => step,
                    found => found,
                }
            }
            step => step,
        };
        match step {
            // Whatever the rules say, a stack grows down: so no walk goes in circles. Only the innermost
            // frame may have taken its return address off the stack.
            Step::Caller(caller) if caller.sp < regs.sp || caller.sp == regs.sp && !exact => {
                Step::Lost(Unnamed::NoUnwindInfo)
            }
            step => step,
        }
    }
}

/// One stack on the way.
pub(super) struct Walk {
    regs: Regs,
    /// `ip` is an instruction that was reached, not a return address.
    exact: bool,
    frames: Vec<RawFrame>,
    /// Whether the frame at `regs` is among `frames`.
    noted: bool,
    ended: bool,
    missing: Vec<u64>,
    bytes_read: u64,
}

impl Walk {
    pub(super) fn new(registers: &Registers) -> Walk {
        Walk {
            regs: Regs {
                ip: registers.ip,
                sp: registers.sp,
                bp: registers.bp,
                di: Some(registers.args[0]),
            },
            exact: true,
            frames: Vec::new(),
            noted: false,
            ended: false,
            missing: Vec::new(),
            bytes_read: 0,
        }
    }

    pub(super) fn stack_pointer(&self) -> u64 {
        self.regs.sp
    }

    /// Addresses that the next step needs and had not.
    pub(super) fn missing(&self) -> &[u64] {
        &self.missing
    }

    pub(super) fn bytes_read(&self) -> u64 {
        self.bytes_read
    }

    pub(super) fn count_read(&mut self, bytes: u64) {
        self.bytes_read += bytes;
    }

    /// Ends it early.
    pub(super) fn stop(&mut self, why: Unnamed) {
        if !self.ended {
            self.frames.push(RawFrame::Unknown { address: 0, why });
            self.ended = true;
        }
    }

    pub(super) fn into_stack(self) -> RawStack {
        self.frames
    }

    /// Goes up the stack as far as the memory that was read allows.
    pub(super) fn follow(
        &mut self,
        target: &Target,
        ways: &mut Ways,
        batch: &Batch,
        deadline: Instant,
    ) -> Outcome {
        let window = Window { batch };
        while !self.ended {
            if !self.noted && !self.note(target, ways) {
                break;
            }
            if self.frames.len() >= MAX_FRAMES {
                self.stop(Unnamed::TooDeep);
                break;
            }
            if self.frames.len().is_multiple_of(32) && Instant::now() >= deadline {
                self.stop(Unnamed::OutOfTime);
                break;
            }
            let (regs, exact) = match ways.step(target, &self.regs, self.exact, &window) {
                Step::Caller(regs) => (regs, false),
                Step::Interrupted(regs) => (regs, true),
                Step::End => {
                    self.ended = true;
                    break;
                }
                Step::Needs(_) if self.missing.len() >= MAX_MISSING => {
                    self.stop(Unnamed::StackUnreadable);
                    break;
                }
                Step::Needs(address) => {
                    self.missing.push(address);
                    return Outcome::Needs(address);
                }
                Step::Lost(_) if ways.outermost.is(self.frames.last()) => {
                    self.ended = true;
                    break;
                }
                Step::Lost(why) => {
                    self.stop(why);
                    break;
                }
            };
            self.regs = regs;
            self.exact = exact;
            self.noted = false;
            self.missing.clear();
        }
        Outcome::Ended
    }

    /// Adds the frame at the present registers; false where nothing can lie beyond it.
    fn note(&mut self, target: &Target, ways: &mut Ways) -> bool {
        self.noted = true;
        let address = self.regs.ip;
        let lookup = if self.exact { address } else { address.wrapping_sub(1) };
        let unknown = |why| RawFrame::Unknown { address: lookup, why };
        let frame = match target.module_at(lookup) {
            Some(module) => match module.file.usable() {
                Ok(()) => RawFrame::At { module: module.file.clone(), svma: module.svma(lookup) },
                // Code that a JIT keeps in a memfd.
                Err(Unusable::NotElf) => unknown(Unnamed::Anonymous),
                Err(_) => unknown(Unnamed::FileUnavailable),
            },
            None => match target.maps().find(lookup) {
                Some(mapping) if mapping.executable => unknown(Unnamed::Anonymous),
                _ => {
                    if !ways.outermost.is(self.frames.last()) {
                        self.frames.push(unknown(Unnamed::Unmapped));
                    }
                    self.ended = true;
                    return false;
                }
            },
        };
        self.frames.push(frame);
        true
    }
}
