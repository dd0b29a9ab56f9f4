//! What a workload says of its own waits.

use anyhow::{Context, Result};
use serde::Deserialize;

/// One wait, in the words of the workload: ids of its own PID namespace, `CLOCK_MONOTONIC` ns.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub struct Wait {
    /// Kind of wait: row of the table of expectations.
    pub role: String,
    /// Who waits.
    pub tid: u32,
    /// Stamped just before the blocking call.
    pub began_ns: u64,
    /// The program's own functions, innermost first, separated by commas; a last `*` stands for
    /// those that are left out.
    stack: String,
    /// Whether it is a leak that can be proved; `None`: both answers are right.
    pub leaked: Option<bool>,
    /// Thread name, where the workload set one.
    pub name: Option<String>,
    /// Address of what it waits on.
    pub object: Option<u64>,
    /// Size of what stands at `object`, in bytes.
    #[serde(default)]
    pub size: u64,
    /// Descriptor that it waits on.
    pub fd: Option<u32>,
    /// Thread that holds what it waits on.
    pub owner: Option<u32>,
    /// No thread that shares the workload's memory has the owner's tid any more.
    #[serde(default)]
    pub owner_gone: bool,
}

impl Wait {
    /// The program's own functions on the stack, innermost first.
    pub fn functions(&self) -> impl Iterator<Item = &str> {
        self.stack.split(',').filter(|name| *name != "*")
    }

    /// The function that its thread began with.
    pub fn entry(&self) -> Option<&str> {
        self.stack.rsplit(',').next().filter(|name| *name != "*")
    }

    /// The innermost of them: where in the program it waits.
    pub fn function(&self) -> &str {
        self.functions().next().unwrap_or_default()
    }
}

/// All that a workload says before it is ready.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Truth {
    /// Its waits.
    pub waits: Vec<Wait>,
    /// Its process id, in its own PID namespace.
    pub pid: u32,
}

/// The last line.
#[derive(Deserialize)]
struct Ready {
    ready: u32,
}

impl Truth {
    /// Takes one line in; `true` once it was the last.
    pub(crate) fn add_line(&mut self, line: &str) -> Result<bool> {
        if let Ok(Ready { ready }) = serde_json::from_str(line) {
            self.pid = ready;
            return Ok(true);
        }
        let wait = serde_json::from_str(line)
            .with_context(|| format!("the workload said {line:?}, which is no wait"))?;
        self.waits.push(wait);
        Ok(false)
    }

    /// Reads what a workload printed.
    ///
    /// # Errors
    ///
    /// A line is neither a wait nor the last.
    pub fn parse(text: &str) -> Result<Self> {
        let mut truth = Truth::default();
        for line in text.lines() {
            truth.add_line(line)?;
        }
        Ok(truth)
    }

    /// When the youngest wait began, `CLOCK_MONOTONIC` ns.
    pub fn newest_ns(&self) -> u64 {
        self.waits.iter().map(|w| w.began_ns).max().unwrap_or(0)
    }

    /// The waits in this role.
    pub fn in_role(&self, role: &str) -> impl Iterator<Item = &Wait> {
        self.waits.iter().filter(move |w| w.role == role)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    // Check that waits are taken in with what is optional left out, and that the last line ends.
    #[test]
    fn lines_become_waits() -> Result<()> {
        let mut truth = Truth::default();
        let first = r#"{"role":"pipe","tid":7,"began_ns":5,"stack":"a,b","leaked":null,"fd":3}"#;
        assert!(!truth.add_line(first)?);
        assert!(truth.add_line(r#"{"ready":6}"#)?);
        assert_eq!(truth.pid, 6);
        let wait = &truth.waits[0];
        assert_eq!((wait.function(), wait.leaked, wait.fd), ("a", None, Some(3)));
        assert_eq!(wait.functions().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(wait.entry(), Some("b"));
        assert!(truth.add_line("hello").is_err());
        Ok(())
    }
}
