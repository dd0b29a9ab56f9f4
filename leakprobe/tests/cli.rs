//! The command as its users meet it, as far as that needs no root: messages, exit codes, files.

use std::{
    fs::{self, File},
    io::{BufRead, BufReader, Read},
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    thread,
    time::{Duration, Instant},
};

/// Longest that any of these commands may take on a loaded machine.
const DEADLINE: Duration = Duration::from_secs(60);

/// Process ids are below the kernel's PID_MAX_LIMIT (include/linux/threads.h: 4 Mi).
const NO_PID: &str = "4194304";

fn leakprobe(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_leakprobe"));
    command
        .args(args)
        .env_remove("COLUMNS")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped());
    command
}

struct Ran {
    code: Option<i32>,
    stdout: String,
    stderr: String,
}

fn run(args: &[&str]) -> Ran {
    ended(leakprobe(args).spawn().expect("start leakprobe"))
}

/// Waits for its end and takes what is still in its pipes.
fn ended(mut child: Child) -> Ran {
    let stdout = child.stdout.take().map(drain);
    let stderr = child.stderr.take().map(drain);
    let status = wait(&mut child);
    let text = |drained: Option<thread::JoinHandle<String>>| {
        drained.map_or_else(String::new, |thread| thread.join().expect("drain"))
    };
    Ran { code: status.code(), stdout: text(stdout), stderr: text(stderr) }
}

fn drain(mut pipe: impl Read + Send + 'static) -> thread::JoinHandle<String> {
    thread::spawn(move || {
        let mut text = String::new();
        pipe.read_to_string(&mut text).expect("read a pipe");
        text
    })
}

fn wait(child: &mut Child) -> ExitStatus {
    let deadline = Instant::now() + DEADLINE;
    loop {
        if let Some(status) = child.try_wait().expect("wait") {
            return status;
        }
        if Instant::now() > deadline {
            let _ = child.kill();
            panic!("leakprobe did not end within {DEADLINE:?}");
        }
        thread::sleep(Duration::from_millis(5));
    }
}

/// A process of one's own that waits, ended with the test.
struct Sleeper(Child);

impl Sleeper {
    fn start() -> Sleeper {
        let sleep = Command::new("sleep").arg("600").spawn();
        Sleeper(sleep.expect("start sleep"))
    }

    fn pid(&self) -> String {
        self.0.id().to_string()
    }
}

impl Drop for Sleeper {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn terminate(child: &Child) {
    let pid = libc::pid_t::try_from(child.id()).expect("a pid");
    // SAFETY: kill(2) takes two integers; the child is not yet waited for, so the pid is its own.
    assert_eq!(unsafe { libc::kill(pid, libc::SIGTERM) }, 0);
}

/// Compares with a file in tests/cli; with UPDATE_GOLDEN set it is written instead.
fn golden(name: &str, actual: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cli").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, actual).expect("write a golden file");
    }
    let expected = fs::read_to_string(&path).expect("a golden file; UPDATE_GOLDEN=1 writes it");
    assert_eq!(actual, expected, "{name}: UPDATE_GOLDEN=1 takes it over");
}

#[test]
fn help() {
    // Check that the help texts are what was last looked at, and that asking for them is no error.
    for (args, name) in [
        (&["--help"][..], "help.txt"),
        (&["replay", "--help"], "replay-help.txt"),
        (&["doctor", "--help"], "doctor-help.txt"),
        (&["completions", "--help"], "completions-help.txt"),
    ] {
        let ran = run(args);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}");
        golden(name, &ran.stdout);
        let mut short = args.to_vec();
        short.pop();
        short.push("-h");
        assert_eq!(run(&short).stdout, ran.stdout, "-h says the same");
    }
    assert!(run(&["--version"]).stdout.starts_with("leakprobe "));
}

#[test]
fn usage_errors() {
    // Check that wrong usage ends in code 2, with the way out on stderr and nothing on stdout.
    for (args, part) in [
        (&["--pid", "0"][..], "leave --pid out"),
        (&["--pid", "nginx"], "pgrep"),
        (&["--duration", "soon"], "10s, 2m or 1h30m"),
        (&["--watch", "--duration", "1s"], "cannot be used with"),
        (&["--fail-on", "awful"], "leaked"),
        (&["1234"], "leakprobe --pid 1234"),
        (&["replay"], "<FILE>"),
    ] {
        let ran = run(args);
        assert_eq!(ran.code, Some(2), "{args:?}");
        assert_eq!(ran.stdout, "", "{args:?}");
        assert!(ran.stderr.contains(part), "{args:?}: {}", ran.stderr);
    }
}

#[test]
fn no_such_process() {
    // Check that a pid that is nowhere ends in code 4 and is named.
    let ran = run(&["--pid", NO_PID, "--duration", "0"]);
    assert_eq!(ran.code, Some(4), "{}", ran.stderr);
    assert!(ran.stderr.contains(NO_PID), "{}", ran.stderr);
    assert_eq!(ran.stdout, "");
}

