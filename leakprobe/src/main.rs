//! The `leakprobe` command.
fn main() -> std::process::ExitCode {
    leakprobe::cli::main()
}
