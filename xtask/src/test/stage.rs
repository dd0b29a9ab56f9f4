//! Runs one `cargo test`: shows its output, adds it up, and kills it where it hangs.

use std::{
    collections::HashMap,
    fs,
    io::{BufRead, BufReader, Read},
    process::{Command, Stdio},
    sync::mpsc::{RecvTimeoutError, Sender, channel},
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context, Result};

use super::tally::Tally;

/// Runs `command`. A command that fails without a failed test (it did not compile, it hung, it
/// crashed) counts as one failure.
pub fn run(command: &mut Command, deadline: Duration) -> Result<Tally> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .context("cargo does not start")?;
    let (sender, lines) = channel();
    read_lines(child.stdout.take(), sender.clone());
    read_lines(child.stderr.take(), sender);

    let mut tally = Tally::default();
    let end = Instant::now() + deadline;
    let mut hung = false;
    loop {
        match lines.recv_timeout(Duration::from_millis(500)) {
            Ok(line) => {
                println!("{line}");
                tally.line(&line);
            }
            Err(RecvTimeoutError::Disconnected) => break,
            // It has ended, but something that it left behind keeps the pipe open.
            Err(RecvTimeoutError::Timeout) if child.try_wait()?.is_some() => break,
            Err(RecvTimeoutError::Timeout) => {}
        }
        if Instant::now() > end {
            hung = true;
            kill_tree(child.id())?;
            break;
        }
    }
    let status = child.wait()?;
    if hung {
        tally.fail(&format!("killed after {} s", deadline.as_secs()));
    } else if !status.success() && tally.failed == 0 {
        tally.fail(&format!("cargo test: {status}"));
    }
    Ok(tally)
}

/// Sends a pipe's lines until it is closed.
fn read_lines(pipe: Option<impl Read + Send + 'static>, sender: Sender<String>) {
    let Some(pipe) = pipe else { return };
    thread::spawn(move || {
        for line in BufReader::new(pipe).split(b'\n').map_while(Result::ok) {
            let line = String::from_utf8_lossy(&line).into_owned();
            if sender.send(line).is_err() {
                break;
            }
        }
    });
}

/// Kills a process and all that it has started: test programs start programs in turn.
fn kill_tree(root: u32) -> Result<()> {
    let mut children: HashMap<u32, Vec<u32>> = HashMap::new();
    for entry in fs::read_dir("/proc")?.filter_map(Result::ok) {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else {
            continue;
        };
        let stat = fs::read_to_string(entry.path().join("stat")).unwrap_or_default();
        let parent =
            stat.rsplit_once(") ").and_then(|(_, rest)| rest.split(' ').nth(1)?.parse().ok());
        if let Some(parent) = parent {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut doomed = vec![root];
    let mut next = 0;
    while let Some(pid) = doomed.get(next) {
        doomed.extend(children.remove(pid).unwrap_or_default());
        next += 1;
    }
    Command::new("kill")
        .arg("-KILL")
        .args(doomed.iter().map(u32::to_string))
        .stderr(Stdio::null())
        .status()
        .context("the hung tests can't be killed")?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that a command that hangs is killed with what it has started, and counts as failed.
    #[test]
    fn hangs() {
        let began = Instant::now();
        let mut shell = Command::new("sh");
        shell.args(["-c", "echo 'test result: ok. 3 passed'; sleep 60 & sleep 60"]);
        let tally = run(&mut shell, Duration::from_millis(300)).unwrap();
        assert!(began.elapsed() < Duration::from_secs(20));
        assert_eq!(tally.to_string(), "3 passed, 1 failed, 0 skipped");
    }

    /// Check that a command that fails before any test has failed counts as failed, and that what a
    /// test says on standard error of its skip is heard.
    #[test]
    fn fails_and_skips() {
        let mut shell = Command::new("sh");
        shell.args([
            "-c",
            "echo 'SKIPPED live: no root' >&2; echo 'test result: ok. 0 passed; 0 failed; 1 ignored'; exit 101",
        ]);
        let tally = run(&mut shell, Duration::from_secs(20)).unwrap();
        assert_eq!(tally.to_string(), "0 passed, 1 failed, 1 skipped");
        assert_eq!(tally.skips["live"], "no root");
    }
}
