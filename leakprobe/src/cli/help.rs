//! What `--help` and the man page say besides the options.

use std::fmt::Write;

use super::exit;

/// What it is.
pub const ABOUT: &str = "Shows which threads are blocked, since when, on what, and whether anything can still wake them";

/// What it does to the programs that it watches.
pub const HARMLESS: &str =
    "No program is stopped, changed or restarted. Without --pid the whole machine is watched.";

/// The same at more length.
pub const DESCRIPTION: &str = "leakprobe looks at running, unmodified programs from outside and \
reports which of their threads are blocked, since when, in which function, on what, who should \
wake them, and whether anything still can. No program is stopped, changed or restarted. Without \
--pid the whole machine is watched. Root sees everything; without it leakprobe sees what the \
user's own access allows, and every report ends with what could not be seen.";

/// Commands with what each is good for.
pub const EXAMPLES: [(&str, &str); 6] = [
    ("sudo leakprobe --pid 1234", "what is stuck in this process, now"),
    ("sudo leakprobe", "what is stuck on this machine"),
    ("sudo leakprobe --pid 1234 --duration 5m --record run.lpr", "watch for a while, keep it"),
    ("leakprobe replay run.lpr --flamegraph out.svg", "look again, anywhere, without root"),
    ("sudo leakprobe --pid 1234 --json | jq .sites[0]", "the worst site, for programs"),
    ("sudo leakprobe --name worker --older 10m --fail-on stuck", "for CI and alerts: exit code"),
];

/// Variables that are heeded.
pub const ENVIRONMENT: [(&str, &str); 1] =
    [("NO_COLOR", "if set and not empty, nothing is coloured")];

/// Examples and exit codes.
pub fn after() -> String {
    let mut text = format!("{HARMLESS}\n\nExamples:\n");
    for (command, what) in EXAMPLES {
        let _ = writeln!(text, "  {command}\n      {what}");
    }
    text.push_str("\nExit codes:\n");
    for (code, meaning) in exit::MEANINGS {
        let _ = writeln!(text, "  {code}  {meaning}");
    }
    text.push_str("\nTimes: 500ms, 10s, 2m, 1h30m; a bare number is seconds.");
    text
}

/// How to use a recording.
pub fn replay() -> &'static str {
    "The report is that of the recorded run: same sites, same ages, same verdicts."
}

/// Where completions belong.
pub fn completions() -> &'static str {
    "Where they belong:
  bash  leakprobe completions bash > ~/.local/share/bash-completion/completions/leakprobe
  zsh   leakprobe completions zsh > \"${fpath[1]}/_leakprobe\"
  fish  leakprobe completions fish > ~/.config/fish/completions/leakprobe.fish"
}