#[test]
fn outputs_are_tried_first() {
    // Check that each output that can't be written ends the run before it begins: code 2, and not the
    // 4 of the absent process. Nobody, not even root, can create files in /proc.
    let dir = tempfile::tempdir().expect("a directory");
    let missing = dir.path().join("missing/out");
    let missing = missing.to_str().expect("UTF-8");
    let json = format!("--json={missing}");
    for (args, part) in [
        (&["--json=/proc/out"][..], "another directory"),
        (&["--folded", "/proc/out"], "another directory"),
        (&["--flamegraph", "/proc/out"], "another directory"),
        (&["--record", "/proc/out"], "another directory"),
        (&["--flamegraph", "/"], "is a directory"),
        (&[&json], "create it"),
    ] {
        let ran = run(&[args, &["--pid", NO_PID]].concat());
        assert_eq!(ran.code, Some(2), "{args:?}: {}", ran.stderr);
        assert!(ran.stderr.contains(part), "{args:?}: {}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
}

#[test]
fn unreadable_recordings() {
    // Check that recordings that are missing, foreign, empty or cut off end in code 2 and are named, and
    // that an output named along with them is left as it was.
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    fs::write(path("foreign"), b"\x7fELF\x02\x01\x01\0\0\0\0\0").expect("write");
    fs::write(path("empty"), b"").expect("write");
    fs::write(path("gzip"), b"\x1f\x8b\x08\0\0\0\0\0\0\x03").expect("write");
    fs::write(path("old.json"), "old").expect("write");
    let json = format!("--json={}", path("old.json"));
    for name in ["missing", "foreign", "empty", "gzip", "."] {
        let file = path(name);
        let ran = run(&["replay", &file, &json]);
        assert_eq!(ran.code, Some(2), "{name}: {}", ran.stderr);
        assert!(ran.stderr.contains(name), "{name}: {}", ran.stderr);
        assert!(!ran.stderr.contains("panicked"), "{name}: {}", ran.stderr);
        assert_eq!(ran.stdout, "");
    }
    assert_eq!(fs::read_to_string(path("old.json")).expect("read"), "old");
}

#[test]
fn json_is_one_document() {
    // Check that --json puts one JSON document and nothing else on the standard output.
    let sleeper = Sleeper::start();
    let ran = run(&["--pid", &sleeper.pid(), "--duration", "0", "--json"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    let report: serde_json::Value = serde_json::from_str(&ran.stdout).expect("JSON");
    assert_eq!(report["schema"], "leakprobe.report/1");
    assert_eq!(ran.stderr, "", "no progress line without a terminal");
}

#[test]
fn files_and_text() {
    // Check that named files are written whole while the text goes to the standard output.
    let sleeper = Sleeper::start();
    let dir = tempfile::tempdir().expect("a directory");
    let path = |name: &str| dir.path().join(name).to_str().expect("UTF-8").to_owned();
    let ran = run(&[
        "--pid",
        &sleeper.pid(),
        "--duration",
        "0",
        "--min-wait",
        "0",
        &format!("--json={}", path("out.json")),
        "--folded",
        &path("out.txt"),
        "--flamegraph",
        &path("out.svg"),
    ]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(!ran.stdout.is_empty());
    assert!(!ran.stdout.contains('\x1b'), "no colour without a terminal");
    let json = fs::read(path("out.json")).expect("the JSON file");
    serde_json::from_slice::<serde_json::Value>(&json).expect("JSON");
    let svg = fs::read_to_string(path("out.svg")).expect("the SVG file");
    assert!(svg.contains("</svg>"));
    assert!(Path::new(&path("out.txt")).exists());
    assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 3);
}

#[test]
fn reports_again_at_the_end() {
    // Check that a run that goes on answers at once and again when it ends, a single look only once.
    let sleeper = Sleeper::start();
    let args = ["--pid", &sleeper.pid(), "--interval", "200ms", "--duration"];
    let again = |stdout: &str| stdout.lines().filter(|l| l.starts_with("After ")).count();
    let longer = run(&[&args[..], &["1s"]].concat());
    assert_eq!((longer.code, again(&longer.stdout)), (Some(0), 1));
    let single = run(&[&args[..], &["0"]].concat());
    assert_eq!((single.code, again(&single.stdout)), (Some(0), 0));
}

#[test]
fn termination_still_reports() {
    // Check that a run without end reports when it is told to end, to the screen and to its file.
    let sleeper = Sleeper::start();
    let dir = tempfile::tempdir().expect("a directory");
    let file = dir.path().join("out.json");
    let json = format!("--json={}", file.display());
    let mut child =
        leakprobe(&["--pid", &sleeper.pid(), "--watch", &json]).spawn().expect("start leakprobe");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut first = String::new();
    stdout.read_line(&mut first).expect("the first answer");
    assert!(!first.is_empty(), "the first answer comes at once");
    assert!(!file.exists(), "nothing half written");
    terminate(&child);
    let rest = drain(stdout);
    let ran = ended(child);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(!rest.join().expect("drain").is_empty(), "the last line");
    let report: serde_json::Value =
        serde_json::from_slice(&fs::read(&file).expect("the JSON file")).expect("JSON");
    assert_eq!(report["schema"], "leakprobe.report/1");
    assert_eq!(fs::read_dir(dir.path()).expect("list").count(), 1);
}

#[test]
fn reader_that_leaves() {
    // Check that a reader that goes away ends even a run without end, quietly.
    let sleeper = Sleeper::start();
    let pid = sleeper.pid();
    for args in [
        &["--pid", &pid, "--watch"][..],
        &["--pid", &pid, "--duration", "0", "--json"],
        &["completions", "bash"],
        &["man"],
    ] {
        let mut child = leakprobe(args).spawn().expect("start leakprobe");
        drop(child.stdout.take());
        let ran = ended(child);
        assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""), "{args:?}");
    }
}

#[test]
fn reader_that_leaves_later() {
    // Check the same for a reader that took the first line, when there may be no more to write.
    let sleeper = Sleeper::start();
    let pid = sleeper.pid();
    let args = ["--pid", &pid, "--watch", "--interval", "100ms"];
    let mut child = leakprobe(&args).spawn().expect("start leakprobe");
    let mut stdout = BufReader::new(child.stdout.take().expect("a pipe"));
    let mut line = String::new();
    stdout.read_line(&mut line).expect("the first line");
    drop(stdout);
    let ran = ended(child);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
}

#[test]
fn full_disk() {
    // Check that a full disk is told, ends in code 2 and leaves the text on the standard output.
    let sleeper = Sleeper::start();
    let args = ["--pid", &sleeper.pid(), "--duration", "0"];
    let ran = run(&[&args[..], &["--json=/dev/full"]].concat());
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("/dev/full"), "{}", ran.stderr);
    assert!(!ran.stdout.is_empty());

    let full = File::options().write(true).open("/dev/full").expect("open");
    let child = leakprobe(&args).stdout(full).spawn();
    let ran = ended(child.expect("start leakprobe"));
    assert_eq!(ran.code, Some(2));
    assert!(ran.stderr.contains("standard output"), "{}", ran.stderr);
}

#[test]
fn completions() {
    // Check that each shell's script knows the options, and that bash can read its own.
    for shell in ["bash", "zsh", "fish"] {
        let ran = run(&["completions", shell]);
        assert_eq!(ran.code, Some(0), "{shell}");
        assert!(ran.stdout.contains("flamegraph-width"), "{shell}");
    }
    let dir = tempfile::tempdir().expect("a directory");
    let script = dir.path().join("leakprobe.bash");
    fs::write(&script, run(&["completions", "bash"]).stdout).expect("write");
    let bash = Command::new("bash").arg("-n").arg(&script).status();
    assert!(bash.expect("start bash").success());
    assert_eq!(run(&["completions", "tcsh"]).code, Some(2));
}

#[test]
fn man_page() {
    // Check that the page has what man-pages(7) asks for, in its order, and every command.
    let ran = run(&["man"]);
    assert_eq!((ran.code, ran.stderr.as_str()), (Some(0), ""));
    let mut rest = ran.stdout.as_str();
    for heading in [
        ".TH leakprobe 1",
        ".SH NAME",
        ".SH SYNOPSIS",
        ".SH DESCRIPTION",
        ".SH OPTIONS",
        ".SH COMMANDS",
        ".SH \"EXIT STATUS\"",
        ".SH ENVIRONMENT",
        ".SH EXAMPLES",
    ] {
        let at = rest.find(heading).unwrap_or_else(|| {
            panic!("{heading} is missing or out of order:\n{}", ran.stdout);
        });
        rest = &rest[at..];
    }
    for command in ["replay", "doctor", "completions", "man"] {
        assert!(ran.stdout.contains(&format!("leakprobe {command}")));
    }
}

#[test]
fn doctor() {
    // Check that doctor answers for people and for programs, and has a remedy for all that is missing.
    let ran = run(&["doctor"]);
    assert_eq!(ran.code, Some(0), "{}", ran.stderr);
    assert!(!ran.stdout.is_empty());
    let json = run(&["doctor", "--json"]);
    assert_eq!(json.code, Some(0), "{}", json.stderr);
    let answer: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(answer["schema"], "leakprobe.doctor/1");
    for row in answer["abilities"].as_array().expect("abilities") {
        let missing = row["works"] != true;
        let silent = row["remedy"].as_str().is_none_or(str::is_empty);
        assert!(!(missing && silent), "what to do about it? {row}");
    }
}
