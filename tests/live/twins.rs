//! Programs that look like the leaky one and aren't, or that are hard to read.

use std::{process::ExitCode, time::Duration};

use anyhow::{Result, ensure};
use leakprobe_tests::{
    Run, Scene, Target, Trials, site_table,
    workloads::{Program, Variant},
};

/// The modes of `locks`: which of them are leaks, each says itself.
const LOCKS: [&str; 15] = [
    "recursive",
    "errorcheck",
    "adaptive",
    "robust",
    "inherit",
    "robust-inherit",
    "pshared",
    "sibling",
    "reused-elsewhere",
    "reused-here",
    "self",
    "chain",
    "garbage",
    "signal-handler",
    "inherited",
];

fn main() -> ExitCode {
    let mut trials = Trials::default();
    for variant in [Variant::Plain, Variant::Optimized, Variant::Static, Variant::Musl] {
        let name = format!("healthy_{}", variant.name());
        trials.root(name, move || nothing_leaks(variant));
    }
    for mode in LOCKS {
        let name = format!("locks_{}", mode.replace('-', "_"));
        trials.root(name, move || Scene::of(Program::Locks, Variant::Optimized, &[mode])?.check());
    }
    for mode in ["signal", "deep", "vfork", "names"] {
        for variant in [Variant::Plain, Variant::Optimized] {
            let name = format!("frames_{mode}_{}", variant.name());
            trials.root(name, move || Scene::of(Program::Frames, variant, &[mode])?.check());
        }
    }
    trials.root("names_through_proc", names_through_proc);
    trials.root("unreadable_memory", unreadable_memory);
    trials.run()
}

// Check that nothing of the healthy twin is ever called leaked, in many looks at it.
fn nothing_leaks(variant: Variant) -> Result<()> {
    let scene = Scene::of(Program::Healthy, variant, &[])?;
    for _ in 0..5 {
        scene.check()?;
    }
    // Also where waits are looked at in the moment in which they begin and end.
    let run = Run::on(scene.running.pid()).arg("--min-wait").arg("0s");
    let report = run.arg("--interval").arg("100ms").arg("--duration").arg("3s").report()?;
    let leaked = report.sites.iter().any(|s| s.verdict.as_str() == "leaked");
    ensure!(!leaked, "something is called leaked: {}", site_table(&report));
    let waiters: u64 = report.sites.iter().map(|s| s.count).sum();
    ensure!(waiters >= 15, "hardly anything waits: {}", site_table(&report));
    Ok(())
}

// Check that names that look like other fields of /proc files are read whole.
fn names_through_proc() -> Result<()> {
    let mut scene = Scene::of(Program::Frames, Variant::Optimized, &["names"])?;
    scene.sight = scene.sight.with_ranges();
    let run = Run::on(scene.running.pid()).once();
    scene.check_with(run.env("LEAKPROBE_TASK_SOURCE", "proc"))
}

// Check that a program whose memory blocks its readers does not hold leakprobe up.
fn unreadable_memory() -> Result<()> {
    let scene = Scene::of(Program::Faults, Variant::Optimized, &[])?;
    for (duration, limit) in [("0", 2), ("3s", 5)] {
        let run = Run::on(scene.running.pid()).arg("--duration").arg(duration);
        let outcome = run.finish()?;
        outcome.expect_code(0)?;
        ensure!(outcome.elapsed < Duration::from_secs(limit), "it took too long: {outcome}");
        let target = Target::of(&scene.running)?;
        let report = outcome.report()?;
        for wait in &target.truth.waits {
            let tid = target.tids.get(&wait.tid).copied().unwrap_or(wait.tid).to_string();
            let site = report.sites.iter().find(|site| site.waiters.iter().any(|w| w.id == tid));
            let Some(site) = site else {
                anyhow::bail!("{} is missing: {}", wait.function(), site_table(&report));
            };
            ensure!(site.verdict.as_str() != "leaked", "{}", site_table(&report));
        }
        // Where the stack is there, it is read as ever.
        let fault =
            report.sites.iter().any(|site| site.stack.iter().any(|f| f.function == "touch_absent"));
        ensure!(fault, "touch_absent isn't named: {}", site_table(&report));
    }
    Ok(())
}
