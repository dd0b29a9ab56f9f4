//! Recorded runs, replayed: each folder here holds a recording and the report that it must give.
//!
//! `LEAKPROBE_UPDATE=1` writes the reports anew. Needs no root and no kernel: only what comes after
//! the snapshot is tested here, on what real programs looked like.

use std::{fs, path::Path, path::PathBuf, time::Duration};

use leakprobe::{
    export::text,
    report::Report,
    session::{self, Plan, Targets},
};

/// As `leakprobe replay FILE` asks for it.
fn plan() -> Plan {
    Plan {
        targets: Targets::Machine,
        name: None,
        duration: Some(Duration::ZERO),
        interval: Duration::from_secs(2),
        older: None,
        min_wait: Duration::ZERO,
        kernel_stacks: true,
        all_waiters: false,
        record: None,
        verbose: false,
        fail_on: None,
    }
}

fn cases() -> Vec<PathBuf> {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("replay");
    let entries = fs::read_dir(here).expect("the folder of this test");
    let mut cases: Vec<PathBuf> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    cases.sort();
    cases
}

fn replay(case: &Path) -> Report {
    session::replay(&case.join("recording.lpr"), &plan())
        .unwrap_or_else(|error| panic!("{}: {error}", case.display()))
}

#[test]
fn reports_are_as_they_were() {
    // Check each recording against its report, to the letter.
    let cases = cases();
    assert!(!cases.is_empty());
    for case in cases {
        let report = replay(&case);
        let said = text::body(&report, false) + &text::last_line(&report);
        let golden = case.join("report.txt");
        if std::env::var_os("LEAKPROBE_UPDATE").is_some() {
            fs::write(&golden, &said).expect("a writable checkout");
        }
        let expected = fs::read_to_string(&golden).expect("the case's report");
        assert_eq!(said, expected, "{} (LEAKPROBE_UPDATE=1 accepts it)", case.display());
    }
}

#[test]
fn healthy_servers_leak_nothing() {
    // Check that no recorded server at rest has a thread that is called leaked, and that each wait
    // has a reason and a place on its stack.
    for case in cases() {
        let report = replay(&case);
        for site in &report.sites {
            assert_ne!(site.verdict.as_str(), "leaked", "{}: {site:?}", case.display());
            assert!(!site.reason.is_empty() && site.reason != "unknown", "{site:?}");
            assert!(!site.stack.is_empty(), "{site:?}");
        }
    }
}
