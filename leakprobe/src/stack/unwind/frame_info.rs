//! Which way a place in code is unwound: found out once for each place.
//!
//! framehop answers for all addresses: where it finds no rule, or one that it can't evaluate, it
//! follows the frame pointer without saying so. Hence its input is sorted here, by the same FDEs.

use std::{ops::Range, sync::Arc};

use gimli::{
    BaseAddresses, CfaRule, DebugFrame, EhFrame, EhFrameHdr, EndianSlice, FrameDescriptionEntry,
    LittleEndian, RegisterRule, UnwindContext, UnwindSection, X86_64,
};
use rustc_hash::FxHashMap;

use super::{expression::Rules, signal};
use crate::process::{CallFrames, LoadedModule, Target};

/// Largest distance between stack pointer, frame pointer and CFA that is believed, bytes: framehop
/// holds it in 16 bits, counted in words.
const MAX_FRAME: i64 = 1 << 18;
/// FDEs of one section that are indexed.
const MAX_FDES: usize = 1 << 22;

type Slice<'a> = EndianSlice<'a, LittleEndian>;

/// A section with call frame information.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Table {
    EhFrame,
    DebugFrame,
}

/// A row that framehop can express.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OrdinaryRow {
    pub table: Table,
    pub needs_bp: bool,
    pub restores_bp: bool,
}

/// The way to unwind a place.
#[derive(Clone, Debug)]
pub(super) enum Way {
    /// By framehop.
    Ordinary(OrdinaryRow),
    /// By a row that framehop can't express or evaluate.
    Rules(Arc<Rules>),
    /// It is where a signal handler returns to.
    Signal,
    /// It is the outermost frame: its row says that there is no return address.
    End,
    /// No row covers it.
    WithoutCfi,
}

/// FDEs by address: what each covers (svma), and where it is in its section.
type Index = Vec<(Range<u64>, usize)>;

/// Reads the call frame information of modules.
#[derive(Default)]
pub(super) struct FrameInfo {
    context: Box<UnwindContext<usize>>,
    /// FDEs of sections that come without an index, by (module start, table).
    indexes: FxHashMap<(u64, Table), Index>,
}

impl FrameInfo {
    /// `ip` is the address itself, `lookup` one byte less for return addresses.
    pub(super) fn way(&mut self, target: &Target, ip: u64, lookup: u64) -> Way {
        if signal::is_return_trampoline(target, ip) {
            return Way::Signal;
        }
        let Some(module) = target.module_at(lookup) else {
            return Way::WithoutCfi;
        };
        self.by_eh_frame(module, lookup)
            .or_else(|| self.by_debug_frame(module, lookup))
            .unwrap_or(Way::WithoutCfi)
    }

    fn by_eh_frame(&mut self, module: &LoadedModule, lookup: u64) -> Option<Way> {
        let frames = module.file.call_frames()?;
        let (bytes, _) = frames.eh_frame.as_ref()?;
        let bases = bases(frames);
        let svma = module.svma(lookup);
        let mut section = EhFrame::new(bytes, LittleEndian);
        section.set_address_size(8);
        let at = match &frames.eh_frame_hdr {
            Some((index, _)) => {
                let index = EhFrameHdr::new(index, LittleEndian).parse(&bases, 8).ok()?;
                let fde = index.table()?.lookup(svma, &bases).ok()?.direct().ok()?;
                // gimli and framehop subtract without looking.
                let at = fde.checked_sub(index.eh_frame_ptr().direct().ok()?)?;
                usize::try_from(u32::try_from(at).ok()?).ok()?
            }
            None => self.indexed(module, Table::EhFrame, &section, &bases, svma)?,
        };
        let fde = section.fde_from_offset(&bases, at.into(), EhFrame::cie_from_offset).ok()?;
        self.by_fde(Table::EhFrame, &section, bytes, &bases, &fde, svma)
    }

    fn by_debug_frame(&mut self, module: &LoadedModule, lookup: u64) -> Option<Way> {
        let bytes = module.file.debug_frame()?;
        let bases = BaseAddresses::default();
        let svma = module.svma(lookup);
        let mut section = DebugFrame::new(bytes, LittleEndian);
        section.set_address_size(8);
        let at = self.indexed(module, Table::DebugFrame, &section, &bases, svma)?;
        let fde = section.fde_from_offset(&bases, at.into(), DebugFrame::cie_from_offset).ok()?;
        self.by_fde(Table::DebugFrame, &section, bytes, &bases, &fde, svma)
    }

