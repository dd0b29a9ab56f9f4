//! Processes and registers that make no sense, or mean harm.

use std::{
    fs,
    sync::{Arc, OnceLock},
    time::{Duration, Instant},
};

use proptest::prelude::*;

use super::program::{PATIENCE, Program, READ, Running, names};
use crate::{
    probe::Registers,
    process::{LoadedModule, ModuleFile, ModuleFiles, Target},
    snapshot::Unnamed,
    stack::{RawFrame, RawStack, ThreadStart, Unwinder},
};

struct Blocked {
    _program: Program,
    running: Running,
    registers: Registers,
}

/// A program with a blocked thread, for all tests that do it no harm.
fn blocked() -> &'static Blocked {
    static BLOCKED: OnceLock<Blocked> = OnceLock::new();
    BLOCKED.get_or_init(start)
}

fn start() -> Blocked {
    let program = Program::compile("cc", &["-O2"], include_str!("waiting.c"));
    let running = program.start(&["plain"]);
    let (tid, registers) = running.blocked_in(READ, 1)[0];
    let registers = running.with_bp(tid, registers);
    Blocked { _program: program, running, registers }
}

fn open(running: &Running) -> Target {
    let mut target = running.target();
    target.modules(&mut ModuleFiles::new());
    target
}

fn unwind(target: &Target, registers: Registers) -> RawStack {
    let threads = [ThreadStart { registers }];
    let begun = Instant::now();
    let mut stacks = Unwinder::new().unwind(target, &threads, begun + PATIENCE);
    assert!(begun.elapsed() < Duration::from_secs(5));
    let stack = stacks.remove(0);
    assert!((1..=514).contains(&stack.len()));
    stack
}

fn end(stack: &RawStack) -> Option<Unnamed> {
    match stack.last() {
        Some(RawFrame::Unknown { why, .. }) => Some(*why),
        _ => None,
    }
}

#[test]
fn process_that_ends_midway() {
    // Check that the stack of a process that has ended says that it is unreadable.
    let mut blocked = start();
    let target = open(&blocked.running);
    assert!(target.still_there().expect("readable"));
    blocked.running.child.kill().unwrap();
    blocked.running.child.wait().unwrap();
    let stack = unwind(&target, blocked.registers);
    assert_eq!(end(&stack), Some(Unnamed::StackUnreadable));
    assert!(!target.still_there().expect("readable"));
}

#[test]
fn deadline_in_the_past() {
    // Check that no stack is read after the deadline, and that it says so.
    let blocked = blocked();
    let target = open(&blocked.running);
    let threads = [ThreadStart { registers: blocked.registers }; 3];
    let stacks = Unwinder::new().unwind(&target, &threads, Instant::now());
    assert_eq!(stacks.len(), 3);
    assert!(stacks.iter().all(|stack| end(stack) == Some(Unnamed::OutOfTime)));
}

#[test]
fn stack_pointer_to_nowhere() {
    // Check that a stack pointer that leads nowhere is said, whatever the instruction.
    let blocked = blocked();
    let target = open(&blocked.running);
    for sp in [0, 1, 8, 4096, 1 << 46, (1 << 47) - 1, 1 << 47, u64::MAX - 4096] {
        let stack = unwind(&target, Registers { sp, ..blocked.registers });
        assert_eq!(end(&stack), Some(Unnamed::StackUnreadable), "{sp:#x}");
        assert!(matches!(stack[0], RawFrame::At { .. }));
    }
    for ip in [0, 1, 1 << 47, u64::MAX] {
        let stack = unwind(&target, Registers { ip, ..blocked.registers });
        assert_eq!(end(&stack), Some(Unnamed::Unmapped), "{ip:#x}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]
    #[test]
    fn any_registers(
        ip in any::<(prop::sample::Index, prop::sample::Index)>(),
        sp in any::<(prop::sample::Index, prop::sample::Index)>(),
        bp in any::<(prop::sample::Index, prop::sample::Index)>(),
        known in any::<bool>(),
    ) {
        // Check that no registers within the process make unwinding panic, loop or take long.
        let blocked = blocked();
        let target = open(&blocked.running);
        let place = |(mapping, offset): (prop::sample::Index, prop::sample::Index), code: bool| {
            let fit: Vec<_> = target.maps().iter().filter(|m| !code || m.executable).collect();
            let mapping = mapping.get(&fit);
            mapping.start + offset.index((mapping.end - mapping.start) as usize) as u64
        };
        unwind(&target, Registers {
            ip: place(ip, true),
            sp: place(sp, false),
            bp: known.then(|| place(bp, false)),
            ..blocked.registers
        });
    }

    #[test]
    fn damaged_unwind_information(
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..40),
    ) {
        // Check that no unwind information makes unwinding panic, loop or take long.
        let blocked = blocked();
        let mut target = open(&blocked.running);
        let modules: Vec<LoadedModule> = target
            .loaded()
            .iter()
            .map(|module| {
                let mut bytes = fs::read(&module.file.module().path).unwrap_or_default();
                for name in [".eh_frame", ".eh_frame_hdr"] {
                    let Some(range) = section(&bytes, name) else { continue };
                    for (index, byte) in &changes {
                        // Few changes must do much: they are repeated over the section.
                        for at in range.clone().skip(index.index(97)).step_by(97) {
                            bytes[at] = *byte;
                        }
                    }
                }
                LoadedModule {
                    file: Arc::new(ModuleFile::from_bytes(&module.file.module().path, bytes)),
                    ..module.clone()
                }
            })
            .collect();
        target.replace_modules(modules);
        unwind(&target, blocked.registers);
    }
}

fn section(bytes: &[u8], name: &str) -> Option<std::ops::Range<usize>> {
    use object::{Object, ObjectSection};
    let file = object::File::parse(bytes).ok()?;
    let (offset, size) = file.section_by_name(name)?.file_range()?;
    Some(offset as usize..(offset + size) as usize)
}

#[test]
fn generated_code() {
    // Check that frames of code without a file are followed into the functions that called it.
    let program = Program::compile("cc", &["-O2"], include_str!("generated.c"));
    let running = program.start(&["chain"]);
    let names = running.names(true);
    let at = names.iter().position(|n| n == "wait_for_ever").unwrap();
    assert!(names[at + 1].starts_with("Anonymous 0x"), "{names:?}");
    assert!(names[at + 2].starts_with("Anonymous 0x"), "{names:?}");
    assert_eq!(names[at + 3], "through", "{names:?}");
    assert_eq!(names[at + 4], "main", "{names:?}");
    assert!(!names.last().unwrap().starts_with("No"), "{names:?}");
    // The code itself says as much as rbp does.
    assert_eq!(running.names(false), names);
}

#[test]
fn circular_frame_pointers() {
    // Check that frame pointers that lead in a circle, or backwards, end the stack.
    let program = Program::compile("cc", &["-O2"], include_str!("generated.c"));
    let running = program.start(&["circle"]);
    let (_, registers) = running.blocked_in(READ, 1)[0];
    let target = open(&running);
    // The program passes what it has built as arguments of the read() that it waits in.
    let [_, frames, _, code, ..] = registers.args;
    for bp in [frames, frames + 16, frames + 32, frames + 48] {
        let registers = Registers { ip: code + 0x40, sp: frames, bp: Some(bp), ..registers };
        let stack = unwind(&target, registers);
        assert!(stack.len() < 20, "{:?}", names(&stack));
        assert_eq!(end(&stack), Some(Unnamed::NoUnwindInfo), "{:?}", names(&stack));
    }
}
