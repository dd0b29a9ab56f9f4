//! Frames of code that has no unwind information: musl as distributions ship it, assembly, JITs.
//!
//! Nothing here is believed because it looks like a return address: there must be a call before it,
//! and where its target is known, the call must lead to the function that it is to return from, at
//! the depth that this function's own instructions give.

use rustc_hash::FxHashMap;

use super::{
    Window,
    call_site::{Call, call_before, is_code},
    functions::Functions,
    signal::is_return_trampoline,
    walk::{Regs, Step},
};
use crate::{
    process::{LoadedModule, Target},
    snapshot::Unnamed,
    stack::prologue::{Base, CallerFp, FrameLayout, frame_layout, frame_layout_ahead},
};

/// Words of a stack that are looked through for a return address.
const MAX_SCANNED: u64 = 512;
/// Bytes of a function that are read.
const MAX_FUNCTION: u64 = 64 << 10;
/// Bytes beyond the place asked for that are read of a function.
const READ_BEYOND: u64 = 4 << 10;
/// Calls remembered.
const MAX_CALLS: usize = 1 << 16;
/// How far after its entry point a program's `_start` reaches, bytes (crt1.o of glibc and musl).
const START_REACH: u64 = 64;

/// What was found out about code without unwind information.
#[derive(Default)]
pub(super) struct WithoutCfi {
    functions: Functions,
    calls: FxHashMap<u64, Option<Call>>,
    /// By begin of the function and place in it.
    layouts: FxHashMap<(u64, u64), Option<FrameLayout>>,
    /// By place.
    layouts_ahead: FxHashMap<u64, Option<FrameLayout>>,
}

impl WithoutCfi {
    /// Forgets instructions; where functions of files begin stays known.
    pub(super) fn forget_code(&mut self) {
        self.calls.clear();
        self.layouts.clear();
        self.layouts_ahead.clear();
    }

    /// One step up the stack.
    pub(super) fn step(
        &mut self,
        target: &Target,
        regs: &Regs,
        exact: bool,
        window: &Window,
    ) -> Step {
        let lookup = if exact { regs.ip } else { regs.ip.wrapping_sub(1) };
        let module = target.module_at(lookup);
        if is_outermost(target, module, regs.ip) {
            return Step::End;
        }
        let function = module.and_then(|m| {
            let function = self.functions.containing(m, m.svma(lookup))?;
            Some(function.start.wrapping_add(m.bias))
        });
        if let Some(start) = function
            && let Some(layout) = self.layout(target, start, regs.ip)
        {
            match self.by_layout(target, &layout, regs, window) {
                Step::Lost(_) => {}
                step => return step,
            }
        }
        match self.by_scan(target, function, regs, window) {
            Step::Lost(_) => {}
            step => return step,
        }
        if let Some(layout) = self.layout_ahead(target, regs.ip) {
            match self.by_layout(target, &layout, regs, window) {
                Step::Lost(_) => {}
                step => return step,
            }
        }
        self.by_frame_pointer(target, module.is_some(), regs, window)
    }

    /// The frame as the function's instructions say.
    fn by_layout(
        &mut self,
        target: &Target,
        layout: &FrameLayout,
        regs: &Regs,
        window: &Window,
    ) -> Step {
        let base = match (layout.base, regs.bp) {
            (Base::StackPointer, _) => regs.sp,
            (Base::FramePointer, Some(bp)) => bp,
            (Base::FramePointer, None) => return Step::Lost(Unnamed::NoBasePointer),
        };
        let at = base.wrapping_add(layout.to_return_address);
        let Some(ip) = window.word(at) else {
            return Step::Needs(at);
        };
        // The kernel enters a signal handler without a call.
        if self.call(target, ip).is_none() && !is_return_trampoline(target, ip) {
            return Step::Lost(Unnamed::NoUnwindInfo);
        }
        let bp = match layout.caller_fp {
            CallerFp::Unchanged => regs.bp,
            CallerFp::Unknown => None,
            CallerFp::Saved(below) => {
                let saved = at.wrapping_sub(below);
                match window.word(saved) {
                    Some(bp) => Some(bp),
                    None => return Step::Needs(saved),
                }
            }
        };
        Step::Caller(Regs { ip, sp: at.wrapping_add(8), bp, di: None })
    }

    /// The nearest word on the stack that is a return address to a caller of this very function:
    /// the call before it leads to a function that holds `ip`, and that function's instructions put
    /// the return address just there. Or the first word that can be a return address at all, if
    /// that is where a thread begins: then nothing lies between.
    fn by_scan(
        &mut self,
        target: &Target,
        function: Option<u64>,
        regs: &Regs,
        window: &Window,
    ) -> Step {
        let mut first = true;
        for word in 0..MAX_SCANNED {
            let at = regs.sp.wrapping_add(word * 8);
            let candidate = match window.word(at) {
                Some(candidate) => candidate,
                None if word == 0 => return Step::Needs(at),
                None => break,
            };
            let Some(call) = self.call(target, candidate) else {
                continue;
            };
            let first = std::mem::take(&mut first);
            // A program's entry point calls directly what jumps on to its `main` (musl, crt/crt1.c).
            let begins_here = || {
                let module = target.module_at(candidate.wrapping_sub(1));
                is_outermost(target, module, candidate)
            };
            match call {
                _ if first && begins_here() => {
                    return Step::Caller(Regs {
                        ip: candidate,
                        sp: at.wrapping_add(8),
                        bp: None,
                        di: None,
                    });
                }
                Call::To(start) if start <= regs.ip && function.is_none_or(|f| f == start) => {
                    if let Some(layout) = self.layout(target, start, regs.ip)
                        && layout.base == Base::StackPointer
                        && layout.to_return_address == word * 8
                    {
                        return self.by_layout(target, &layout, regs, window);
                    }
                }
                _ => {}
            }
        }
        Step::Lost(Unnamed::NoUnwindInfo)
    }

