//! Compares [`frame_layout`] with the unwind information of real programs.

use std::collections::BTreeMap;
use std::path::Path;

use gimli::{
    BaseAddresses, CfaRule, CieOrFde, EhFrame, LittleEndian, RegisterRule, UnwindContext,
    UnwindSection, X86_64,
};
use iced_x86::{Decoder, DecoderOptions, FlowControl, Mnemonic};
use object::{Object, ObjectSection, ObjectSymbol, SymbolKind};
use proptest::prelude::*;

use super::prologue::{
    Base, CallerFp, FrameLayout, NoLayout, explore, frame_layout, frame_layout_ahead, stack_depth,
};

/// How far the code says the same as the unwind information, at the return addresses of all calls.
#[derive(Debug, Default)]
struct Agreement {
    asked: usize,
    right: usize,
    none: BTreeMap<NoLayout, usize>,
    examples: Vec<(NoLayout, u64, u64)>,
    wrong: Vec<String>,
    fp_right: usize,
    fp_unknown: usize,
    fp_wrong: Vec<String>,
    nanos: u128,
    slowest: u128,
}

/// What is known of a function when its frames are asked for.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Known {
    BeginAndEnd,
    Begin,
    /// The same, but asked at every instruction rather than at return addresses.
    BeginAnywhere,
    Nothing,
}

