//! The bytes of a section, decompressed where it is compressed.

use std::sync::Arc;

use super::elf::{Image, MAX_SECTION, Section};

/// `ch_type` of zlib (`ELFCOMPRESS_ZLIB`, gABI).
const ZLIB: u32 = 1;
/// Bytes of `Elf64_Chdr`.
const CHDR: usize = 24;
/// A section never grows by more than zlib can do (1032), which bounds what a lying size costs.
const MAX_RATIO: u64 = 1032;

/// Reads a section. `None`: not there, too large, or compressed in a way not supported.
pub(super) fn load(image: &Image, section: &Section) -> Option<Arc<[u8]>> {
    let bytes = image.bytes(section.offset, section.size, MAX_SECTION)?;
    if section.compressed {
        let (header, data) = bytes.split_at_checked(CHDR)?;
        let kind = u32::from_le_bytes(header.get(..4)?.try_into().ok()?);
        let size = u64::from_le_bytes(header.get(8..16)?.try_into().ok()?);
        return if kind == ZLIB {
            inflated(data, size)
        } else {
            None
        };
    }
    // The older GNU way, told by the section's name: `.zdebug_frame`.
    if section.name.starts_with(b".zdebug") {
        let data = bytes.strip_prefix(b"ZLIB")?;
        let (size, data) = data.split_at_checked(8)?;
        return inflated(data, u64::from_be_bytes(size.try_into().ok()?));
    }
    Some(bytes.into())
}

fn inflated(data: &[u8], size: u64) -> Option<Arc<[u8]>> {
    if size > MAX_SECTION || size > (data.len() as u64).saturating_mul(MAX_RATIO) {
        return None;
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).ok()?);
    flate2::Decompress::new(true)
        .decompress_vec(data, &mut bytes, flate2::FlushDecompress::Finish)
        .ok()?;
    (bytes.len() as u64 == size).then(|| bytes.into())
}
