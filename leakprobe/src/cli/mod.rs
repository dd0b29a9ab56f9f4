//! The command line: arguments become a plain struct, outcomes become an exit code.
//!
//! ```text
//! args ─▶ request ─▶ run | replay | doctor | man
//!                     │ session's events ─▶ telling ─▶ stdout, progress
//!                     └ finished report  ─▶ outputs ─▶ destination, temporary
//! ```
//!
//! No type of clap's leaves this folder, and nothing here knows how anything is found out.

mod args;
mod destination;
mod doctor;
mod duration;
mod exit;
mod heap;
mod help;
mod man;
mod outputs;
mod progress;
mod replay;
mod request;
mod run;
mod signals;
mod stdout;
mod telling;
mod temporary;

use std::{env, io::Write, process::ExitCode};

use clap::CommandFactory;
use exit::Failure;
use request::{Request, Task};
use stdout::Stdout;

/// Runs the command.
pub fn main() -> ExitCode {
    // Before there is a second thread.
    heap::tune();
    match request::parse(env::args_os()) {
        Ok(request) => match perform(request) {
            Ok(code) => ExitCode::from(code),
            Err(failure) => failure.report(),
        },
        // Also a help text that was asked for, with exit code 0.
        Err(error) => {
            // Without a reader there is nobody to tell.
            let _ = error.print();
            ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(exit::USAGE))
        }
    }
}

fn perform(request: Request) -> Result<u8, Failure> {
    start_log(request.verbose);
    match request.task {
        Task::Run { plan, wanted } => run::run(plan, wanted),
        Task::Replay { file, plan, wanted } => replay::replay(&file, &plan, wanted),
        Task::Doctor { json } => doctor::doctor(json).map(|()| exit::OK),
        Task::Completions(shell) => {
            let mut script = Vec::new();
            clap_complete::generate(shell, &mut args::Cli::command(), "leakprobe", &mut script);
            print(&script)
        }
        Task::Man => print(&man::page().map_err(Failure::internal)?),
    }
}

fn print(bytes: &[u8]) -> Result<u8, Failure> {
    let mut stdout = Stdout::default();
    (stdout.write_all(bytes)).and_then(|()| stdout.flush()).map_err(Failure::usage)?;
    Ok(exit::OK)
}

/// Log lines go to stderr: warnings always, what is done with `-v`, all with `-vv`.
fn start_log(verbose: u8) {
    let level = match verbose {
        0 => log::LevelFilter::Warn,
        1 => log::LevelFilter::Debug,
        _ => log::LevelFilter::Trace,
    };
    // Libraries' warnings are for leakprobe to judge, not for its user, and what they do only drowns
    // what leakprobe does, the BPF side included: it speaks under leakprobe's own name.
    let libraries = match verbose {
        0 => log::LevelFilter::Error,
        1 => log::LevelFilter::Warn,
        _ => level,
    };
    env_logger::Builder::new()
        .filter_level(libraries)
        .filter_module("leakprobe", level)
        .target(env_logger::Target::Stderr)
        .init();
}
