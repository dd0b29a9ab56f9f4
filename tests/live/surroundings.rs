//! The same program in other surroundings: namespaces, users, kernels without iterators, and files
//! that are no longer what they were.

use std::{
    fs,
    path::Path,
    process::{Command, ExitCode},
};

use anyhow::{Context, Result, ensure};
use leakprobe_tests::{
    Run, Scene, Target, Trials, assert_truth, is_root, leakprobe, public_copy, site_table,
    workloads::{Program, Variant, build},
};

const NOBODY: [&str; 4] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"];

fn main() -> ExitCode {
    let mut trials = Trials::default();
    for variant in [Variant::Optimized, Variant::Static, Variant::Musl] {
        let name = format!("target_in_namespace_{}", variant.name());
        trials.root(name, move || target_in_namespace(variant));
    }
    trials.root("both_in_namespace", both_in_namespace);
    trials.root("through_proc", through_proc);
    trials.root("through_proc_without_base_pointer", through_proc_without_base_pointer);
    trials.root("through_proc_in_namespace", through_proc_in_namespace);
    trials.root("another_users_process", another_users_process);
    let missing = if is_root() {
        yama().then_some("kernel.yama.ptrace_scope forbids reading one's own processes")
    } else {
        Some("needs root")
    };
    trials.unless(missing, "own_process_without_root", own_process_without_root);
    trials.root("deleted_binary", deleted_binary);
    trials.root("upgraded_binary", upgraded_binary);
    trials.run()
}

/// Whether one's own processes are kept from oneself.
fn yama() -> bool {
    let scope = fs::read_to_string("/proc/sys/kernel/yama/ptrace_scope");
    scope.is_ok_and(|scope| scope.trim() != "0")
}

/// The program, as process 1 of its own PID namespace, with its own mounts.
fn in_namespace(variant: Variant) -> Result<Scene> {
    let mut command = Command::new("unshare");
    command
        .args(["--pid", "--mount", "--mount-proc", "--fork"])
        .arg(build(Program::Waits, variant)?);
    let scene = Scene::by(command, Program::Waits, variant)?;
    ensure!(scene.running.truth.pid == 1, "unshare made no PID namespace");
    Ok(scene)
}

// Check that nothing changes when the target has PID and mount namespaces of its own.
fn target_in_namespace(variant: Variant) -> Result<()> {
    let scene = in_namespace(variant)?;
    let report = Run::on(scene.running.pid()).once().report()?;
    assert_truth(&report, &Target::of(&scene.running)?, &scene.sight)?;
    let process = report.processes.first().context("no process")?;
    ensure!(
        (process.pid, process.ns_pid) == (scene.running.pid(), 1),
        "ids are {} and {}",
        process.pid,
        process.ns_pid
    );
    Ok(())
}

// Check that nothing changes when leakprobe itself runs in the target's namespaces.
fn both_in_namespace() -> Result<()> {
    let scene = in_namespace(Variant::Optimized)?;
    let enter = ["nsenter", "--target", &scene.pid(), "--pid", "--mount", "--"];
    let report = Run::on(1).once().under(&enter).report()?;
    assert_truth(&report, &Target::inside(&scene.running)?, &scene.sight)
}

// Check that without a task iterator all is the same but the ages, which are ranges, and that
// health says so.
fn through_proc() -> Result<()> {
    for (program, variant) in
        [(Program::Waits, Variant::Optimized), (Program::Waits, Variant::Static)]
    {
        let mut scene = Scene::of(program, variant, &[])?;
        scene.sight = scene.sight.with_ranges();
        let run = Run::on(scene.running.pid()).once();
        let report = run.env("LEAKPROBE_TASK_SOURCE", "proc").report()?;
        assert_truth(&report, &Target::of(&scene.running)?, &scene.sight)?;
        ensure!(report.health.task_source == "/proc", "{:?}", report.health);
        ensure!(
            report.health.counts.contains_key("no_task_iterator")
                || !report.health.notes.is_empty(),
            "health doesn't say what is lost: {:?}",
            report.health
        );
    }
    Ok(())
}

