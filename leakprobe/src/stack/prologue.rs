//! Where the return address lies, from the machine code of a function without unwind information.
//!
//! musl as distributions ship it, hand-written assembly and programs built with
//! `-fno-asynchronous-unwind-tables -fomit-frame-pointer` say nowhere how large a frame is. The code does:
//! from the function's first instruction on every way to an address the stack pointer has moved by
//! the same amount; and from that address on every way to a return it moves back.

use iced_x86::{
    Decoder, DecoderOptions, FlowControl, Instruction, InstructionInfoFactory, Mnemonic,
};
use rustc_hash::{FxHashMap, FxHashSet};

use super::call_site::{Call, preceded_by_call};
use super::frame_state::{Origin, State, Value};

/// Most instructions that are decoded for one answer.
const MAX_STEPS: usize = 16_384;

/// How many bytes beyond the address in question are looked at, at first and then.
const WINDOWS: [u64; 4] = [0, 256, 4096, u64::MAX];

/// The same for the ways to returns.
const RETURN_WINDOWS: [u64; 9] = [32, 64, 128, 256, 512, 1024, 2048, 8192, u64::MAX];

/// `syscall`.
const SYSCALL: [u8; 2] = [0x0f, 0x05];

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
    explore(code, start, pc).ok()
}

/// The frame at a return address `pc` of a function whose begin is not known. `code` is what lies
/// around `pc` and begins at `start`; a few kilobytes on both sides are best.
///
/// Only the ways on to the function's returns can be followed here, which fails where it never
/// returns. Those from a known begin are surer: prefer [`frame_layout`].
pub fn frame_layout_ahead(code: &[u8], start: u64, pc: u64) -> Option<FrameLayout> {
    to_return(code, start, pc)
}

/// Why there is no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum NoLayout {
    /// No way that can be followed leads there.
    Unreached,
    /// The ways disagree, or rsp and rbp both hold something that the code doesn't say.
    Unclear,
    /// Too many instructions.
    TooLong,
}

/// [`frame_layout`] with the reason why there is none.
pub(super) fn explore(code: &[u8], start: u64, pc: u64) -> Result<FrameLayout, NoLayout> {
    let mut steps = MAX_STEPS;
    let mut failure = NoLayout::Unreached;
    for beyond in WINDOWS {
        // Ways that stay near are tried first: they are enough as a rule, and what is far beyond
        // may be another function.
        let end = pc.saturating_sub(start).saturating_add(beyond);
        let end = usize::try_from(end).map_or(code.len(), |end| end.min(code.len()));
        let mut function =
            Function { code: code.get(..end).unwrap_or(code), start, steps: &mut steps };
        let found = function.follow(start, pc).and_then(|found| {
            let state = found.at.ok_or(NoLayout::Unreached)?;
            let layout = layout_from_entry(state).ok_or(NoLayout::Unclear)?;
            // A function that calls has moved rsp, by 8 at least to align it: `start` is none's begin.
            let unmoved = layout.base == Base::StackPointer && layout.to_return_address == 0;
            match unmoved && called_before(code, start, pc) {
                true => Err(NoLayout::Unclear),
                false => Ok(layout),
            }
        });
        failure = match found {
            Ok(layout) => return Ok(layout),
            Err(failure) => failure,
        };
        if end == code.len() || failure == NoLayout::TooLong {
            break;
        }
    }
    to_return(code, start, pc).ok_or(failure)
}

fn called_before(code: &[u8], start: u64, pc: u64) -> bool {
    let at = usize::try_from(pc.saturating_sub(start)).ok();
    let before = at.and_then(|at| code.get(..at)).unwrap_or(&[]);
    !before.ends_with(&SYSCALL) && preceded_by_call(before, pc) != Call::None
}

/// The frame at `pc` from the ways on to the function's returns.
fn to_return(code: &[u8], start: u64, pc: u64) -> Option<FrameLayout> {
    let mut steps = MAX_STEPS;
    let before = usize::try_from(pc.checked_sub(start)?).ok().and_then(|at| code.get(..at))?;
    // Elsewhere the code that follows need not belong to the same function.
    let called = match (before.ends_with(&SYSCALL), preceded_by_call(before, pc)) {
        (true, _) => false,
        (false, Call::Direct(_) | Call::Indirect) => true,
        (false, Call::None) => return None,
    };
    for beyond in RETURN_WINDOWS {
        let end = pc.saturating_sub(start).saturating_add(beyond);
        let end = usize::try_from(end).map_or(code.len(), |end| end.min(code.len()));
        let mut function =
            Function { code: code.get(..end).unwrap_or(code), start, steps: &mut steps };
        let found = function.follow(pc, pc).ok()?;
        let mut layouts =
            found.returns.into_iter().filter_map(|state| layout_at_return(state, called));
        if let Some(layout) = layouts.next() {
            return layouts.all(|other| other == layout).then_some(layout);
        }
    }
    None
}

struct Function<'a> {
    code: &'a [u8],
    start: u64,
    steps: &'a mut usize,
}

/// What is known at an address that was reached.
#[derive(Clone, Copy)]
struct Reached {
    state: State,
    /// The call after which the code went straight on to here: the address is only reached if that
    /// call returns.
    after_call: Option<u64>,
}

/// What a walk found.
#[derive(Default)]
struct Found {
    /// The state at the address that was asked for.
    at: Option<State>,
    /// The states in which the function returns or jumps out of the code.
    returns: Vec<State>,
}

