//! Where the return address lies, from the machine code of a function without unwind information.
//!
//! musl as distributions ship it, hand-written assembly and programs built with
//! `-fno-asynchronous-unwind-tables -fomit-frame-pointer` say nowhere how large a frame is. The code does:
//! from the function's first instruction on every way to an address the stack pointer has moved by
//! the same amount; and from that address on every way to a return it moves back.

use iced_x86::{Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory};
use rustc_hash::{FxHashMap, FxHashSet};

use super::frame_state::{Origin, State, Value};

/// Most instructions that are decoded for one answer.
const MAX_STEPS: usize = 16_384;

/// Most frames that are believed to be this large, bytes (a default stack has 8 MiB).
const MAX_FRAME: i64 = 8 << 20;

/// The register that a frame is measured from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Base {
    /// rsp.
    StackPointer,
    /// rbp: the function moves rsp by an amount that its code doesn't say.
    FramePointer,
}

/// Where the caller's rbp is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CallerFp {
    /// Still in rbp.
    Unchanged,
    /// In memory, this many bytes below the return address.
    Saved(u64),
    /// Not known.
    Unknown,
}

/// Where to find what a function must give back to its caller, at one of its instructions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FrameLayout {
    /// Register to count from.
    pub base: Base,
    /// Bytes from `base` up to the return address. The caller's rsp is 8 above that.
    pub to_return_address: u64,
    /// The caller's rbp.
    pub caller_fp: CallerFp,
}

/// Bytes between rsp and the return address at `pc`: [`frame_layout`] where that is measured from rsp.
pub fn stack_depth(code: &[u8], start: u64, pc: u64) -> Option<u64> {
    frame_layout(code, start, pc)
        .filter(|layout| layout.base == Base::StackPointer)
        .map(|layout| layout.to_return_address)
}

/// The frame of the function that begins at `start`, before its instruction at `pc` is executed (for
/// a caller: `pc` is the return address). `code` begins at `start` and goes beyond `pc`, best to the
/// function's end.
///
/// `None` where the ways through the function don't agree, or none of those that can be followed leads
/// there.
pub fn frame_layout(code: &[u8], start: u64, pc: u64) -> Option<FrameLayout> {
    let function = Function { code, start };
    let mut steps = MAX_STEPS;
    function.from_entry(pc, &mut steps)
}

struct Function<'a> {
    code: &'a [u8],
    start: u64,
}

/// What is known at an address that was reached.
struct Reached {
    state: State,
    /// The call after which the code went straight on to here: the address is only reached if that
    /// call returns.
    after_call: Option<u64>,
}

enum Walk {
    Done(Option<State>),
    /// This call can't return: what follows it has another frame.
    NeverReturns(u64),
    TooLong,
}

impl Function<'_> {
    fn decode(&self, at: u64) -> Option<Instruction> {
        let offset = usize::try_from(at.checked_sub(self.start)?).ok()?;
        let bytes = self.code.get(offset..)?;
        let mut decoder = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE);
        let instruction = decoder.decode();
        (!instruction.is_invalid()).then_some(instruction)
    }

    fn from_entry(&self, pc: u64, steps: &mut usize) -> Option<FrameLayout> {
        let mut never_return = FxHashSet::default();
        loop {
            match self.walk(pc, &never_return, steps) {
                Walk::Done(state) => return state.and_then(layout_from_entry),
                Walk::NeverReturns(call) if never_return.insert(call) => {}
                Walk::NeverReturns(_) | Walk::TooLong => return None,
            }
        }
    }

    /// Follows every way from the entry and says what is known at `pc`.
    fn walk(&self, pc: u64, never_return: &FxHashSet<u64>, steps: &mut usize) -> Walk {
        let mut info = InstructionInfoFactory::new();
        let mut reached = FxHashMap::<u64, Reached>::default();
        let mut after_noreturn = None;
        let mut todo = vec![self.start];
        reached.insert(self.start, Reached { state: State::start(), after_call: None });
        while let Some(at) = todo.pop() {
            let (Some(here), Some(instruction)) = (reached.get(&at), self.decode(at)) else {
                continue;
            };
            let Some(left) = steps.checked_sub(1) else {
                return Walk::TooLong;
            };
            *steps = left;
            let (state, after_call) = (here.state, here.after_call);
            let next = instruction.next_ip();
            let mut ways: [Option<(u64, State, Option<u64>)>; 2] = [None, None];
            match instruction.flow_control() {
                FlowControl::Next | FlowControl::XbeginXabortXend | FlowControl::Interrupt => {
                    let state = state.after(&instruction, &mut info);
                    ways = [Some((next, state, after_call)), None];
                }
                FlowControl::Call | FlowControl::IndirectCall => {
                    let state = state.after(&instruction, &mut info);
                    if !never_return.contains(&at) {
                        ways = [Some((next, state, Some(at))), None];
                    } else if next == pc {
                        after_noreturn = Some(state);
                    }
                }
                FlowControl::UnconditionalBranch => {
                    ways = [Some((instruction.near_branch_target(), state, None)), None];
                }
                FlowControl::ConditionalBranch => {
                    ways = [
                        Some((instruction.near_branch_target(), state, None)),
                        Some((next, state.not_taken(&instruction), after_call)),
                    ];
                }
                FlowControl::IndirectBranch | FlowControl::Return | FlowControl::Exception => {}
            }
            for (to, state, after_call) in ways.into_iter().flatten() {
                let Some(there) = reached.get_mut(&to) else {
                    reached.insert(to, Reached { state, after_call });
                    todo.push(to);
                    continue;
                };
                let merged = there.state.merge(state);
                let suspect = after_call.or(there.after_call);
                if merged.sp == Value::Unknown
                    && there.state.sp != Value::Unknown
                    && state.sp != Value::Unknown
                    && let Some(call) = suspect
                {
                    return Walk::NeverReturns(call);
                }
                there.after_call = None;
                if merged != there.state {
                    there.state = merged;
                    todo.push(to);
                }
            }
        }
        Walk::Done(after_noreturn.or_else(|| reached.get(&pc).map(|there| there.state)))
    }
}

fn layout_from_entry(state: State) -> Option<FrameLayout> {
    // At the entry rsp points to the return address.
    let depth = |value| match value {
        Value::Address(Origin::Rsp, at) if (-MAX_FRAME..=0).contains(&at) => {
            Some(at.unsigned_abs())
        }
        _ => None,
    };
    let (base, to_return_address) = match (depth(state.sp), depth(state.bp)) {
        (Some(depth), _) => (Base::StackPointer, depth),
        (None, Some(depth)) => (Base::FramePointer, depth),
        (None, None) => return None,
    };
    let caller_fp = match (state.bp, depth(state.saved_bp)) {
        (Value::Address(Origin::Rbp, 0), _) => CallerFp::Unchanged,
        (_, Some(below)) => CallerFp::Saved(below),
        _ => CallerFp::Unknown,
    };
    Some(FrameLayout { base, to_return_address, caller_fp })
}
