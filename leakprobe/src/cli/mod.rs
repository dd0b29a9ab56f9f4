//! The command line: arguments become a plain struct, outcomes become an exit code.

/// Runs the command.
pub fn main() -> std::process::ExitCode {
    std::process::ExitCode::SUCCESS
}
