//! Where a function's return address lies, by the instructions that it begins and ends with.

/// The register that a frame is measured from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Base {
    StackPointer,
    FramePointer,
}

/// Where the caller's rbp is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum CallerFp {
    /// Still in rbp.
    Unchanged,
    /// In memory, this many bytes below the return address.
    Saved(u64),
    /// Not known.
    Unknown,
}

/// Where to find what a function must give back to its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct FrameLayout {
    pub base: Base,
    /// Bytes from `base` up to the return address.
    pub to_return_address: u64,
    pub caller_fp: CallerFp,
}

/// The frame of the function that begins at `start`, at its instruction at `pc`; `code` begins at
/// `start`. Follows pushes and one allocation as compilers emit them, up to the first other
/// instruction.
pub(super) fn frame_layout(code: &[u8], start: u64, pc: u64) -> Option<FrameLayout> {
    let before_pc = usize::try_from(pc.checked_sub(start)?).ok()?;
    let mut code = code.get(..before_pc)?;
    let mut layout = FrameLayout {
        base: Base::StackPointer,
        to_return_address: 0,
        caller_fp: CallerFp::Unchanged,
    };
    if let Some(rest) = code.strip_prefix(&[0xf3, 0x0f, 0x1e, 0xfa]) {
        code = rest; // endbr64
    }
    loop {
        code = match code {
            [0x55, rest @ ..] => {
                layout.to_return_address += 8;
                layout.caller_fp = CallerFp::Saved(layout.to_return_address);
                rest
            }
            // push rbx; push r12 … r15
            [0x53, rest @ ..] | [0x41, 0x54..=0x57, rest @ ..] => {
                layout.to_return_address += 8;
                rest
            }
            // mov %rsp,%rbp, in both encodings
            [0x48, 0x89, 0xe5, ..] | [0x48, 0x8b, 0xec, ..]
                if layout.caller_fp == CallerFp::Saved(layout.to_return_address) =>
            {
                layout.base = Base::FramePointer;
                return Some(layout);
            }
            // sub $imm8,%rsp; sub $imm32,%rsp
            [0x48, 0x83, 0xec, size @ 0..0x80, ..] => {
                layout.to_return_address += u64::from(*size);
                return Some(layout);
            }
            [0x48, 0x81, 0xec, a, b, c, d @ 0..0x80, ..] => {
                layout.to_return_address += u64::from(u32::from_le_bytes([*a, *b, *c, *d]));
                return Some(layout);
            }
            [] => return Some(layout),
            // What follows may save rbp too.
            _ if layout.caller_fp == CallerFp::Unchanged => {
                layout.caller_fp = CallerFp::Unknown;
                return Some(layout);
            }
            _ => return Some(layout),
        };
    }
}

/// The same at `pc`, for a function whose begin is not known, where it ends right there: one
/// release of stack, pops and the return.
pub(super) fn frame_layout_ahead(code: &[u8], start: u64, pc: u64) -> Option<FrameLayout> {
    let mut code = code.get(usize::try_from(pc.checked_sub(start)?).ok()?..)?;
    let mut depth = 0;
    let mut bp_at = None;
    match code {
        // add $imm8,%rsp; add $imm32,%rsp
        [0x48, 0x83, 0xc4, size @ 0..0x80, rest @ ..] => {
            depth = u64::from(*size);
            code = rest;
        }
        [0x48, 0x81, 0xc4, a, b, c, d @ 0..0x80, rest @ ..] => {
            depth = u64::from(u32::from_le_bytes([*a, *b, *c, *d]));
            code = rest;
        }
        _ => {}
    }
    loop {
        code = match code {
            [0xc3, ..] => {
                return Some(FrameLayout {
                    base: Base::StackPointer,
                    to_return_address: depth,
                    caller_fp: bp_at.map_or(CallerFp::Unchanged, |at| CallerFp::Saved(depth - at)),
                });
            }
            [0x5d, rest @ ..] => {
                bp_at = Some(depth);
                depth += 8;
                rest
            }
            // pop rbx; pop r12 … r15
            [0x5b, rest @ ..] | [0x41, 0x5c..=0x5f, rest @ ..] => {
                depth += 8;
                rest
            }
            _ => return None,
        };
    }
}
