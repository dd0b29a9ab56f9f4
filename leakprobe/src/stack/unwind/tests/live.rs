//! Real programs, built in the ways that programs are built.

use std::time::Instant;

use super::program::{PATIENCE, Program, address, is_installed};
use crate::process::ModuleFiles;

const TEXT: &str = include_str!("waiting.c");

/// That a stack holds these functions one after the other, and is whole.
fn assert_whole(names: &[String], functions: &[&str], how: &str) {
    let at = names.iter().position(|name| name == functions[0]);
    let at = at.unwrap_or_else(|| panic!("{how}: no {} in {names:?}", functions[0]));
    let found: Vec<&str> = names[at..].iter().take(functions.len()).map(String::as_str).collect();
    assert_eq!(found, functions, "{how}: {names:?}");
    let broken = ["NoUnwindInfo", "StackUnreadable", "Unmapped", "TooDeep", "NoBasePointer"];
    let last = names.last().unwrap();
    assert!(!broken.iter().any(|why| last.starts_with(why)), "{how}: {names:?}");
    // From the start routine to the end are one or two frames of the C library.
    let above = names.len() - at - functions.len();
    assert!(above <= 2, "{how}: {names:?}");
}

/// Every shape of stack in one program.
fn assert_all_shapes(program: &Program, how: &str) {
    let shapes: [(&str, &[&str]); 6] = [
        ("plain", &["wait_for_ever", "inner", "middle", "outer", "routine"]),
        ("aligned", &["wait_for_ever", "inner", "aligned", "routine"]),
        ("large", &["wait_for_ever", "inner", "large", "routine"]),
        ("short", &["wait_for_ever", "inner", "down", "down"]),
        ("signal", &["wait_for_ever", "inner", "handler"]),
        ("altstack", &["wait_for_ever", "inner", "handler"]),
    ];
    for (mode, functions) in shapes {
        // Where a realigned stack was before, only unwind information says.
        if mode == "aligned" && how.starts_with("without") {
            continue;
        }
        let running = program.start(&[mode]);
        for with_bp in [true, false] {
            let how = format!("{how}, {mode}, bp {with_bp}");
            let names = running.names(with_bp);
            let needs_bp = names.last().is_some_and(|n| n.starts_with("NoBasePointer"));
            if !with_bp && needs_bp {
                continue;
            }
            match mode {
                "short" => {
                    assert_eq!(names.iter().filter(|n| *n == "down").count(), 201, "{how}");
                    let end = names.iter().position(|n| n == "routine").unwrap();
                    assert_whole(&names[end..], &["routine"], &how);
                }
                "signal" | "altstack" => {
                    assert!(names.windows(3).any(|w| w == functions), "{how}: {names:?}");
                    assert_whole(&names, &["interrupted", "routine"], &how);
                }
                _ => assert_whole(&names, functions, &how),
            }
        }
    }
}