impl Function<'_> {
    fn decode(&self, at: u64) -> Option<Instruction> {
        let offset = usize::try_from(at.checked_sub(self.start)?).ok()?;
        let bytes = self.code.get(offset..)?;
        let mut decoder = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE);
        let instruction = decoder.decode();
        (!instruction.is_invalid()).then_some(instruction)
    }

    /// Whether the function seems to end at an address: what follows is filled up with nops to a
    /// multiple of 16, or marked as an entry.
    fn ends_at(&self, mut at: u64) -> bool {
        let mut filled = false;
        while let Some(instruction) = self.decode(at) {
            match instruction.mnemonic() {
                Mnemonic::Nop => filled = true,
                Mnemonic::Endbr64 => return true,
                _ => return filled && at.is_multiple_of(16),
            }
            at = instruction.next_ip();
        }
        false
    }

    /// Follows every way from `origin`, and looks what is known at `pc`.
    fn follow(&mut self, origin: u64, pc: u64) -> Result<Found, NoLayout> {
        let mut never_return = FxHashSet::default();
        loop {
            match self.walk(origin, pc, &never_return) {
                Ok(found) => return Ok(found),
                Err(Stop::NeverReturns(call)) if never_return.insert(call) => {}
                Err(Stop::NeverReturns(_)) => return Err(NoLayout::Unclear),
                Err(Stop::TooLong) => return Err(NoLayout::TooLong),
            }
        }
    }

    fn walk(&mut self, origin: u64, pc: u64, never_return: &FxHashSet<u64>) -> Result<Found, Stop> {
        let mut info = InstructionInfoFactory::new();
        let mut found = Found::default();
        let mut reached = FxHashMap::<u64, Reached>::default();
        let mut todo = vec![origin];
        let first = Reached { state: State::start(), after_call: None };
        reached.insert(origin, first);
        while let Some(at) = todo.pop() {
            let (Some(&here), Some(instruction)) = (reached.get(&at), self.decode(at)) else {
                continue;
            };
            *self.steps = self.steps.checked_sub(1).ok_or(Stop::TooLong)?;
            // Padding between functions, and what follows a call that must not return.
            if matches!(instruction.mnemonic(), Mnemonic::Int3 | Mnemonic::Hlt) {
                continue;
            }
            let next = instruction.next_ip();
            let mut ways = [None, None];
            match instruction.flow_control() {
                FlowControl::Next | FlowControl::XbeginXabortXend | FlowControl::Interrupt => {
                    let state = here.state.after(&instruction, &mut info);
                    ways = [Some((next, Reached { state, ..here })), None];
                }
                FlowControl::Call | FlowControl::IndirectCall => {
                    let state = here.state.after(&instruction, &mut info);
                    let after_call = Some(at);
                    if origin != self.start && self.ends_at(next) {
                        continue;
                    }
                    if !never_return.contains(&at) {
                        ways = [Some((next, Reached { state, after_call })), None];
                    } else if next == pc {
                        found.at = Some(state);
                    }
                }
                FlowControl::UnconditionalBranch => {
                    ways = [Some((instruction.near_branch_target(), here.jumped())), None];
                }
                FlowControl::ConditionalBranch => {
                    let state = here.state.not_taken(&instruction);
                    ways = [
                        Some((instruction.near_branch_target(), here.jumped())),
                        Some((next, Reached { state, ..here })),
                    ];
                }
                FlowControl::Return => found.returns.push(here.state),
                FlowControl::IndirectBranch | FlowControl::Exception => {}
            }
            for (to, way) in ways.into_iter().flatten() {
                match reached.get_mut(&to) {
                    None => {
                        reached.insert(to, way);
                        todo.push(to);
                    }
                    Some(there) => {
                        if there.meet(way)? {
                            todo.push(to);
                        }
                    }
                }
            }
        }
        if found.at.is_none() {
            found.at = reached.get(&pc).map(|there| there.state);
        }
        Ok(found)
    }
}

/// Why a walk was given up.
enum Stop {
    /// This call can't return: what follows it has another frame.
    NeverReturns(u64),
    TooLong,
}

impl Reached {
    fn jumped(self) -> Self {
        Self { after_call: None, ..self }
    }

    /// Joins another way to the same address; says whether less is known now.
    fn meet(&mut self, other: Self) -> Result<bool, Stop> {
        let merged = self.state.merge(other.state);
        let differ = merged.sp == Value::Unknown
            && self.state.sp != Value::Unknown
            && other.state.sp != Value::Unknown;
        // Compilers never let two ways with different frames meet: one of them is none.
        if differ && let Some(call) = other.after_call.or(self.after_call) {
            return Err(Stop::NeverReturns(call));
        }
        self.after_call = None;
        let changed = merged != self.state;
        self.state = merged;
        Ok(changed)
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

/// From what is known at a return: there rsp points to the return address.
fn layout_at_return(state: State, called: bool) -> Option<FrameLayout> {
    let Value::Address(origin, to_return_address) = state.sp else {
        return None;
    };
    let base = match origin {
        Origin::Rsp => Base::StackPointer,
        Origin::Rbp => Base::FramePointer,
    };
    // What doesn't fit comes from ways that run on into the next function, after a call that does
    // not return.
    let fits = (!called || to_return_address % 16 == 8) && state.calls_allow(to_return_address);
    if !(0..=MAX_FRAME).contains(&to_return_address) || !fits {
        return None;
    }
    let caller_fp = match state.bp {
        Value::Address(Origin::Rbp, 0) => CallerFp::Unchanged,
        // It was in the frame, or this is the end of another function.
        Value::Loaded(Origin::Rsp, at) if at < 0 => return None,
        Value::Loaded(from, at) if from == origin => match to_return_address.checked_sub(at) {
            Some(below @ 8..) => CallerFp::Saved(below.unsigned_abs()),
            _ => return None,
        },
        _ => CallerFp::Unknown,
    };
    Some(FrameLayout { base, to_return_address: to_return_address.unsigned_abs(), caller_fp })
}
