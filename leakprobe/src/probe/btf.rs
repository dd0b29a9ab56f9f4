//! The running kernel's BTF, read only as far as struct offsets need.
//!
//! Format: include/uapi/linux/btf.h. The bytes are the kernel's own, but nothing here trusts them:
//! an inconsistent file yields an error, never a panic or an endless walk.

use super::ProbeError;

/// `BTF_MAGIC`.
const MAGIC: u16 = 0xeb9f;
/// Type ids whose members are searched for anonymous structs at most this deep.
const MAX_DEPTH: u32 = 16;

const KIND_STRUCT: u32 = 4;
const KIND_UNION: u32 = 5;
const KIND_TYPEDEF: u32 = 8;
const KIND_VOLATILE: u32 = 9;
const KIND_CONST: u32 = 10;
const KIND_RESTRICT: u32 = 11;
const KIND_FUNC: u32 = 12;
const KIND_TYPE_TAG: u32 = 18;

/// BTF type information over the bytes of a file.
pub(super) struct Btf<'a> {
    types: &'a [u8],
    strings: &'a [u8],
    /// Where each type begins in `types`; index = type id − 1.
    starts: Vec<u32>,
}

/// One entry of the type section.
#[derive(Clone, Copy)]
struct Type {
    name: u32,
    kind: u32,
    /// Number of members, for a struct or union.
    members: u32,
    /// Member offsets carry a bit-field size in their top byte.
    bit_fields: bool,
    /// Size in bytes, or the id of the type referred to.
    size_or_type: u32,
    /// Where the entry's own data begins.
    data: usize,
}

