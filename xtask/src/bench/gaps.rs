//! Whether a target is ever stopped: its own thread that is due each millisecond would notice.
//!
//! Windows in which leakprobe watches it without a break alternate with windows in which a process
//! that only computes uses as much CPU in the same rhythm, and with quiet ones. What leakprobe's
//! windows show and the burner's don't would be leakprobe's doing.

use std::{fmt::Write as _, path::Path, process::Command, thread::sleep, time::Duration};

use anyhow::{Context, Result};
use leakprobe_workloads::{Program, Running, Variant, build};
use serde::Deserialize;

use super::{Findings, largest, measured, median};

/// Time between leakprobe's snapshots.
const INTERVAL: Duration = Duration::from_millis(200);

/// How the target's ticker fared in one window, as it says itself.
#[derive(Clone, Copy, Debug, Deserialize)]
struct Gaps {
    ticks: u64,
    p50_us: f64,
    p99_us: f64,
    p999_us: f64,
    max_us: f64,
    over_2ms: u64,
}

/// What else goes on in a window.
struct Mode {
    name: &'static str,
    windows: Vec<Gaps>,
    cpu: Vec<f64>,
}

impl Mode {
    fn new(name: &'static str) -> Self {
        Mode { name, windows: Vec::new(), cpu: Vec::new() }
    }

    fn row(&self, markdown: &mut String) {
        let middle = |of: fn(&Gaps) -> f64| median(self.windows.iter().map(of).collect());
        let mut largest_ms: Vec<f64> = self.windows.iter().map(|g| g.max_us / 1000.0).collect();
        largest_ms.sort_by(|a, b| b.total_cmp(a));
        let _ = writeln!(
            markdown,
            "| {} | {:.0} | {} | {:.0} | {:.0} | {:.0} | {} | **{:.1}** | {} |",
            self.name,
            median(self.cpu.clone()) * 100.0,
            self.windows.iter().map(|g| g.ticks).sum::<u64>(),
            middle(|g| g.p50_us),
            middle(|g| g.p99_us),
            middle(|g| g.p999_us),
            self.windows.iter().map(|g| g.over_2ms).sum::<u64>(),
            largest(largest_ms.iter().copied()),
            largest_ms.iter().map(|gap| format!("{gap:.1}")).collect::<Vec<_>>().join(" "),
        );
    }
}

/// Runs the windows, interleaved, 60 s of each kind in all (`quick`: 6 s).
pub fn measure(leakprobe: &Path, many: &mut Running, quick: bool) -> Result<Findings> {
    let (rounds, window) = if quick { (2, 3) } else { (6, 10) };
    let burner = build(Program::Burner, Variant::Optimized)?;
    let pid = many.pid().to_string();
    let limit = Duration::from_secs(window + 30);
    let mut quiet = Mode::new("nothing");
    let mut watched = Mode::new("leakprobe");
    let mut burning = Mode::new("burner");
    for _ in 0..rounds {
        start_window(many)?;
        sleep(Duration::from_secs(window));
        quiet.windows.push(end_window(many)?);
        quiet.cpu.push(0.0);

        start_window(many)?;
        let mut command = Command::new(leakprobe);
        command
            .args(["--json", "--pid", &pid])
            .args(["--interval", &format!("{}ms", INTERVAL.as_millis())])
            .args(["--duration", &format!("{window}s")]);
        let ours = measured::measure(&mut command, limit)?;
        watched.windows.push(end_window(many)?);
        let share = ours.cpu.as_secs_f64() / ours.wall.as_secs_f64();
        watched.cpu.push(share);

        start_window(many)?;
        let mut command = Command::new(&burner);
        command.args([
            window.to_string(),
            format!("{:.0}", share * INTERVAL.as_secs_f64() * 1e6),
            INTERVAL.as_micros().to_string(),
        ]);
        let theirs = measured::measure(&mut command, limit)?;
        burning.windows.push(end_window(many)?);
        let share = theirs.cpu.as_secs_f64() / theirs.wall.as_secs_f64();
        burning.cpu.push(share);
    }
    let mut markdown = format!(
        "\n### What the target notices\n\n\
         Gaps between the wake-ups of a thread of the target that is due each millisecond, in \
         {rounds} windows of {window} s of each kind, interleaved. leakprobe takes a snapshot \
         each {} ms; the burner computes for as long in the same rhythm. Medians of the windows; \
         the largest gaps of each window stand in the last column.\n\n\
         | beside the target | CPU, % | ticks | p50, µs | p99, µs | p99.9, µs | over 2 ms | \
         largest, ms | by window, ms |\n\
         | --- | --- | --- | --- | --- | --- | --- | --- | --- |\n",
        INTERVAL.as_millis()
    );
    for mode in [&quiet, &burning, &watched] {
        mode.row(&mut markdown);
    }
    Ok(Findings { markdown, missed: Vec::new() })
}

/// Forgets all gaps so far.
fn start_window(many: &mut Running) -> Result<()> {
    answer(many).map(drop)
}

/// The gaps since the window's start.
fn end_window(many: &mut Running) -> Result<Gaps> {
    let line = answer(many)?;
    serde_json::from_str(&line).with_context(|| format!("the ticker said {line:?}"))
}

/// What the target says of the gaps since it was last asked.
fn answer(many: &mut Running) -> Result<String> {
    many.say("")?;
    many.line_within(Duration::from_secs(10))
}
