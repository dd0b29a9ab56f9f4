//! The call before a return address, and the function that it calls.

use super::without_cfi::code;
use crate::process::Target;

/// The call instruction that ends at a return address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Call {
    /// To this address.
    To(u64),
    /// To an address that the code alone doesn't say.
    Indirect,
}

/// The call before `return_address` with its target, through procedure linkage table entries. `None`:
/// there is no call, so that it is no return address.
pub(super) fn call_before(target: &Target, return_address: u64) -> Option<Call> {
    let mut bytes = [0; 7];
    let start = return_address.checked_sub(bytes.len() as u64)?;
    if code(target, start, &mut bytes) < bytes.len() {
        return None;
    }
    let relative = |at: [u8; 4]| return_address.wrapping_add_signed(i32::from_le_bytes(at).into());
    match bytes {
        // call rel32; a data byte can look like it, hence the target must be code.
        [_, _, 0xe8, a, b, c, d] if is_code(target, relative([a, b, c, d])) => {
            Some(Call::To(behind_stub(target, relative([a, b, c, d]))))
        }
        // call *rel32(%rip)
        [_, 0xff, 0x15, a, b, c, d] => Some(through(target, relative([a, b, c, d]))),
        _ => is_indirect_call(&bytes).then_some(Call::Indirect),
    }
}

/// Whether the bytes end with `call *…`: opcode ff /2 with all its forms of operand.
fn is_indirect_call(bytes: &[u8; 7]) -> bool {
    (2..=bytes.len()).any(|len| {
        let [0xff, modrm, rest @ ..] = &bytes[bytes.len() - len..] else {
            return false;
        };
        let (mode, operation, operand) = (modrm >> 6, modrm >> 3 & 7, modrm & 7);
        let index = usize::from(mode != 3 && operand == 4);
        let displacement = match mode {
            0 if operand == 5 => 4,
            0 if operand == 4 && rest.first().is_some_and(|sib| sib & 7 == 5) => 4,
            1 => 1,
            2 => 4,
            _ => 0,
        };
        operation == 2 && rest.len() == index + displacement
    })
}

/// Where `jmp *rel32(%rip)` at `address` leads, as entries of a procedure linkage table begin; the
/// address itself if it is something else.
fn behind_stub(target: &Target, address: u64) -> u64 {
    let mut bytes = [0; 11];
    let got = code(target, address, &mut bytes);
    let bytes = bytes.get(..got).unwrap_or_default();
    let endbr = bytes.strip_prefix(&[0xf3, 0x0f, 0x1e, 0xfa]);
    let jump = endbr.unwrap_or(bytes);
    let jump_at = address.wrapping_add(if endbr.is_some() { 4 } else { 0 });
    let &[0xff, 0x25, a, b, c, d, ..] = jump else {
        return address;
    };
    let next = jump_at.wrapping_add(6);
    match through(
        target,
        next.wrapping_add_signed(i32::from_le_bytes([a, b, c, d]).into()),
    ) {
        Call::To(function) => function,
        Call::Indirect => address,
    }
}

/// A call through a pointer in the target's memory.
fn through(target: &Target, slot: u64) -> Call {
    match target.memory().u64(slot) {
        Some(function) if is_code(target, function) => Call::To(function),
        _ => Call::Indirect,
    }
}

pub(super) fn is_code(target: &Target, address: u64) -> bool {
    target.maps().find(address).is_some_and(|m| m.executable)
}