fn compare(path: &Path, every: usize, known: Known) -> Agreement {
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
        let reach = match known {
            Known::BeginAndEnd => from + bytes.len(),
            _ => (from + (64 << 10)).min(code.len()),
        };
        for instruction in Decoder::with_ip(64, bytes, start, DecoderOptions::NONE) {
            let call = [FlowControl::Call, FlowControl::IndirectCall];
            let (pc, row_pc) = match known {
                // Unwind information doesn't care for the padding behind a return.
                Known::BeginAnywhere if instruction.mnemonic() == Mnemonic::Nop => continue,
                Known::BeginAnywhere => (instruction.ip(), instruction.ip()),
                _ if call.contains(&instruction.flow_control()) => {
                    (instruction.next_ip(), instruction.next_ip() - 1)
                }
                _ => continue,
            };
            let Some((cfa, bp)) = row_at(row_pc) else {
                continue;
            };
            agreement.asked += 1;
            let began = std::time::Instant::now();
            let layout = match known {
                Known::Nothing => {
                    let around = ((pc - text_at) as usize).saturating_sub(4096);
                    let code = code.get(around..reach).unwrap_or(&[]);
                    let layout = frame_layout_ahead(code, text_at + around as u64, pc);
                    layout.ok_or(NoLayout::Unclear)
                }
                _ => explore(&code[from..reach], start, pc),
            };
            let took = began.elapsed().as_nanos();
            agreement.nanos += took;
            agreement.slowest = agreement.slowest.max(took);
            let layout = match layout {
                Ok(layout) => layout,
                Err(why) => {
                    *agreement.none.entry(why).or_default() += 1;
                    agreement.examples.push((why, start, pc));
                    continue;
                }
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
                // Saved already and not yet changed.
                CallerFp::Unchanged => agreement.fp_right += 1,
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
        "{}: {} return addresses, {:.3} % right, none: {:?}, {} wrong ({:.4} %); caller's rbp: {} right, {} unknown, {} wrong; {:.1} us each, slowest {} us",
        path.display(),
        agreement.asked,
        percent(agreement.right),
        agreement.none,
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
    for (why, start, pc) in agreement.examples.iter().step_by(agreement.examples.len() / 12 + 1) {
        eprintln!("  {why:?}: {pc:#x} in {start:#x}");
    }
}

/// Compares the two ways to an answer with each other in a library without unwind information: from
/// the begins of its exported functions, and ahead to their returns. Gives how many call and system call
/// sites were asked, how many had an answer from the begin, ahead, both, and those where the two differ.
fn compare_ways(path: &Path) -> ([usize; 4], Vec<String>) {
    let data = std::fs::read(path).unwrap();
    let file = object::File::parse(&*data).unwrap();
    let text = file.section_by_name(".text").unwrap();
    let (text_at, code) = (text.address(), text.data().unwrap());
    let mut counts = [0; 4];
    let mut differ = Vec::new();
    for symbol in file.dynamic_symbols() {
        let start = symbol.address();
        if symbol.kind() != SymbolKind::Text || symbol.size() == 0 || start < text_at {
            continue;
        }
        let from = (start - text_at) as usize;
        let Some(bytes) = code.get(from..from + symbol.size() as usize) else {
            continue;
        };
        for instruction in Decoder::with_ip(64, bytes, start, DecoderOptions::NONE) {
            let call = [FlowControl::Call, FlowControl::IndirectCall];
            if !call.contains(&instruction.flow_control()) {
                continue;
            }
            let pc = instruction.next_ip();
            let begin = explore(&code[from..code.len().min(from + (64 << 10))], start, pc).ok();
            let ahead = frame_layout_ahead(code, text_at, pc);
            counts[0] += 1;
            counts[1] += usize::from(begin.is_some());
            counts[2] += usize::from(ahead.is_some());
            if ahead.is_none() && std::env::var_os("LEAKPROBE_SHOW").is_some() {
                eprintln!("  nothing ahead: {pc:#x} in {:?}", symbol.name());
            }
            if let (Some(begin), Some(ahead)) = (begin, ahead) {
                counts[3] += 1;
                if (begin.base, begin.to_return_address) != (ahead.base, ahead.to_return_address) {
                    differ.push(format!("{pc:#x} in {:?}: {begin:?} {ahead:?}", symbol.name()));
                }
            }
        }
    }
    (counts, differ)
}

/// Check, for the libraries named in LEAKPROBE_WAYS, how often the two ways to an answer differ.
#[test]
#[ignore = "a measurement; set LEAKPROBE_WAYS to the files to compare"]
fn ways_in_given_files() {
    for path in std::env::var("LEAKPROBE_WAYS").unwrap().split(':') {
        let ([sites, begin, ahead, both], differ) = compare_ways(Path::new(path));
        eprintln!(
            "{path}: {sites} sites, from the begin {begin}, ahead {ahead}, both {both}, differ {}",
            differ.len()
        );
        for line in differ.iter().take(20) {
            eprintln!("  {line}");
        }
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
        for known in [Known::BeginAndEnd, Known::Begin, Known::BeginAnywhere, Known::Nothing] {
            let agreement = compare(path, every, known);
            eprint!("{known:?}: ");
            report(path, &agreement);
        }
    }
}

/// Check that in this system's C library the code never says anything else than its unwind
/// information, and nearly always says something.
#[test]
fn agreement_with_libc() {
    let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
    let libc = maps.lines().find_map(|line| {
        let path = line.split_whitespace().nth(5)?;
        path.contains("/libc.so").then(|| Path::new(path).to_owned())
    });
    let libc = libc.expect("this test program is linked to a shared libc");
    for (known, least) in [(Known::Begin, 0.98), (Known::Nothing, 0.6)] {
        let agreement = compare(&libc, 25, known);
        assert!(agreement.asked > 100, "{agreement:?}");
        assert!(agreement.wrong.is_empty(), "{:?}", agreement.wrong);
        assert!(agreement.fp_wrong.is_empty(), "{:?}", agreement.fp_wrong);
        let share = agreement.right as f64 / agreement.asked as f64;
        assert!(share >= least, "{known:?}: only {share} known, {:?}", agreement.examples);
    }
}

/// Code with the ways of moving rsp that have to be understood, and what is known at the end of each:
/// offset of the instruction, then bytes up to the return address.
#[test]
fn ways_of_moving_the_stack_pointer() {
    let cases: [(&str, &[u8], u64, Option<u64>); 9] = [
        ("push rbx; sub rsp, 0x20", &[0x53, 0x48, 0x83, 0xec, 0x20], 5, Some(0x28)),
        (
            "enter-less frame: push rbp; mov rbp, rsp; sub rsp, rax",
            &[0x55, 0x48, 0x89, 0xe5, 0x48, 0x29, 0xc4],
            7,
            None,
        ),
        ("lea rsp, [rsp-0x80]", &[0x48, 0x8d, 0x64, 0x24, 0x80], 5, Some(0x80)),
        ("sub rsp, 0x128", &[0x48, 0x81, 0xec, 0x28, 1, 0, 0], 7, Some(0x128)),
        ("and rsp, -16", &[0x48, 0x83, 0xe4, 0xf0], 4, None),
        // push rbp; mov rbp, rsp; and rsp, -16; lea rsp, [rbp-8]
        (
            "realigned and back",
            &[0x55, 0x48, 0x89, 0xe5, 0x48, 0x83, 0xe4, 0xf0, 0x48, 0x8d, 0x65, 0xf8],
            12,
            Some(16),
        ),
        // test edi, edi; je +1; push rbx; nop: two frames meet
        ("ways that disagree", &[0x85, 0xff, 0x74, 0x01, 0x53, 0x90], 6, None),
        // lea r11, [rsp-0x3000]; sub rsp, 0x1000; orq [rsp], 0; cmp rsp, r11; jne back
        (
            "stack probe",
            &[
                0x4c, 0x8d, 0x9c, 0x24, 0, 0xd0, 0xff, 0xff, 0x48, 0x81, 0xec, 0, 0x10, 0, 0, 0x48,
                0x83, 0x0c, 0x24, 0, 0x4c, 0x39, 0xdc, 0x75, 0xef,
            ],
            25,
            Some(0x3000),
        ),
        // push rbx; call; pop rbx; ret
        ("after ret", &[0x53, 0xe8, 0, 0, 0, 0, 0x5b, 0xc3], 8, None),
    ];
    for (name, code, pc, depth) in cases {
        assert_eq!(stack_depth(code, 0x4000, 0x4000 + pc), depth, "{name}");
    }
    // push rbp; mov rbp, rsp; push rbx; sub rsp, rax
    let code = [0x55, 0x48, 0x89, 0xe5, 0x53, 0x48, 0x29, 0xc4];
    let layout = FrameLayout {
        base: Base::FramePointer,
        to_return_address: 8,
        caller_fp: CallerFp::Saved(8),
    };
    assert_eq!(frame_layout(&code, 0, 8), Some(layout));
}

proptest! {
    /// Check that any bytes at any place are followed to an end.
    #[test]
    fn any_code(code in proptest::collection::vec(any::<u8>(), 0..600), start: u64, at in 0..700u64) {
        let pc = start.wrapping_add(at);
        let _ = frame_layout(&code, start, pc);
        let _ = frame_layout_ahead(&code, start, pc);
    }

    /// Check the same for instructions that move rsp and jump about.
    #[test]
    fn any_jumps(
        picks in proptest::collection::vec((0..12usize, any::<u8>()), 0..300),
        at in 0..700u64,
    ) {
        let mut code = Vec::new();
        for (pick, byte) in picks {
            let parts: [&[u8]; 12] = [
                &[0x55], &[0x5d], &[0x48, 0x89, 0xe5], &[0xc9], &[0xc3], &[0x53], &[0x5b],
                &[0x75, byte], &[0xeb, byte], &[0x48, 0x83, 0xec, byte], &[0xe8, byte, 0, 0, 0],
                &[0x48, 0x83, 0xc4, byte],
            ];
            code.extend(parts[pick]);
        }
        let _ = frame_layout(&code, 0x1000, 0x1000 + at);
        let _ = frame_layout_ahead(&code, 0x1000, 0x1000 + at);
    }
}
