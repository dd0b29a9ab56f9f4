//! Compares [`frame_layout`] with the unwind information of real programs.

use std::collections::BTreeMap;
use std::path::Path;

use gimli::{
    BaseAddresses, CfaRule, CieOrFde, EhFrame, LittleEndian, RegisterRule, UnwindContext,
    UnwindSection, X86_64,
};
use iced_x86::{Decoder, DecoderOptions, FlowControl};
use object::{Object, ObjectSection};

use super::prologue::{Base, CallerFp, frame_layout};

/// How far the code says the same as the unwind information, at the return addresses of all calls.
#[derive(Debug, Default)]
struct Agreement {
    asked: usize,
    right: usize,
    none: usize,
    wrong: Vec<String>,
    fp_right: usize,
    fp_unknown: usize,
    fp_wrong: Vec<String>,
    nanos: u128,
    slowest: u128,
}

fn compare(path: &Path, every: usize, whole_text: bool) -> Agreement {
    let data = std::fs::read(path).unwrap();
    let file = object::File::parse(&*data).unwrap();
    let section = |name| file.section_by_name(name).unwrap();
    let (text, frames) = (section(".text"), section(".eh_frame"));
    let (text_at, code) = (text.address(), text.data().unwrap());
    let bases = BaseAddresses::default().set_text(text_at).set_eh_frame(frames.address());
    let eh_frame = EhFrame::new(frames.data().unwrap(), LittleEndian);
    let mut agreement = Agreement::default();
    let mut entries = eh_frame.entries(&bases);
    let mut nth = 0;
    let mut context = UnwindContext::new();
    while let Some(entry) = entries.next().unwrap() {
        let CieOrFde::Fde(partial) = entry else {
            continue;
        };
        let fde =
            partial.parse(|section, bases, offset| section.cie_from_offset(bases, offset)).unwrap();
        nth += 1;
        let (start, end) = (fde.initial_address(), fde.end_address());
        if nth % every != 0 || fde.cie().is_signal_trampoline() {
            continue;
        }
        let Some(from) = start.checked_sub(text_at).map(|n| n as usize) else {
            continue;
        };
        let Some(bytes) = code.get(from..(end - text_at) as usize) else {
            continue;
        };
        let mut row_at = |at: u64| {
            let row = fde.unwind_info_for_address(&eh_frame, &bases, &mut context, at);
            row.ok().map(|row| (row.cfa().clone(), row.register(X86_64::RBP)))
        };
        let entry_cfa = CfaRule::RegisterAndOffset { register: X86_64::RSP, offset: 8 };
        // Parts that the compiler split off begin within a frame.
        if row_at(start).is_none_or(|(cfa, _)| cfa != entry_cfa) {
            continue;
        }
        let reach =
            if whole_text { (from + (64 << 10)).min(code.len()) } else { from + bytes.len() };
        for instruction in Decoder::with_ip(64, bytes, start, DecoderOptions::NONE) {
            let call = [FlowControl::Call, FlowControl::IndirectCall];
            if !call.contains(&instruction.flow_control()) {
                continue;
            }
            let pc = instruction.next_ip();
            let Some((cfa, bp)) = row_at(pc - 1) else {
                continue;
            };
            agreement.asked += 1;
            let began = std::time::Instant::now();
            let layout = frame_layout(&code[from..reach], start, pc);
            let took = began.elapsed().as_nanos();
            agreement.nanos += took;
            agreement.slowest = agreement.slowest.max(took);
            let Some(layout) = layout else {
                agreement.none += 1;
                continue;
            };
            let place = format!("{pc:#x} in {start:#x}: {layout:?}, {cfa:?}, rbp {bp:?}");
            let CfaRule::RegisterAndOffset { register, offset } = cfa else {
                agreement.wrong.push(place);
                continue;
            };
            let base = match layout.base {
                Base::StackPointer => X86_64::RSP,
                Base::FramePointer => X86_64::RBP,
            };
            if register == base && layout.to_return_address as i64 + 8 != offset {
                agreement.wrong.push(place.clone());
                continue;
            }
            // Where unwind information counts from rbp and the code from rsp, the saved rbp has to
            // agree: it is at the place that rbp points to.
            agreement.right += 1;
            let saved = match bp {
                Some(RegisterRule::Offset(at)) => Some(CallerFp::Saved((-8 - at) as u64)),
                None | Some(RegisterRule::SameValue | RegisterRule::Undefined) => {
                    Some(CallerFp::Unchanged)
                }
                _ => None,
            };
            match layout.caller_fp {
                CallerFp::Unknown => agreement.fp_unknown += 1,
                fp if Some(fp) == saved => agreement.fp_right += 1,
                _ => agreement.fp_wrong.push(place),
            }
        }
    }
    agreement
}

fn report(path: &Path, agreement: &Agreement) {
    let percent = |n: usize| n as f64 * 100.0 / agreement.asked.max(1) as f64;
    eprintln!(
        "{}: {} return addresses, {:.3} % right, {:.3} % none, {} wrong ({:.4} %); caller's rbp: {} right, {} unknown, {} wrong; {:.1} us each, slowest {} us",
        path.display(),
        agreement.asked,
        percent(agreement.right),
        percent(agreement.none),
        agreement.wrong.len(),
        percent(agreement.wrong.len()),
        agreement.fp_right,
        agreement.fp_unknown,
        agreement.fp_wrong.len(),
        agreement.nanos as f64 / 1e3 / agreement.asked.max(1) as f64,
        agreement.slowest / 1000,
    );
    let mut shown = BTreeMap::new();
    for wrong in agreement.wrong.iter().chain(&agreement.fp_wrong) {
        let function = wrong.split(" in ").nth(1).and_then(|w| w.split(':').next());
        shown.entry(function).or_insert(wrong);
    }
    for wrong in shown.values().take(12) {
        eprintln!("  {wrong}");
    }
}

/// Check, for the files named in LEAKPROBE_AGREEMENT (separated by colons), how often the code's
/// answer is the unwind information's.
#[test]
#[ignore = "takes minutes; set LEAKPROBE_AGREEMENT to the files to compare"]
fn agreement_with_given_files() {
    let paths = std::env::var("LEAKPROBE_AGREEMENT").expect("set LEAKPROBE_AGREEMENT");
    let every = std::env::var("LEAKPROBE_EVERY").map_or(1, |n| n.parse().unwrap());
    for path in paths.split(':').map(Path::new) {
        for whole_text in [false, true] {
            let agreement = compare(path, every, whole_text);
            report(path, &agreement);
        }
    }
}
