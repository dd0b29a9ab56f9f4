//! `cargo xtask bench`: leakprobe next to a peer, and next to nothing, on 10,000 blocked threads.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use anyhow::{Context, Result, bail, ensure};
use leakprobe_workloads::{Program, Running, Variant, build, repository};

mod gaps;
mod measured;
mod snapshot;

const BEGIN: &str = "<!-- bench:begin -->";
const END: &str = "<!-- bench:end -->";

/// What to measure, and how thoroughly.
#[derive(clap::Args)]
pub struct Args {
    /// Shorter windows and fewer rounds: to see that it works, not to publish
    #[arg(long)]
    quick: bool,
    /// Only this section
    #[arg(long, value_enum)]
    only: Option<Section>,
    /// Also put the tables into docs/overhead.md
    #[arg(long)]
    write: bool,
}

#[derive(Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Section {
    /// One snapshot against eu-stack
    Snapshot,
    /// What a target's ticker notices
    Gaps,
}

/// A section's tables, and what it wanted and did not get.
struct Findings {
    markdown: String,
    missed: Vec<String>,
}

/// Measures, prints Markdown, and fails if what is wanted was missed.
pub fn run(args: &Args) -> Result<()> {
    let leakprobe = leakprobe()?;
    let mut many = Running::start(&build(Program::Many, Variant::Optimized)?, &["10000"])?;
    many.age_to(std::time::Duration::from_millis(1500));

    let mut markdown = format!("{}\n", circumstances()?);
    let mut missed = Vec::new();
    let mut add = |findings: Findings| {
        markdown.push_str(&findings.markdown);
        missed.extend(findings.missed);
    };
    if args.only != Some(Section::Gaps) {
        add(snapshot::measure(&leakprobe, &mut many, args.quick)?);
    }
    if args.only != Some(Section::Snapshot) {
        add(gaps::measure(&leakprobe, &mut many, args.quick)?);
    }
    println!("{markdown}");
    if args.write {
        write(&repository().join("docs/overhead.md"), &markdown)?;
    }
    ensure!(missed.is_empty(), "missed: {}", missed.join("; "));
    Ok(())
}

/// The release build: `LEAKPROBE_BIN`, else built now.
fn leakprobe() -> Result<PathBuf> {
    if let Some(path) = std::env::var_os("LEAKPROBE_BIN") {
        return Ok(path.into());
    }
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let built = Command::new(cargo)
        .args(["build", "--release", "--package", "leakprobe"])
        .current_dir(repository())
        .status()
        .context("running cargo build")?;
    ensure!(built.success(), "leakprobe does not build");
    let target = std::env::var_os("CARGO_TARGET_DIR")
        .map_or_else(|| repository().join("target"), PathBuf::from);
    Ok(target.join("release/leakprobe"))
}

/// What the figures depend on.
fn circumstances() -> Result<String> {
    let kernel = fs::read_to_string("/proc/sys/kernel/osrelease")?;
    let cpus = std::thread::available_parallelism()?;
    let load = fs::read_to_string("/proc/loadavg")?;
    let load = load.split(' ').next().unwrap_or_default();
    Ok(format!(
        "Kernel {}, {cpus} CPUs, load {load} before the start. The target: one process, 10,000 \
         blocked threads over 250 distinct stacks.\n",
        kernel.trim()
    ))
}

/// Replaces what stands between the markers.
fn write(path: &Path, markdown: &str) -> Result<()> {
    let text = fs::read_to_string(path).with_context(|| path.display().to_string())?;
    let (Some((before, _)), Some((_, after))) = (text.split_once(BEGIN), text.split_once(END))
    else {
        bail!("{} lacks the markers {BEGIN} and {END}", path.display());
    };
    fs::write(path, format!("{before}{BEGIN}\n{markdown}{END}{after}"))?;
    Ok(())
}

/// The middle one of some values; zero of none.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(0.0)
}

/// The largest.
fn largest(values: impl IntoIterator<Item = f64>) -> f64 {
    values.into_iter().fold(0.0, f64::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    // Check that only what stands between the markers is replaced.
    #[test]
    fn the_rest_of_the_page_stays() -> Result<()> {
        let folder = tempfile::tempdir()?;
        let page = folder.path().join("page.md");
        fs::write(&page, format!("top\n{BEGIN}\nold\n{END}\nbottom\n"))?;
        write(&page, "new\n")?;
        let expected = format!("top\n{BEGIN}\nnew\n{END}\nbottom\n");
        assert_eq!(fs::read_to_string(&page)?, expected);
        fs::write(&page, "no markers")?;
        assert!(write(&page, "new\n").is_err());
        Ok(())
    }

    // Check the statistics on values that are out of order.
    #[test]
    fn medians_and_maxima() {
        assert_eq!(median(vec![3.0, 1.0, 2.0]), 2.0);
        assert_eq!(median(Vec::new()), 0.0);
        assert_eq!(largest([2.0, 5.0, 1.0]), 5.0);
    }
}
