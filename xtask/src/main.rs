//! `cargo xtask`: everything that is done to this repository, one file each.

use std::{path::PathBuf, process::ExitCode};

use clap::{Parser, Subcommand};

mod bench;
mod checks;
mod command;
mod demo;
mod dist;
mod ebpf;
mod elf;
mod layout;
mod setup;
mod test;
mod vm;

#[derive(Parser)]
#[command(name = "cargo xtask", about = "Everything that is done to this repository")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Subcommand)]
enum Task {
    /// Install what building the BPF object, the workloads and the VM tests need
    Setup,
    /// The BPF object
    #[command(subcommand)]
    Ebpf(Ebpf),
    /// Make one static binary, target/dist/leakprobe
    Dist,
    /// Run leakprobe on two leaking programs; writes flamegraph.svg
    Demo,
    /// Everything that CI checks
    Test,
    /// Run a command in a guest with a stock Debian kernel
    Vm {
        /// Its kernel (5.10, 6.1, 6.12, 7.3)
        #[arg(long, value_name = "VERSION", default_value = "6.1")]
        kernel: String,
        /// Put this program into the guest's /bin; repeatable
        #[arg(long = "file", value_name = "PATH")]
        files: Vec<PathBuf>,
        /// Give up after this many seconds
        #[arg(long, value_name = "SECONDS", default_value_t = 120)]
        timeout: u64,
        /// The command, run by a shell as root; `leakprobe` is in its PATH
        #[arg(last = true, required = true)]
        command: Vec<String>,
    },
    /// Measure leakprobe, next to its peers
    Bench(bench::Args),
    /// The checks that run no program: format, lints, the BPF object
    Ci,
}

#[derive(Subcommand)]
enum Ebpf {
    /// Build it and replace the committed one
    Build,
    /// Build it and compare it, byte by byte, with the committed one
    Check,
}

fn main() -> ExitCode {
    let done = match Cli::parse().task {
        Task::Setup => setup::run(),
        Task::Ebpf(Ebpf::Build) => ebpf::build(),
        Task::Ebpf(Ebpf::Check) => ebpf::check(),
        Task::Dist => dist::run().map(drop),
        Task::Demo => demo::run(),
        Task::Test => test::run(),
        Task::Vm { kernel, files, timeout, command } => vm::run(&kernel, &files, timeout, &command),
        Task::Bench(args) => bench::run(&args),
        Task::Ci => checks::run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("xtask: {error:#}");
            ExitCode::FAILURE
        }
    }
}