// Check that where the base pointer, which /proc doesn't tell, is what leads on, no more is claimed
// than is known: every waiter is there, no stack is a wrong one, and health counts those cut short.
fn through_proc_without_base_pointer() -> Result<()> {
    for (program, variant) in
        [(Program::Waits, Variant::Plain), (Program::RustWaits, Variant::Plain)]
    {
        let scene = Scene::of(program, variant, &[])?;
        let run = Run::on(scene.running.pid()).once();
        let report = run.env("LEAKPROBE_TASK_SOURCE", "proc").report()?;
        let target = Target::of(&scene.running)?;
        let mut cut_short = 0;
        for wait in &target.truth.waits {
            let tid = target.tids.get(&wait.tid).context("its thread is gone")?.to_string();
            let at = report.sites.iter().find(|s| s.waiters.iter().any(|w| w.id == tid));
            let site = at.with_context(|| format!("{} is missing", wait.function()))?;
            let has = |name: &str| {
                let mut frames = site.stack.iter();
                frames.any(|f| f.function.rsplit("::").next() == Some(name))
            };
            let others = target.truth.waits.iter().filter(|w| w.function() != wait.function());
            for other in others {
                ensure!(!has(other.function()), "a wrong stack: {}", site_table(&report));
            }
            cut_short += u64::from(!has(wait.function()));
        }
        let counted = report.health.counts.get("stack_truncated").copied();
        ensure!(
            counted.unwrap_or(0) >= cut_short,
            "{cut_short} stacks are cut short: {}",
            site_table(&report)
        );
    }
    Ok(())
}

// Check that /proc is enough for a target with namespaces of its own, too.
fn through_proc_in_namespace() -> Result<()> {
    let mut scene = in_namespace(Variant::Optimized)?;
    scene.sight = scene.sight.with_ranges();
    let run = Run::on(scene.running.pid()).once();
    scene.check_with(run.env("LEAKPROBE_TASK_SOURCE", "proc"))
}

// Check that looking at another user's process without root fails with what to do about it.
fn another_users_process() -> Result<()> {
    let scene = Scene::of(Program::Waits, Variant::Plain, &[])?;
    let folder = tempfile::tempdir()?;
    let outcome = Run::on(scene.running.pid())
        .once()
        .program(public_copy(leakprobe()?, folder.path())?)
        .under(&NOBODY)
        .finish()?;
    outcome.expect_code(3)?;
    let said = outcome.stderr.to_lowercase();
    ensure!(said.contains("root") || said.contains("sudo"), "no way out is named: {outcome}");
    Ok(())
}

// Check that one's own process can be looked at without root, and that the report says what root
// would add.
fn own_process_without_root() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let program = public_copy(&build(Program::Waits, Variant::Optimized)?, folder.path())?;
    let mut command = Command::new(NOBODY[0]);
    command.args(&NOBODY[1..]).arg(program);
    let mut scene = Scene::by(command, Program::Waits, Variant::Optimized)?;
    scene.sight = scene.sight.with_ranges();
    let report = Run::on(scene.running.pid())
        .once()
        .program(public_copy(leakprobe()?, folder.path())?)
        .under(&NOBODY)
        .in_folder(folder.path())
        .report()?;
    assert_truth(&report, &Target::of(&scene.running)?, &scene.sight)?;
    let says_so = report.health.notes.iter().any(|note| note.contains("root"));
    ensure!(says_so, "what root would add isn't said: {}", site_table(&report));
    Ok(())
}

/// A copy of the program that is about to be lost.
fn doomed_copy(folder: &Path) -> Result<std::path::PathBuf> {
    public_copy(&build(Program::Waits, Variant::Optimized)?, folder)
}

// Check that the names of a deleted binary are still right.
fn deleted_binary() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let copy = doomed_copy(folder.path())?;
    let scene = Scene::at(&copy, Program::Waits, Variant::Optimized, &[])?;
    fs::remove_file(copy)?;
    scene.check()
}

// Check that names come from the binary that runs, not from the one that replaced it.
fn upgraded_binary() -> Result<()> {
    let folder = tempfile::tempdir()?;
    let copy = doomed_copy(folder.path())?;
    let scene = Scene::at(&copy, Program::Waits, Variant::Optimized, &[])?;
    let newer = folder.path().join("newer");
    fs::copy(build(Program::Healthy, Variant::Optimized)?, &newer)?;
    fs::rename(newer, copy)?;
    scene.check()
}
