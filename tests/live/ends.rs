//! Runs that meet an end: of the target, of the time, of what is allowed.

use std::{
    process::{Command, ExitCode},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, bail, ensure};
use leakprobe::report::Report;
use leakprobe_tests::{
    Outcome, Run, Scene, Trials, site_table,
    workloads::{Program, Variant},
};

fn main() -> ExitCode {
    let mut trials = Trials::default();
    // Around the start, between snapshots, and well after the first report could be made.
    for milliseconds in [0, 5, 20, 60, 150, 400, 1500, 2500] {
        trials.root(format!("exits_after_{milliseconds}_ms"), move || {
            exits_midway(Duration::from_millis(milliseconds))
        });
    }
    for milliseconds in [0, 20, 150, 1200] {
        trials.root(format!("executes_after_{milliseconds}_ms"), move || {
            executes_midway(Duration::from_millis(milliseconds))
        });
    }
    trials.root("absent_pid", absent_pid);
    trials.root("read_only_output", read_only_output);
    trials.root("one_snapshot_is_quick", one_snapshot_is_quick);
    trials.root("interrupt_still_reports", interrupt_still_reports);
    trials.run()
}

/// Starts leakprobe on a process and, `after` a time, tells the process to end.
fn end_midway(scene: &mut Scene, run: Run, after: Duration) -> Result<Outcome> {
    let started = Instant::now();
    let run = thread::spawn(move || run.finish());
    // The time is what this test varies, not something that it waits for.
    thread::sleep(after.saturating_sub(started.elapsed()));
    scene.running.say("")?;
    run.join().ok().context("the run panicked")?
}

/// How many of the waiters have this function on their stack.
fn waiters_in(report: &Report, function: &str) -> u64 {
    let sites = report.sites.iter();
    let here = sites.filter(|s| s.stack.iter().any(|f| f.function == function));
    here.map(|site| site.count).sum()
}

// Check that a process that exits midway ends in a report of what was seen, or in code 4 if
// nothing could be.
fn exits_midway(after: Duration) -> Result<()> {
    let mut scene = Scene::of(Program::Ends, Variant::Optimized, &["exit"])?;
    let run = Run::on(scene.running.pid()).arg("--duration").arg("4s");
    let outcome = end_midway(&mut scene, run, after)?;
    scene.running.await_end(Duration::from_secs(5))?;
    ensure!(outcome.elapsed < Duration::from_secs(6), "it took too long: {outcome}");
    match outcome.status.code() {
        Some(4) if after < Duration::from_secs(1) => {
            ensure!(outcome.stderr.contains(&scene.pid()), "who is gone isn't said: {outcome}");
            Ok(())
        }
        Some(0) => {
            let report = outcome.report()?;
            let seen = waiters_in(&report, "block_before");
            if after > Duration::from_secs(1) {
                ensure!(seen == 200, "what was seen is lost ({seen}): {}", site_table(&report));
                let gone = report.health.counts.get("process_gone");
                ensure!(
                    gone.is_some_and(|n| *n > 0) || !report.health.notes.is_empty(),
                    "that it ended isn't said: {}",
                    site_table(&report)
                );
            }
            Ok(())
        }
        _ => bail!("it ended otherwise than with 0 or 4: {outcome}"),
    }
}

// Check that a process that executes itself anew midway is never shown as a mixture of the two
// programs.
fn executes_midway(after: Duration) -> Result<()> {
    let mut scene = Scene::of(Program::Ends, Variant::Optimized, &["exec"])?;
    let run = Run::on(scene.running.pid()).arg("--duration").arg("4s");
    let outcome = end_midway(&mut scene, run, after)?;
    scene.running.await_truth()?;
    ensure!(outcome.elapsed < Duration::from_secs(6), "it took too long: {outcome}");
    if outcome.status.code() == Some(4) && after < Duration::from_secs(1) {
        return Ok(());
    }
    outcome.expect_code(0)?;
    let report = outcome.report()?;
    for site in &report.sites {
        let has = |name: &str| site.stack.iter().any(|f| f.function == name);
        let mixed = (has("block_before") || has("before_thread"))
            && (has("block_after") || has("after_thread"));
        ensure!(!mixed, "two programs in one stack: {}", site_table(&report));
    }
    let after_exec = waiters_in(&report, "block_after");
    ensure!(after_exec == 0 || after_exec == 3, "{}", site_table(&report));
    let either = after_exec + waiters_in(&report, "block_before");
    ensure!(either > 0, "neither program was seen: {}", site_table(&report));
    Ok(())
}

// Check that a pid that nobody has ends in code 4 and a message that names it.
fn absent_pid() -> Result<()> {
    let mut child = Command::new("true").spawn()?;
    let pid = child.id();
    child.wait()?;
    let outcome = Run::on(pid).once().finish()?;
    outcome.expect_code(4)?;
    ensure!(outcome.stderr.contains(&pid.to_string()), "who is missing isn't said: {outcome}");
    Ok(())
}

// Check that output that can't be written is found before anything is collected.
fn read_only_output() -> Result<()> {
    let scene = Scene::of(Program::Waits, Variant::Plain, &[])?;
    let folder = tempfile::tempdir()?;
    let path = folder.path().to_str().context("the folder's name")?;
    let script = "mount --bind \"$0\" \"$0\" && mount -o remount,ro,bind \"$0\" && exec \"$@\"";
    let read_only = ["unshare", "--mount", "sh", "-c", script, path];
    for option in ["--flamegraph", "--folded", "--record"] {
        let outcome = Run::on(scene.running.pid())
            .arg("--duration")
            .arg("10s")
            .arg(option)
            .arg(folder.path().join("output"))
            .under(&read_only)
            .finish()?;
        outcome.expect_code(2)?;
        ensure!(outcome.stderr.contains(path), "where isn't said: {outcome}");
        ensure!(outcome.elapsed < Duration::from_secs(5), "it collected first: {outcome}");
    }
    Ok(())
}

// Check that one snapshot is one, and comes within the second that the first answer may take.
fn one_snapshot_is_quick() -> Result<()> {
    let scene = Scene::of(Program::Waits, Variant::Optimized, &[])?;
    let outcome = Run::on(scene.running.pid()).once().finish()?;
    let report = outcome.report()?;
    ensure!(report.health.snapshots == 1, "{:?}", report.health);
    // Unoptimised code is given twice the time.
    let limit = Duration::from_secs(if cfg!(debug_assertions) { 2 } else { 1 });
    ensure!(outcome.elapsed < limit, "it took too long: {outcome}");
    Ok(())
}

// Check that Ctrl-C ends a watch, and that the report still comes.
fn interrupt_still_reports() -> Result<()> {
    let scene = Scene::of(Program::Waits, Variant::Optimized, &[])?;
    let interrupt = ["timeout", "--signal=INT", "3"];
    let outcome = Run::on(scene.running.pid()).arg("--watch").under(&interrupt).finish()?;
    ensure!(outcome.elapsed < Duration::from_secs(5), "it went on: {outcome}");
    let report = outcome.report()?;
    ensure!(waiters_in(&report, "wait_on_pipe") == 5, "{}", site_table(&report));
    Ok(())
}