impl<'a> Btf<'a> {
    /// Indexes the types of a BTF file.
    pub(super) fn parse(file: &'a [u8]) -> Result<Btf<'a>, ProbeError> {
        Self::index(file).ok_or(ProbeError::BadBtf)
    }

    fn index(file: &'a [u8]) -> Option<Btf<'a>> {
        let magic = u16::from_le_bytes(file.get(..2)?.try_into().ok()?);
        if magic != MAGIC {
            return None;
        }
        let header = word(file, 4)? as usize;
        let section = |offset: usize, length: usize| {
            let begin = header.checked_add(word(file, offset)? as usize)?;
            file.get(begin..begin.checked_add(word(file, length)? as usize)?)
        };
        let types = section(8, 12)?;
        let strings = section(16, 20)?;
        let mut starts = Vec::with_capacity(types.len() / 32);
        let mut at = 0;
        while at < types.len() {
            starts.push(at as u32);
            at = at.checked_add(entry_size(types, at)?)?;
        }
        Some(Btf { types, strings, starts })
    }

    /// Byte offset of a member, by its path from a struct: `("task_struct", "se.sum_exec_runtime")`.
    ///
    /// Steps into anonymous structs and unions. `None` if there is none, or it is a bit field.
    pub(super) fn offset(&self, structure: &str, path: &str) -> Option<u32> {
        self.structs(structure).find_map(|ty| self.walk(ty, path))
    }

    /// Size of a struct in bytes.
    pub(super) fn size(&self, structure: &str) -> Option<u32> {
        self.structs(structure).map(|ty| ty.size_or_type).next()
    }

    /// Type id of a function.
    pub(super) fn function(&self, name: &str) -> Option<u32> {
        self.named(KIND_FUNC, name).map(|(id, _)| id).next()
    }

    /// Type id of a typedef.
    pub(super) fn typedef(&self, name: &str) -> Option<u32> {
        self.named(KIND_TYPEDEF, name).map(|(id, _)| id).next()
    }

    fn structs(&self, name: &str) -> impl Iterator<Item = Type> {
        self.named(KIND_STRUCT, name).map(|(_, ty)| ty)
    }

    fn named(&self, kind: u32, name: &str) -> impl Iterator<Item = (u32, Type)> {
        (1u32..)
            .zip(&self.starts)
            .filter_map(|(id, &at)| Some((id, self.type_at(at as usize)?)))
            .filter(move |(_, ty)| ty.kind == kind && self.is_named(ty.name, name))
    }

    fn walk(&self, mut ty: Type, path: &str) -> Option<u32> {
        let mut offset = 0u32;
        for name in path.split('.') {
            ty = self.strip(ty)?;
            let (within, next) = self.member(ty, name, 0)?;
            offset = offset.checked_add(within)?;
            // A member of a plain type ends the path.
            match self.by_id(next) {
                Some(next) => ty = next,
                None => return Some(offset),
            }
        }
        Some(offset)
    }

    /// Byte offset and type id of a member of a struct or union, also of an anonymous one in it.
    fn member(&self, ty: Type, name: &str, depth: u32) -> Option<(u32, u32)> {
        if !matches!(ty.kind, KIND_STRUCT | KIND_UNION) || depth > MAX_DEPTH || name.is_empty() {
            return None;
        }
        for index in 0..ty.members as usize {
            let at = ty.data.checked_add(index.checked_mul(12)?)?;
            let (member_name, type_id) = (word(self.types, at)?, word(self.types, at + 4)?);
            let raw = word(self.types, at + 8)?;
            let (bits, bit_field) = match ty.bit_fields {
                true => (raw & 0x00ff_ffff, raw >> 24 != 0),
                false => (raw, false),
            };
            if self.is_named(member_name, name) {
                return (!bit_field).then_some((bits / 8, type_id));
            }
            if self.is_named(member_name, "")
                && let Some(inner) = self.by_id(type_id).and_then(|ty| self.strip(ty))
                && let Some((within, found)) = self.member(inner, name, depth + 1)
            {
                return Some(((bits / 8).checked_add(within)?, found));
            }
        }
        None
    }

    /// Follows typedefs and qualifiers.
    fn strip(&self, mut ty: Type) -> Option<Type> {
        for _ in 0..MAX_DEPTH {
            match ty.kind {
                KIND_TYPEDEF | KIND_VOLATILE | KIND_CONST | KIND_RESTRICT | KIND_TYPE_TAG => {
                    ty = self.by_id(ty.size_or_type)?;
                }
                _ => return Some(ty),
            }
        }
        None
    }

    fn by_id(&self, id: u32) -> Option<Type> {
        let index = (id as usize).checked_sub(1)?;
        self.type_at(*self.starts.get(index)? as usize)
    }

    fn type_at(&self, at: usize) -> Option<Type> {
        let info = word(self.types, at + 4)?;
        Some(Type {
            name: word(self.types, at)?,
            kind: info >> 24 & 0x1f,
            members: info & 0xffff,
            bit_fields: info >> 31 != 0,
            size_or_type: word(self.types, at + 8)?,
            data: at + 12,
        })
    }

    fn is_named(&self, at: u32, name: &str) -> bool {
        let rest = self.strings.get(at as usize..).unwrap_or(&[0xff]);
        rest.strip_prefix(name.as_bytes()).is_some_and(|rest| rest.first() == Some(&0))
    }
}

/// Bytes that one entry takes; `None` for a kind that this version does not know.
fn entry_size(types: &[u8], at: usize) -> Option<usize> {
    let info = word(types, at.checked_add(4)?)?;
    let count = (info & 0xffff) as usize;
    let data = match info >> 24 & 0x1f {
        // pointer, forward, typedef, volatile, const, restrict, function, float, type tag
        2 | 7..=12 | 16 | 18 => 0,
        // integer, variable, declaration tag
        1 | 14 | 17 => 4,
        // array
        3 => 12,
        // struct, union, data section, 64-bit enumeration
        4 | 5 | 15 | 19 => 12 * count,
        // enumeration, function prototype
        6 | 13 => 8 * count,
        _ => return None,
    };
    Some(12 + data)
}

fn word(bytes: &[u8], at: usize) -> Option<u32> {
    let end = at.checked_add(4)?;
    Some(u32::from_le_bytes(bytes.get(at..end)?.try_into().ok()?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// Puts a BTF file together from type words and strings.
    fn file(types: &[u32], strings: &[u8]) -> Vec<u8> {
        let types: Vec<u8> = types.iter().flat_map(|w| w.to_le_bytes()).collect();
        let mut bytes = vec![0x9f, 0xeb, 1, 0];
        for word in [24, 0, types.len(), types.len(), strings.len()] {
            bytes.extend_from_slice(&(word as u32).to_le_bytes());
        }
        bytes.extend_from_slice(&types);
        bytes.extend_from_slice(strings);
        bytes
    }

    /// `struct s { int a; union { int b; struct t c; }; int f:3; }; struct t { int a; int d; };`
    fn example() -> Vec<u8> {
        let strings = b"\0int\0s\0t\0a\0b\0c\0d\0f\0";
        let (int, s, t, a, b, c, d, f) = (1, 5, 7, 9, 11, 13, 15, 17);
        file(
            &[
                int,
                1 << 24,
                4,
                32, // 1: int
                t,
                4 << 24 | 2,
                8,
                a,
                1,
                0,
                d,
                1,
                32, // 2: struct t
                0,
                5 << 24 | 2,
                8,
                b,
                1,
                0,
                c,
                5,
                0, // 3: anonymous union
                s,
                1 << 31 | 4 << 24 | 3,
                16,
                a,
                1,
                0,
                0,
                3,
                32,
                f,
                1,
                3 << 24 | 96, // 4: struct s
                t,
                8 << 24,
                2, // 5: typedef of t
            ],
            strings,
        )
    }

    #[test]
    fn members_are_found() {
        // Check that plain, nested and anonymous members are found, through typedefs.
        let bytes = example();
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.offset("s", "a"), Some(0));
        assert_eq!(btf.offset("s", "b"), Some(4));
        assert_eq!(btf.offset("s", "c"), Some(4));
        assert_eq!(btf.offset("s", "c.d"), Some(8));
        assert_eq!(btf.offset("t", "d"), Some(4));
        assert_eq!(btf.size("t"), Some(8));
    }

    #[test]
    fn absent_members_are_absent() {
        // Check that unknown names, bit fields and steps into plain types give nothing.
        let bytes = example();
        let btf = Btf::parse(&bytes).unwrap();
        for (structure, path) in [("s", "x"), ("x", "a"), ("s", "f"), ("s", "a.d"), ("s", "")] {
            assert_eq!(btf.offset(structure, path), None, "{structure}.{path}");
        }
    }

    #[test]
    fn a_cycle_ends() {
        // Check that a struct that holds itself anonymously, and a typedef of itself, end.
        let bytes = file(
            &[1, 4 << 24 | 1, 8, 0, 1, 0, 1, 8 << 24, 2, 3, 4 << 24 | 1, 8, 1, 2, 0],
            b"\0s\0t\0",
        );
        let btf = Btf::parse(&bytes).unwrap();
        assert_eq!(btf.offset("s", "x"), None);
        assert_eq!(btf.offset("t", "s.x"), None);
    }

    proptest! {
        #[test]
        fn any_bytes_are_survived(cut in 0usize..400, at in 0usize..400, with: [u8; 4]) {
            // Check that no damage to a BTF file makes the reader panic.
            let mut bytes = example();
            for (i, byte) in with.into_iter().enumerate() {
                if let Some(b) = bytes.get_mut(at + i) {
                    *b = byte;
                }
            }
            bytes.truncate(cut.max(8));
            if let Ok(btf) = Btf::parse(&bytes) {
                let _ = btf.offset("s", "c.d");
                let _ = btf.size("t");
            }
        }
    }
}
