//! The call before a return address.

use iced_x86::{Decoder, DecoderOptions, FlowControl};

/// Longest call instruction, bytes: `call [base + index*8 + disp32]` has 7, with a segment or branch
/// hint prefix (`notrack`) 8.
const LONGEST_CALL: usize = 8;

/// The call instruction that ends at an address.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Call {
    /// `call rel32`, and where to (often an entry of the procedure linkage table).
    Direct(u64),
    /// Through a register or memory.
    Indirect,
    /// The bytes before the address are no call: it is no return address.
    None,
}

/// The call instruction that ends exactly at `return_address`; `code_before` are the bytes up to it, 8
/// of them suffice.
///
/// Bytes are read backwards here, so that they can look like a call and be none; what is not a call
/// for certain is none.
pub fn preceded_by_call(code_before: &[u8], return_address: u64) -> Call {
    let mut found = Call::None;
    for length in 2..=LONGEST_CALL.min(code_before.len()) {
        let bytes = code_before.get(code_before.len() - length..).unwrap_or(&[]);
        let at = return_address.wrapping_sub(length as u64);
        let instruction = Decoder::with_ip(64, bytes, at, DecoderOptions::NONE).decode();
        if instruction.is_invalid() || instruction.len() != length {
            continue;
        }
        match instruction.flow_control() {
            // A direct call is the more telling one where both readings are possible.
            FlowControl::Call => return Call::Direct(instruction.near_branch_target()),
            FlowControl::IndirectCall => found = Call::Indirect,
            _ => {}
        }
    }
    found
}