    /// Offset of the FDE of an address in a section without an index.
    fn indexed<'a, S: UnwindSection<Slice<'a>>>(
        &mut self,
        module: &LoadedModule,
        table: Table,
        section: &S,
        bases: &BaseAddresses,
        svma: u64,
    ) -> Option<usize> {
        let index =
            self.indexes.entry((module.start, table)).or_insert_with(|| index(section, bases));
        let after = index.partition_point(|(range, _)| range.start <= svma);
        let (range, offset) = index.get(after.checked_sub(1)?)?;
        range.contains(&svma).then_some(*offset)
    }

    fn by_fde<'a, S: UnwindSection<Slice<'a>>>(
        &mut self,
        table: Table,
        section: &S,
        bytes: &Arc<[u8]>,
        bases: &BaseAddresses,
        fde: &FrameDescriptionEntry<Slice<'a>>,
        svma: u64,
    ) -> Option<Way> {
        let row = fde.unwind_info_for_address(section, bases, &mut self.context, svma).ok()?;
        let (bp, ra) = (row.register(X86_64::RBP), row.register(X86_64::RA));
        if matches!(ra, None | Some(RegisterRule::Undefined)) {
            return Some(Way::End);
        }
        if let Some((needs_bp, restores_bp)) = ordinary(row.cfa(), bp.as_ref(), ra.as_ref()) {
            return Some(Way::Ordinary(OrdinaryRow { table, needs_bp, restores_bp }));
        }
        Some(Way::Rules(Arc::new(Rules {
            table,
            section: Arc::clone(bytes),
            encoding: fde.cie().encoding(),
            cfa: row.cfa().clone(),
            bp,
            ra,
        })))
    }
}

/// Whether framehop has a rule for this row; then whether it needs and whether it restores rbp.
fn ordinary(
    cfa: &CfaRule<usize>,
    bp: Option<&RegisterRule<usize>>,
    ra: Option<&RegisterRule<usize>>,
) -> Option<(bool, bool)> {
    let Some(RegisterRule::Offset(-8)) = ra else {
        return None;
    };
    let CfaRule::RegisterAndOffset { register, offset } = cfa else {
        return None;
    };
    let restored = match bp {
        None | Some(RegisterRule::SameValue) => None,
        Some(RegisterRule::Offset(offset)) if (-MAX_FRAME..0).contains(offset) => Some(*offset),
        _ => return None,
    };
    match *register {
        X86_64::RSP if (8..MAX_FRAME).contains(offset) && offset % 8 == 0 => {
            let whole_words = restored.is_none_or(|bp| (offset + bp) % 8 == 0);
            whole_words.then_some((false, restored.is_some()))
        }
        X86_64::RBP if *offset == 16 && restored == Some(-16) => Some((true, true)),
        _ => None,
    }
}

/// What the pointers in `.eh_frame` are relative to.
pub(super) fn bases(frames: &CallFrames) -> BaseAddresses {
    let start = |range: Option<&Range<u64>>| range.map_or(0, |range| range.start);
    BaseAddresses::default()
        .set_eh_frame(start(frames.eh_frame.as_ref().map(|(_, range)| range)))
        .set_eh_frame_hdr(start(frames.eh_frame_hdr.as_ref().map(|(_, range)| range)))
        .set_text(start(frames.text.as_ref()))
        .set_got(start(frames.got.as_ref()))
}

/// All FDEs of a section by their addresses.
fn index<'a, S: UnwindSection<Slice<'a>>>(section: &S, bases: &BaseAddresses) -> Index {
    let mut index = Vec::new();
    let mut entries = section.entries(bases);
    // Each entry takes at least its length field, so that the section's size bounds the loop.
    while let Ok(Some(entry)) = entries.next()
        && index.len() < MAX_FDES
    {
        if let gimli::CieOrFde::Fde(partial) = entry
            && let Ok(fde) = partial.parse(S::cie_from_offset)
        {
            index.push((fde.initial_address()..fde.end_address(), fde.offset()));
        }
    }
    index.sort_unstable_by_key(|(range, _)| range.start);
    index
}
