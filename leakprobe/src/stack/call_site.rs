//! The call before a return address.

use iced_x86::{Decoder, DecoderOptions};

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
        // A direct call is the more telling one where both readings are possible.
        if instruction.is_call_near() {
            return Call::Direct(instruction.near_branch_target());
        }
        if instruction.is_call_near_indirect() {
            found = Call::Indirect;
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Check each form of call, and what only looks like one.
    #[test]
    fn forms_of_call() {
        let at = 0x1000;
        let cases: [(&[u8], Call); 10] = [
            (&[0xe8, 0xfb, 0x0f, 0, 0], Call::Direct(0x1ffb)),
            (&[0x90, 0x90, 0xe8, 0, 0, 0, 0], Call::Direct(0x1000)),
            // call rax, call r12, call [rax], call [rsp+8], call [rip+x], call [rax+rcx*8+x]
            (&[0xff, 0xd0], Call::Indirect),
            (&[0x41, 0xff, 0xd4], Call::Indirect),
            (&[0xff, 0x10], Call::Indirect),
            (&[0xff, 0x54, 0x24, 0x08], Call::Indirect),
            (&[0xff, 0x15, 1, 2, 3, 4], Call::Indirect),
            (&[0xff, 0x94, 0xc8, 1, 2, 3, 4], Call::Indirect),
            // syscall, jmp rax
            (&[0x0f, 0x05], Call::None),
            (&[0xff, 0xe0], Call::None),
        ];
        for (code, call) in cases {
            assert_eq!(preceded_by_call(code, at), call, "{code:x?}");
        }
    }

    proptest! {
        /// Check that any bytes are judged, and that a direct call is always recognised.
        #[test]
        fn any_bytes(before in proptest::collection::vec(any::<u8>(), 0..12), offset: i32, at: u64) {
            let _ = preceded_by_call(&before, at);
            let mut code = before;
            code.push(0xe8);
            code.extend(offset.to_le_bytes());
            let target = at.wrapping_add_signed(offset.into());
            prop_assert_eq!(preceded_by_call(&code, at), Call::Direct(target));
        }
    }
}
