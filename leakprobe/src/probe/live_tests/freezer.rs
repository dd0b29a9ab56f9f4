//! Tasks that the cgroup freezer holds.

use super::{TaskState, Watch, find, iterator, rungs, until};

/// A cgroup of its own, removed in the end.
struct Cgroup(std::path::PathBuf);

impl Cgroup {
    fn new() -> Option<Cgroup> {
        let name = format!("leakprobe-test-{}", std::process::id());
        let root = ["/sys/fs/cgroup", "/sys/fs/cgroup/unified"]
            .map(std::path::PathBuf::from)
            .into_iter()
            .find(|root| root.join("cgroup.controllers").exists())?;
        std::fs::create_dir(root.join(&name)).ok()?;
        let cgroup = Cgroup(root.join(&name));
        cgroup.0.join("cgroup.freeze").exists().then_some(cgroup)
    }

    fn write(&self, file: &str, value: &str) -> std::io::Result<()> {
        std::fs::write(self.0.join(file), value)
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        // Nothing is left in it: its process has been reaped.
        let _ = std::fs::remove_dir(&self.0);
    }
}

#[test]
fn the_freezer_is_not_a_wait() {
    // Check that a process that the cgroup freezer holds is frozen, not asleep, on both rungs.
    let cgroup = match Cgroup::new() {
        Some(cgroup) if iterator().is_some() => cgroup,
        _ => {
            eprintln!("skipped: no cgroup can be made here");
            return;
        }
    };
    let mut child = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let result = std::panic::catch_unwind(|| {
        cgroup.write("cgroup.procs", &child.id().to_string()).unwrap();
        let watch = Watch { pids: Some(vec![child.id()]), kernel_stacks: false };
        for mut source in rungs() {
            let mut wait_for = |state| {
                until(|| {
                    let pass = source.read(&watch).unwrap();
                    (find(&pass, child.id())?.state == state).then_some(())
                });
            };
            wait_for(TaskState::Sleeping);
            cgroup.write("cgroup.freeze", "1").unwrap();
            wait_for(TaskState::Frozen);
            cgroup.write("cgroup.freeze", "0").unwrap();
            wait_for(TaskState::Sleeping);
        }
    });
    child.kill().unwrap();
    child.wait().unwrap();
    result.unwrap();
}
