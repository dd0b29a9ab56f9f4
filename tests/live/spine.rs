//! The leaky programs, in every way of building them: each wait is reported as it is.

use std::{
    fs::{self, Permissions},
    os::unix::fs::PermissionsExt,
    process::ExitCode,
    time::Duration,
};

use anyhow::{Context, Result, ensure};
use leakprobe_tests::{
    InstalledDebugFile, Run, Scene, Target, Trials, assert_truth, leakprobe, public_copy,
    site_table,
    workloads::{Program, Variant, build, debug_file},
};

fn main() -> ExitCode {
    let mut trials = Trials::default();
    for variant in Variant::ALL {
        let name = format!("c_{}", variant.name().replace('-', "_"));
        trials.root(name, move || every_wait_of_c(variant));
    }
    for variant in [Variant::Plain, Variant::Optimized, Variant::Stripped] {
        let name = format!("rust_{}", variant.name());
        trials.root(name, move || every_wait_of_rust(variant));
    }
    for variant in [Variant::Plain, Variant::Optimized, Variant::Static] {
        let name = format!("calls_{}", variant.name());
        trials.root(name, move || every_call(variant));
    }
    trials.root("default_run_confirms", default_run_confirms);
    trials.root("whole_machine", whole_machine);
    trials.root("two_processes", two_processes);
    trials.root("first_line_is_the_answer", first_line_is_the_answer);
    trials.root("fail_on_leaked", fail_on_leaked);
    trials.root("older_makes_stuck", older_makes_stuck);
    trials.root("record_and_replay", record_and_replay);
    trials.root("ten_thousand_threads", ten_thousand_threads);
    trials.run()
}

// Check that every wait of the C program stands in the right site, however it was built.
fn every_wait_of_c(variant: Variant) -> Result<()> {
    let path = build(Program::Waits, variant)?;
    let _installed = match debug_file(&path) {
        Some(debug) if variant == Variant::DebugById => {
            Some(InstalledDebugFile::new(&path, &debug)?)
        }
        _ => None,
    };
    Scene::at(&path, Program::Waits, variant, &[])?.check()
}

// Check that every wait of the Rust program stands in the right site, and that nothing is leaked.
fn every_wait_of_rust(variant: Variant) -> Result<()> {
    Scene::of(Program::RustWaits, variant, &[])?.check()
}

// Check that each further way to wait has its reason and its object.
fn every_call(variant: Variant) -> Result<()> {
    Scene::of(Program::Calls, variant, &[])?.check()
}

// Check that the run without a duration takes a second snapshot and ends within 5 s.
fn default_run_confirms() -> Result<()> {
    let scene = Scene::of(Program::Waits, Variant::Optimized, &[])?;
    let outcome = Run::on(scene.running.pid()).finish()?;
    outcome.expect_code(0)?;
    let report = outcome.report()?;
    assert_truth(&report, &Target::of(&scene.running)?, &scene.sight)?;
    ensure!(outcome.elapsed < Duration::from_secs(5), "it took too long: {outcome}");
    ensure!(report.health.snapshots >= 2, "only one snapshot: {:?}", report.health);
    ensure!(report.watched_seconds >= 1.5, "watched {} s", report.watched_seconds);
    Ok(())
}

// Check that a look at the whole machine finds the same in the program.
fn whole_machine() -> Result<()> {
    let scene = Scene::of(Program::Waits, Variant::Optimized, &[])?;
    scene.check_with(Run::new(["--json", "--all-waiters", "--duration", "0"]))
}

// Check that waits of two processes are told apart.
fn two_processes() -> Result<()> {
    let first = Scene::of(Program::Waits, Variant::Plain, &[])?;
    let second = Scene::of(Program::Healthy, Variant::Plain, &[])?;
    let report = Run::on(first.running.pid()).arg("--pid").arg(second.pid()).once().report()?;
    ensure!(report.processes.len() == 2, "processes: {:?}", report.processes);
    assert_truth(&report, &Target::of(&first.running)?, &first.sight)?;
    assert_truth(&report, &Target::of(&second.running)?, &second.sight)
}

// Check that the first line of the text says how many threads can never wake, and of whom.
fn first_line_is_the_answer() -> Result<()> {
    let scene = Scene::of(Program::Waits, Variant::Optimized, &[])?;
    let outcome = Run::new(["--duration", "0", "--pid", &scene.pid()]).finish()?;
    outcome.expect_code(0)?;
    let first = outcome.stdout.lines().next().unwrap_or_default();
    ensure!(first.contains("3 threads can never wake"), "{outcome}");
    for place in ["wait_on_mutex", "wait_on_cond", "wait_on_pipe", "wait_for_thread"] {
        ensure!(outcome.stdout.contains(place), "{place} isn't named: {outcome}");
    }
    Ok(())
}

// Check that --fail-on leaked fails the leaky program and not its healthy twin.
fn fail_on_leaked() -> Result<()> {
    for (program, code) in [(Program::Waits, 1), (Program::Healthy, 0)] {
        let scene = Scene::of(program, Variant::Plain, &[])?;
        let run = Run::on(scene.running.pid()).once();
        run.arg("--fail-on").arg("leaked").finish()?.expect_code(code)?;
    }
    Ok(())
}

// Check that --older calls stuck what is older, and only that.
fn older_makes_stuck() -> Result<()> {
    let scene = Scene::of(Program::Waits, Variant::Plain, &[])?;
    for (older, stuck) in [("1s", true), ("1h", false)] {
        let report = Run::on(scene.running.pid()).once().arg("--older").arg(older).report()?;
        assert_truth(&report, &Target::of(&scene.running)?, &scene.sight)?;
        let pipe = report.sites.iter().find(|site| site.reason == "read");
        let verdict = pipe.context("no site in read")?.verdict.as_str();
        ensure!((verdict == "stuck") == stuck, "--older {older}: {verdict}");
    }
    Ok(())
}

// Check that a recorded run gives the same report when it is replayed.
fn record_and_replay() -> Result<()> {
    let scene = Scene::of(Program::Waits, Variant::Optimized, &[])?;
    let folder = tempfile::tempdir()?;
    let file = folder.path().join("run.rec");
    let seen = Run::on(scene.running.pid()).arg("--record").arg(&file).report()?;
    let target = Target::of(&scene.running)?;
    assert_truth(&seen, &target, &scene.sight)?;
    let replay = || Run::new(["replay", "--json", "--all-waiters"]).arg(&file);
    let again = replay().report()?;
    ensure!(
        serde_json::to_value(&seen)? == serde_json::to_value(&again)?,
        "the replay says otherwise:\n{}\n{}",
        site_table(&seen),
        site_table(&again)
    );
    fs::set_permissions(&file, Permissions::from_mode(0o644))?;
    let unprivileged = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];
    let copy = public_copy(leakprobe()?, folder.path())?;
    let again = replay().program(copy).under(&unprivileged).report()?;
    assert_truth(&again, &target, &scene.sight)
}

// Check that 10,000 threads over 250 stacks are all reported, and in the right sites.
fn ten_thousand_threads() -> Result<()> {
    let scene = Scene::of(Program::Many, Variant::Optimized, &[])?;
    scene.check_with(Run::on(scene.running.pid()).once())
}
