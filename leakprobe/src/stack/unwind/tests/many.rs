//! Many threads at once.

use std::{collections::HashSet, time::Instant};

use super::program::{FUTEX, PATIENCE, Program, names};
use crate::{
    process::ModuleFiles,
    stack::{ThreadStart, Unwinder},
};

/// Unwinds `count` threads and checks each; returns seconds for the modules and for the stacks.
fn unwind(count: usize) -> (f64, f64) {
    let program = Program::compile("cc", &["-O2", "-fomit-frame-pointer"], include_str!("many.c"));
    let running = program.start(&[&count.to_string()]);
    let threads: Vec<ThreadStart> = running
        .blocked_in(FUTEX, count)
        .into_iter()
        .map(|(_, registers)| ThreadStart { registers })
        .collect();
    let begun = Instant::now();
    let mut target = running.target();
    target.modules(&mut ModuleFiles::new());
    let modules = begun.elapsed().as_secs_f64();
    let begun = Instant::now();
    let stacks = Unwinder::new().unwind(&target, &threads, begun + PATIENCE);
    let time = begun.elapsed().as_secs_f64();
    assert_eq!(stacks.len(), count);
    let mut distinct = HashSet::new();
    for stack in &stacks {
        let shape: Vec<u64> = stack.iter().map(super::program::address).collect();
        if distinct.insert(shape) {
            let names = names(stack);
            let of = |name| names.iter().filter(|n| *n == name).count();
            assert_eq!((of("next"), of("routine")), (9, 1), "{names:?}");
            assert_eq!(of("left") + of("right"), 8, "{names:?}");
        }
    }
    assert_eq!(distinct.len(), count.min(256));
    (modules, time)
}

#[test]
fn three_hundred_threads() {
    // Check that threads read in more than one group each get their own stack.
    unwind(300);
}

#[test]
#[ignore = "a measurement: cargo test --release -p leakprobe ten_thousand -- --ignored --nocapture"]
fn ten_thousand_threads() {
    // Check that 10,000 threads in 256 distinct stacks are read and unwound within 150 ms.
    let (modules, stacks) = unwind(10_000);
    println!("modules {modules:.3} s, stacks {stacks:.3} s, peak memory {} KiB", peak_kib());
    assert!(stacks < 0.15, "{stacks} s");
}

fn peak_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