macro_rules! builds {
    ($($(#[$attribute:meta])* $name:ident: $what:literal, $compiler:literal, $flags:expr;)*) => {$(
        #[test]
        $(#[$attribute])*
        fn $name() {
            // Check that every shape of stack is unwound to its end in this kind of build.
            if !is_installed($compiler) {
                eprintln!("skipped: {} is not installed", $compiler);
                return;
            }
            let program = Program::compile($compiler, &$flags, TEXT);
            assert_all_shapes(&program, $what);
        }
    )*};
}

builds! {
    unoptimized: "-O0", "cc", ["-O0"];
    optimized: "-O2", "cc", ["-O2", "-fomit-frame-pointer"];
    not_pie: "no PIE", "cc", ["-O2", "-no-pie"];
    linked_statically: "static", "cc", ["-O2", "-fomit-frame-pointer", "-static"];
    static_pie: "static PIE", "cc", ["-O2", "-static-pie"];
    frame_pointers: "frame pointers", "cc", ["-O2", "-fno-omit-frame-pointer"];
    debug_frame: ".debug_frame", "cc",
        ["-O2", "-g", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"];
    compressed: "compressed .debug_frame", "cc",
        ["-O2", "-g", "-gz=zlib", "-fno-asynchronous-unwind-tables", "-fno-unwind-tables"];
    without: "without unwind information", "cc",
        ["-O2", "-fno-asynchronous-unwind-tables", "-fomit-frame-pointer"];
    without_unoptimized: "without unwind information, -O0", "cc",
        ["-O0", "-fno-asynchronous-unwind-tables"];
    without_static: "without unwind information, static", "cc",
        ["-O2", "-fno-asynchronous-unwind-tables", "-fomit-frame-pointer", "-static"];
    musl_without: "without unwind information, musl", "musl-gcc",
        ["-O2", "-static", "-fno-asynchronous-unwind-tables"];
    musl: "musl", "musl-gcc", ["-O2"];
    musl_static: "musl static", "musl-gcc", ["-O2", "-static"];
}

#[test]
fn leader_has_ended() {
    // Check that a thread is unwound although the leader of its process has ended before it.
    let program = Program::compile("cc", &["-O2"], TEXT);
    let running = program.start(&["leader"]);
    let deadline = Instant::now() + PATIENCE;
    while !running.leader_is_zombie() {
        assert!(Instant::now() < deadline);
        std::thread::yield_now();
    }
    let names = running.names(true);
    assert_whole(&names, &["wait_for_ever", "inner", "middle", "outer", "routine"], "leader");
}

#[test]
fn deleted_program() {
    // Check that a program is unwound from the file that is mapped when another has its name.
    let program = Program::compile("cc", &["-O2", "-fomit-frame-pointer"], TEXT);
    let running = program.start(&["plain"]);
    program.run("rm", &["program"]);
    program.run("cp", &["/bin/true", "program"]);
    let names = running.names(true);
    assert_whole(&names, &["wait_for_ever", "inner", "middle", "outer", "routine"], "deleted");
    let mut target = running.target();
    let modules = target.modules(&mut ModuleFiles::new());
    let module = modules[0].file.module();
    assert!(module.deleted);
    assert_eq!(module.path, program.path().to_str().unwrap());
}

#[test]
fn stripped_program_with_debug_file() {
    // Check that a program whose unwind information and symbols are only in its separate debug file
    // is unwound and named.
    let flags = ["-O2", "-g", "-fno-asynchronous-unwind-tables", "-fomit-frame-pointer"];
    let program = Program::compile("cc", &flags, TEXT);
    program.run("objcopy", &["--only-keep-debug", "program", "program.debug"]);
    program.run("strip", &["program"]);
    program.run("objcopy", &["--add-gnu-debuglink=program.debug", "program"]);
    assert_all_shapes(&program, "separate debug file");
}

/// That a program has the same stacks with its symbols stripped.
fn assert_same_when_stripped(compiler: &str, flags: &[&str]) {
    let program = Program::compile(compiler, flags, TEXT);
    let stacks = || {
        let modes = ["plain", "large", "short", "signal"].iter();
        let stacks = modes.map(|mode| program.start(&[mode]).stack(true));
        let addresses = stacks.map(|stack| stack.iter().map(address).collect::<Vec<u64>>());
        addresses.collect::<Vec<_>>()
    };
    let with_symbols = stacks();
    program.run("strip", &["program"]);
    assert!(with_symbols == stacks(), "{compiler} {flags:?}");
}

#[test]
fn stripped() {
    // Check that symbols are not needed to unwind.
    assert_same_when_stripped("cc", &["-O2", "-static"]);
}

#[test]
fn stripped_without_unwind_information() {
    // Check that symbols are not needed to unwind code that has no unwind information either.
    let flags = ["-O2", "-fno-asynchronous-unwind-tables", "-static"];
    assert_same_when_stripped("cc", &flags);
    if is_installed("musl-gcc") {
        assert_same_when_stripped("musl-gcc", &flags);
    }
}

#[test]
fn too_deep() {
    // Check that a stack longer than the limit says that it is cut.
    let program = Program::compile("cc", &["-O0"], TEXT);
    let names = program.start(&["deep"]).names(true);
    assert_eq!(names.len(), 513);
    assert!(names[512].starts_with("TooDeep"));
}
