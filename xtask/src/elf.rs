//! The one thing asked of ELF files here.

use anyhow::{Context, Result, ensure};

const PT_INTERP: u32 = 3;

/// Whether a 64-bit little-endian ELF file asks for no dynamic loader (has no `PT_INTERP`).
pub fn is_static(file: &[u8]) -> Result<bool> {
    ensure!(file.starts_with(b"\x7fELF\x02\x01"), "not a 64-bit little-endian ELF file");
    let headers = usize::try_from(u64::from_le_bytes(array(file, 32)?))?;
    let size = usize::from(u16::from_le_bytes(array(file, 54)?));
    let count = usize::from(u16::from_le_bytes(array(file, 56)?));
    for index in 0..count {
        let at = headers
            .checked_add(index * size)
            .context("a program header lies outside of the file")?;
        if u32::from_le_bytes(array(file, at)?) == PT_INTERP {
            return Ok(false);
        }
    }
    Ok(true)
}

fn array<const N: usize>(file: &[u8], at: usize) -> Result<[u8; N]> {
    file.get(at..).and_then(|rest| rest.first_chunk()).copied().context("the ELF file is cut short")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that this test, which is linked dynamically, is told from one without the header, and
    /// that what is no ELF file is an error.
    #[test]
    fn interpreter() {
        let mut file = std::fs::read("/proc/self/exe").unwrap();
        assert!(!is_static(&file).unwrap());
        file[56..58].fill(0);
        assert!(is_static(&file).unwrap());
        assert!(is_static(&file[..60]).is_ok());
        assert!(is_static(&file[..50]).is_err());
        assert!(is_static(b"#!/bin/sh").is_err());
    }
}
