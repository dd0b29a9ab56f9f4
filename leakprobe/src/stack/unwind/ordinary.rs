//! Ordinary frames, unwound by framehop.

use std::sync::Arc;

use framehop::{
    ExplicitModuleSectionInfo, FrameAddress, Module, Unwinder as _,
    x86_64::{CacheX86_64, UnwindRegsX86_64, UnwinderX86_64},
};
use rustc_hash::FxHashSet;

use super::{
    Window,
    frame_info::{OrdinaryRow, Table},
    walk::{Regs, Step},
};
use crate::{
    process::{LoadedModule, Target},
    snapshot::Unnamed,
};

/// framehop's rule cache holds one rule for each address modulo 509; several of them keep the
/// return addresses of some hundred distinct stacks apart.
const CACHES: usize = 16;

/// framehop, with the modules that were met so far.
pub(super) struct Ordinary {
    /// A module takes either section, and some files need both.
    eh_frame: UnwinderX86_64<Arc<[u8]>>,
    debug_frame: UnwinderX86_64<Arc<[u8]>>,
    added: FxHashSet<(u64, Table)>,
    caches: Vec<CacheX86_64>,
}

impl Default for Ordinary {
    fn default() -> Self {
        Ordinary {
            eh_frame: UnwinderX86_64::new(),
            debug_frame: UnwinderX86_64::new(),
            added: FxHashSet::default(),
            caches: (0..CACHES).map(|_| CacheX86_64::new()).collect(),
        }
    }
}

impl Ordinary {
    /// One step up the stack, at a place whose row is known to be ordinary.
    pub(super) fn step(
        &mut self,
        target: &Target,
        row: OrdinaryRow,
        regs: &Regs,
        exact: bool,
        window: &Window,
    ) -> Step {
        match regs.bp {
            None if row.needs_bp => return Step::Lost(Unnamed::NoBasePointer),
            // framehop would call this the end of the stack.
            Some(0) if row.needs_bp => return Step::Lost(Unnamed::NoUnwindInfo),
            _ => {}
        }
        let lookup = if exact { regs.ip } else { regs.ip.wrapping_sub(1) };
        let Some(module) = target.module_at(lookup) else {
            return Step::Lost(Unnamed::NoUnwindInfo);
        };
        if self.added.insert((module.start, row.table)) {
            self.add(module, row.table);
        }
        let address = match FrameAddress::from_return_address(regs.ip) {
            Some(address) if !exact => address,
            _ => FrameAddress::from_instruction_pointer(regs.ip),
        };
        let Some(cache) = self.caches.get_mut((lookup / 509) as usize % CACHES) else {
            return Step::Lost(Unnamed::NoUnwindInfo);
        };
        let unwinder = match row.table {
            Table::EhFrame => &self.eh_frame,
            Table::DebugFrame => &self.debug_frame,
        };
        let mut missing = None;
        let mut caller = UnwindRegsX86_64::new(regs.ip, regs.sp, regs.bp.unwrap_or(0));
        let result = unwinder.unwind_frame(address, &mut caller, cache, &mut |at| {
            window.word(at).ok_or_else(|| missing = Some(at))
        });
        match (result, missing) {
            (_, Some(address)) => Step::Needs(address),
            (Ok(Some(ip)), None) => Step::Caller(Regs {
                ip,
                sp: caller.sp(),
                // A value that was never known can't be carried on.
                bp: (row.restores_bp || regs.bp.is_some()).then_some(caller.bp()),
                di: None,
            }),
            // A return address of zero: by convention nothing has called this.
            (Ok(None), None) => Step::End,
            (Err(_), None) => Step::Lost(Unnamed::NoUnwindInfo),
        }
    }

    fn add(&mut self, module: &LoadedModule, table: Table) {
        let mut sections = ExplicitModuleSectionInfo {
            // Addresses are counted from the module's start: framehop holds them in 32 bits.
            base_svma: module.svma(module.start),
            ..Default::default()
        };
        let unwinder = match table {
            Table::EhFrame => {
                let Some(frames) = module.file.call_frames() else {
                    return;
                };
                sections.text_svma = frames.text.clone();
                sections.got_svma = frames.got.clone();
                (sections.eh_frame, sections.eh_frame_svma) = frames.eh_frame.clone().unzip();
                (sections.eh_frame_hdr, sections.eh_frame_hdr_svma) =
                    frames.eh_frame_hdr.clone().unzip();
                &mut self.eh_frame
            }
            Table::DebugFrame => {
                sections.debug_frame = module.file.debug_frame().cloned();
                &mut self.debug_frame
            }
        };
        let range = module.start..module.end;
        unwinder.add_module(Module::new(String::new(), range, module.start, sections));
    }
}
