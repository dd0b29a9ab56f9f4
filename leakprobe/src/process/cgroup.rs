//! The cgroup of a process.

/// Path of a process's cgroup: in the unified hierarchy, else in the first of the others.
pub fn cgroup_path(pid: u32) -> Option<String> {
    parse(&String::from_utf8_lossy(&std::fs::read(format!("/proc/{pid}/cgroup")).ok()?))
}

/// Lines of `hierarchy:controllers:path` (cgroups(7)); hierarchy 0 is the unified one.
fn parse(text: &str) -> Option<String> {
    let path = |line: &str| line.splitn(3, ':').nth(2).map(str::to_owned);
    let unified = text.lines().find(|line| line.starts_with("0::"));
    unified.or_else(|| text.lines().next()).and_then(path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_unified_hierarchy_comes_first() {
        // Check a hybrid machine, a v1 one, and a path with a colon.
        assert_eq!(parse("4:cpu:/a\n0::/b:c\n").as_deref(), Some("/b:c"));
        assert_eq!(parse("4:cpu,cpuacct:/a\n").as_deref(), Some("/a"));
        assert_eq!(parse(""), None);
    }
}
