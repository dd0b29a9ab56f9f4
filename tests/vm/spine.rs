//! The spine of leakprobe, on a stock kernel.

use std::{collections::BTreeMap, time::Duration};

use anyhow::{Context, Result, bail, ensure};
use leakprobe::report::{Report, Verdict};
use leakprobe_guest::{GuestFile, KERNELS, Kernel, boot};
use leakprobe_tests::{
    Ages, Sight, Target, Trials, assert_truth, site_table,
    workloads::{Program, Truth, Variant, build},
};

use crate::{missing, static_leakprobe};

/// Between two processes that read two clocks, in a guest that is emulated.
const AGES_WITHIN: Duration = Duration::from_millis(250);

/// Starts a workload, waits until its threads are blocked and their waits three seconds old, and
/// reports. The two clocks are read in between: the kernel prints `now at N nsecs` of
/// CLOCK_MONOTONIC (kernel/time/timer_list.c), busybox's adjtimex CLOCK_REALTIME in s and µs.
const SCRIPT: &str = r#"
    clocks() {
        monotonic=$(sed -n 's/^now at \([0-9]*\) nsecs$/\1/p' /proc/timer_list)
        adjtimex >adjtimex
        seconds=$(sed -n 's/.*time.tv_sec: *//p' adjtimex)
        micros=$(sed -n 's/.*time.tv_usec: *//p' adjtimex)
        echo "$monotonic $seconds $micros"
    }
    look() {
        "$1" >"$1.truth" &
        pid=$!
        tries=0
        until grep -q ready "$1.truth"; do
            tries=$((tries + 1))
            [ $tries -lt 120 ] && kill -0 $pid || exit 90
            sleep 1
        done
        sleep 3
        clocks >"$1.clocks"
        leakprobe --json --all-waiters --pid $pid >"$1.json" 2>"$1.errors"
        echo $? >"$1.code"
        kill $pid
    }
    clocks >/dev/null
    look waits
    look healthy
"#;

pub fn add(trials: &mut Trials) {
    for kernel in KERNELS {
        let missing = missing(kernel.name)
            .or_else(|| (!static_leakprobe().is_file()).then_some("run `cargo xtask dist`"));
        let name = format!("spine_on_{}", kernel.name.replace('.', "_"));
        trials.unless(missing, name, || spine(kernel));
    }
}

/// Check that each stock kernel gives the same answers as this machine's: every waiter of the leaky
/// program in the right site with the right function, reason, owner and age, `leaked` exactly for
/// those that can never wake, nothing `leaked` in the healthy twin, and tasks read by the iterator
/// (on 5.10 by a program of its own).
fn spine(kernel: &Kernel) -> Result<()> {
    let outcome = boot(
        kernel,
        &[
            GuestFile::program(static_leakprobe(), "/bin/leakprobe"),
            GuestFile::program(build(Program::Waits, Variant::Static)?, "/bin/waits"),
            GuestFile::program(build(Program::Healthy, Variant::Static)?, "/bin/healthy"),
        ],
        SCRIPT,
        Duration::from_secs(240),
    )?;
    ensure!(outcome.exit_code == 0, "{}", outcome.console);

    let (truth, leaky) = read(&outcome.files, "waits")?;
    let sight =
        Sight { ages: Ages::Within(AGES_WITHIN), ..Sight::of(Program::Waits, Variant::Static) };
    let target = Target {
        truth: &truth,
        pid: truth.pid,
        tids: truth.waits.iter().map(|w| (w.tid, w.tid)).collect(),
        clock_offset_ns: clock_offset_ns(&outcome.files, "waits")?,
    };
    assert_truth(&leaky, &target, &sight)?;
    ensure!(
        leaky.health.task_source == "iter/task",
        "tasks were read from {}",
        leaky.health.task_source
    );

    let (_, healthy) = read(&outcome.files, "healthy")?;
    ensure!(
        healthy.sites.iter().all(|s| s.verdict != Verdict::Leaked),
        "the healthy twin is called leaked: {}",
        site_table(&healthy)
    );
    Ok(())
}

type Files = BTreeMap<String, Vec<u8>>;

fn text(files: &Files, name: &str) -> Result<String> {
    let bytes = files.get(name);
    let bytes = bytes.with_context(|| format!("the guest left no {name}"))?;
    Ok(String::from_utf8_lossy(bytes).into_owned())
}

/// What a workload said of itself, and what leakprobe said of it.
fn read(files: &Files, workload: &str) -> Result<(Truth, Report)> {
    let errors = text(files, &format!("{workload}.errors"))?;
    let code = text(files, &format!("{workload}.code"))?;
    ensure!(code.trim() == "0", "leakprobe ended with {}:\n{errors}", code.trim());
    let truth = Truth::parse(&text(files, &format!("{workload}.truth"))?)?;
    let report = serde_json::from_str(&text(files, &format!("{workload}.json"))?)
        .with_context(|| format!("no report came:\n{errors}"))?;
    Ok((truth, report))
}

/// `CLOCK_REALTIME` less `CLOCK_MONOTONIC` in the guest, ns.
fn clock_offset_ns(files: &Files, workload: &str) -> Result<i64> {
    let clocks = text(files, &format!("{workload}.clocks"))?;
    let numbers: Vec<i64> =
        clocks.split_whitespace().map_while(|number| number.parse().ok()).collect();
    let [monotonic, seconds, micros] = numbers[..] else {
        bail!("the guest's clocks read {clocks:?}");
    };
    Ok(seconds * 1_000_000_000 + micros * 1_000 - monotonic)
}
