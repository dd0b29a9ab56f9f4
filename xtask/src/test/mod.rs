//! `cargo xtask test`: everything that CI checks.
//!
//! Goes on after a failure, so that one run shows everything. Ends with one line of its own,
//! `N passed, N failed, N skipped`, in which every check that is no test counts as one.

use std::{
    env,
    ffi::OsString,
    io::Write,
    process::{self, Command},
    time::{Duration, Instant},
};

use anyhow::Result;

use crate::{
    checks::CHECKS,
    command::{self, cargo},
    dist, setup,
};

mod members;
mod stage;
mod tally;

use tally::Tally;

/// No stage needs nearly as long; one that does hangs, and is killed.
const STAGE_DEADLINE: Duration = Duration::from_secs(15 * 60);

/// After this no stage of tests has more than a minute left.
const DEADLINE: Duration = Duration::from_secs(50 * 60);

/// A stage that has been run.
struct Done {
    name: String,
    took: Duration,
    tally: Tally,
}

/// Runs everything, prints the closing line, and ends the process with 1 after a failure.
pub fn run() -> Result<()> {
    let began = Instant::now();
    let left = || DEADLINE.saturating_sub(began.elapsed());
    let mut done = Vec::new();

    done.push(check("setup", setup::run));
    for (name, run) in CHECKS {
        done.push(check(name, run));
    }
    done.push(check("static binary", || dist::run().map(drop)));

    let members = members::read()?;
    let cargo_test = || {
        let mut command = cargo(&["test", "--locked", "--no-fail-fast"]);
        command.args(members.packages.iter().map(|name| format!("--package={name}")));
        command
    };
    done.push(check("doc tests", || command::run(cargo_test().args(["--quiet", "--doc"]))));
    let mut units = cargo_test();
    units.args(["--lib", "--bins"]);
    units.args(members.light.iter().map(|target| format!("--test={target}")));
    done.push(tests("unit tests", units, left()));
    for target in &members.real {
        let mut command = cargo_test();
        command.arg(format!("--test={target}"));
        done.push(tests(&format!("{target} tests"), command, left()));
    }

    let all = print_stages(&done, began.elapsed());
    println!("{all}");
    std::io::stdout().flush()?;
    if all.failed > 0 {
        process::exit(1);
    }
    Ok(())
}

/// Runs a check that is no test.
fn check(name: &str, run: impl FnOnce() -> Result<()>) -> Done {
    eprintln!("\n=== {name}");
    let began = Instant::now();
    let mut tally = Tally::default();
    match run() {
        Ok(()) => tally.passed = 1,
        Err(error) => {
            eprintln!("{name}: {error:#}");
            tally.fail(name);
        }
    }
    Done { name: name.to_owned(), took: began.elapsed(), tally }
}

/// Runs `cargo test` and adds up what it says.
fn tests(name: &str, mut command: Command, left: Duration) -> Done {
    eprintln!("\n=== {name}");
    let began = Instant::now();
    for (variable, value) in test_environment() {
        command.env(variable, value);
    }
    let deadline = left.clamp(Duration::from_secs(60), STAGE_DEADLINE);
    let mut tally = stage::run(&mut command, deadline).unwrap_or_else(|error| {
        let mut tally = Tally::default();
        tally.fail(&format!("{name}: {error:#}"));
        tally
    });
    // Otherwise a test program that has lost its tests would pass.
    if tally.is_empty() {
        tally.fail(&format!("{name}: there were none"));
    }
    Done { name: name.to_owned(), took: began.elapsed(), tally }
}

/// Where tests find what was built and unpacked for them.
fn test_environment() -> Vec<(&'static str, OsString)> {
    let mut environment = vec![
        // What is tested is what is shipped, on this kernel as in guests.
        ("LEAKPROBE_BIN", dist::path().into()),
        ("LEAKPROBE_STATIC", dist::path().into()),
    ];
    let path = env::var_os("PATH").unwrap_or_default();
    if let Ok(server) = setup::server_folder() {
        let folders =
            env::split_paths(&path).chain(["/usr/sbin".into(), server]).collect::<Vec<_>>();
        if let Ok(path) = env::join_paths(folders) {
            environment.push(("PATH", path));
        }
    }
    environment
}

fn print_stages(done: &[Done], took: Duration) -> Tally {
    let mut all = Tally::default();
    println!("\n{:<20} {:>8}  result", "stage", "seconds");
    for stage in done {
        println!("{:<20} {:>8.1}  {}", stage.name, stage.took.as_secs_f64(), stage.tally);
        all.add(&stage.tally);
    }
    println!("{:<20} {:>8.1}\n", "all", took.as_secs_f64());
    for name in &all.failures {
        println!("failed: {name}");
    }
    for (name, reason) in &all.skips {
        println!("skipped: {name}: {reason}");
    }
    all
}