    /// By the frame pointer, where what it points to is one frame of a chain.
    fn by_frame_pointer(
        &mut self,
        target: &Target,
        in_file: bool,
        regs: &Regs,
        window: &Window,
    ) -> Step {
        let Some(bp) = regs.bp else {
            return Step::Lost(Unnamed::NoBasePointer);
        };
        let on_this_stack = |address| {
            let stack = target.maps().find(regs.sp);
            stack.is_some_and(|stack| stack.contains(address) && address >= regs.sp)
        };
        if bp % 8 != 0 || !on_this_stack(bp) {
            return Step::Lost(Unnamed::NoUnwindInfo);
        }
        let (Some(next), Some(ip)) = (window.word(bp), window.word(bp.wrapping_add(8))) else {
            return Step::Needs(bp);
        };
        // Compiled code that keeps no frame pointer leaves anything in rbp when it calls generated
        // code; generated code itself mostly has a chain.
        let chained = !in_file || next == 0 || next > bp && on_this_stack(next);
        let called = match self.call(target, ip) {
            // In a file the function called lies before the place it is to return from; if not,
            // the frame is another function's.
            Some(Call::To(start)) => !in_file || start <= regs.ip,
            Some(Call::Indirect) => true,
            None => is_return_trampoline(target, ip),
        };
        if !chained || !called {
            return Step::Lost(Unnamed::NoUnwindInfo);
        }
        Step::Caller(Regs { ip, sp: bp.wrapping_add(16), bp: Some(next), di: None })
    }

    fn call(&mut self, target: &Target, return_address: u64) -> Option<Call> {
        if !is_code(target, return_address) {
            return None;
        }
        if self.calls.len() >= MAX_CALLS {
            self.calls.clear();
        }
        *self.calls.entry(return_address).or_insert_with(|| call_before(target, return_address))
    }

    fn layout(&mut self, target: &Target, start: u64, ip: u64) -> Option<FrameLayout> {
        if ip.checked_sub(start)? >= MAX_FUNCTION {
            return None;
        }
        if self.layouts.len() >= MAX_CALLS {
            self.layouts.clear();
        }
        *self.layouts.entry((start, ip)).or_insert_with(|| {
            // The instructions up to here and some way on.
            let size = (ip - start + READ_BEYOND).min(MAX_FUNCTION);
            let mut bytes = vec![0; size as usize];
            let got = code(target, start, &mut bytes);
            frame_layout(bytes.get(..got)?, start, ip)
        })
    }

    fn layout_ahead(&mut self, target: &Target, ip: u64) -> Option<FrameLayout> {
        if self.layouts_ahead.len() >= MAX_CALLS {
            self.layouts_ahead.clear();
        }
        *self.layouts_ahead.entry(ip).or_insert_with(|| {
            let mapping = target.maps().find(ip)?;
            let start = ip.saturating_sub(READ_BEYOND).max(mapping.start);
            let mut bytes = vec![0; 2 * READ_BEYOND as usize];
            let got = code(target, start, &mut bytes);
            frame_layout_ahead(bytes.get(..got)?, start, ip)
        })
    }
}

/// Whether nothing has called the code at `ip`: it is the program's entry point, or what follows
/// ends the thread (`call; hlt`, or musl's `__clone`: `mov $60,%al; syscall; hlt`).
fn is_outermost(target: &Target, module: Option<&LoadedModule>, ip: u64) -> bool {
    const HLT: u8 = 0xf4;
    const EXIT: [u8; 4] = [0xb0, 60, 0x0f, 0x05];
    if let Some(module) = module
        && let Some(entry) = module.file.entry().filter(|entry| *entry != 0)
        && let Some(after) = module.svma(ip).checked_sub(entry)
        && after < START_REACH
    {
        return true;
    }
    let mut bytes = [0; 16];
    let got = code(target, ip, &mut bytes);
    let bytes = bytes.get(..got).unwrap_or_default();
    bytes.first() == Some(&HLT) || bytes.windows(EXIT.len()).any(|window| window == EXIT)
}

/// Instruction bytes, from the file where there is one (its pages need not be in the target's
/// memory), else from memory; returns how many could be read.
pub(super) fn code(target: &Target, address: u64, buffer: &mut [u8]) -> usize {
    match target.module_at(address) {
        Some(module) if module.file.usable().is_ok() => {
            module.file.read(module.svma(address), buffer)
        }
        _ => {
            let mapping = target.maps().find(address).filter(|m| m.executable);
            let left = mapping.map_or(0, |m| m.end - address);
            let range = address..address + left.min(buffer.len() as u64);
            let batch = target.memory().read_many(std::slice::from_ref(&range));
            let bytes = batch.readable_from(address);
            let len = bytes.len().min(buffer.len());
            match (buffer.get_mut(..len), bytes.get(..len)) {
                (Some(into), Some(bytes)) => {
                    into.copy_from_slice(bytes);
                    len
                }
                _ => 0,
            }
        }
    }
}
