//! The comparison itself: it accepts a report that is right, and finds each thing that isn't.

use leakprobe::report::{
    Evidence, FrameEntry, Grade, HealthEntry, HolderEntry, ObjectEntry, Objects, Report,
    SinceEntry, Site, Verdict, Waiter,
};

use super::*;

const TRUTH: &str = r#"{"role":"abba","tid":2,"began_ns":1000000000,"stack":"lock_left,left_thread","leaked":true,"object":64,"size":40,"owner":3,"owner_gone":false}
{"role":"orphan","tid":4,"began_ns":2000000000,"stack":"wait_on_orphan,orphan_thread","leaked":true,"object":256,"size":40,"owner":9,"owner_gone":true}
{"role":"pipe","tid":3,"began_ns":3000000000,"stack":"wait_on_pipe,pipe_thread","leaked":false,"fd":5}
{"ready":1}"#;

const SIGHT: Sight =
    Sight { names: true, musl: false, owners: true, ages: Ages::Within(Duration::from_millis(50)) };

fn target(truth: &Truth) -> Target<'_> {
    Target {
        truth,
        pid: 101,
        tids: (1..5).map(|tid| (tid, tid + 100)).collect(),
        clock_offset_ns: 0,
    }
}

fn frame(function: &str) -> FrameEntry {
    FrameEntry {
        function: function.into(),
        module: Some("/bin/waits".into()),
        file: Some("waits.c".into()),
        line: Some(1),
        inlined: false,
    }
}

fn site(reason: &str, tid: u32, age: f64, stack: &[&str], object: ObjectEntry) -> Site {
    Site {
        id: tid.to_string(),
        verdict: Verdict::Waiting,
        grade: None,
        kind: "thread".into(),
        count: 1,
        pids: vec![101],
        reason: reason.into(),
        program: "waits".into(),
        place: None,
        total_seconds: age,
        objects: Objects { distinct: 1, top: vec![object] },
        oldest_seconds: age,
        newest_seconds: age,
        since: SinceEntry::Exact,
        stack: stack.iter().map(|f| frame(f)).collect(),
        started_at: stack.last().map(|f| frame(f)),
        created_by: None,
        labels: Default::default(),
        evidence: Vec::new(),
        waiters: vec![Waiter {
            id: tid.to_string(),
            pid: 101,
            name: "waits".into(),
            age_seconds: age,
            age_max_seconds: None,
            at_site_seconds: age,
            objects: vec![0],
        }],
    }
}

fn object(kind: &str, address: &str, holder: Option<(&str, bool)>) -> ObjectEntry {
    let holder = holder.map(|(id, alive)| HolderEntry {
        kind: "thread".into(),
        id: id.into(),
        alive: Some(alive),
    });
    ObjectEntry {
        kind: kind.into(),
        address: address.into(),
        count: 1,
        detail: Default::default(),
        holders: holder.into_iter().collect(),
    }
}

fn leaked(mut site: Site) -> Site {
    site.verdict = Verdict::Leaked;
    site.grade = Some(Grade::Contract);
    site.evidence = vec![Evidence {
        rule: "owner_gone".into(),
        text: "its owner is gone".into(),
        values: Default::default(),
    }];
    site
}

/// Ten seconds after 1970.
fn right() -> Report {
    let lock = ["__lll_lock_wait", "lock_left", "left_thread"];
    let orphan = ["__lll_lock_wait", "wait_on_orphan", "orphan_thread"];
    let pipe = ["read", "wait_on_pipe", "pipe_thread"];
    Report {
        schema: leakprobe::report::SCHEMA.into(),
        tool: "leakprobe".into(),
        host: "here".into(),
        kernel: "6.18".into(),
        at: "1970-01-01T00:00:10Z".into(),
        watched_seconds: 0.0,
        answer: String::new(),
        finished_waits: 0,
        processes: Vec::new(),
        sites: vec![
            leaked(site(
                "pthread_mutex_lock",
                102,
                9.01,
                &lock,
                object("mutex", "0x40", Some(("103", true))),
            )),
            leaked(site(
                "pthread_mutex_lock",
                104,
                7.96,
                &orphan,
                object("mutex", "0x100", Some(("9", false))),
            )),
            site("read", 103, 7.0, &pipe, object("pipe", "fd 5", None)),
        ],
        health: HealthEntry::default(),
    }
}

/// What is found after `spoil` had its way with a report that was right.
fn found(spoil: impl FnOnce(&mut Report)) -> String {
    let truth = Truth::parse(TRUTH).expect("the truth is well-formed");
    let mut report = right();
    spoil(&mut report);
    match assert_truth(&report, &target(&truth), &SIGHT) {
        Ok(()) => String::new(),
        Err(error) => format!("{error:#}"),
    }
}

// Check that nothing is found in a report that is right.
#[test]
fn a_right_report_is_accepted() {
    assert_eq!(found(|_| ()), "");
}

// Check that each thing that can be wrong is found, and named.
#[test]
fn each_error_is_found() {
    type Spoil = fn(&mut Report);
    let cases: &[(Spoil, &str)] = &[
        (|r| drop(r.sites.remove(2)), "stands in 0 sites"),
        (|r| r.sites.push(r.sites[2].clone()), "stands in 2 sites"),
        (|r| r.sites[2].waiters[0].pid = 7, "stands in 0 sites"),
        (|r| r.sites[2].reason = "write".into(), "its reason is"),
        (|r| r.sites[2].stack[1] = frame("orphan_thread"), "said to wait in"),
        (|r| r.sites[2].stack.truncate(1), "no function of its own"),
        (|r| r.sites[2].stack.truncate(2), "pipe_thread is missing"),
        (|r| r.sites[2].stack[1].line = None, "file and line"),
        (|r| r.sites[2].started_at = None, "began in pipe_thread"),
        (|r| r.sites[2].objects.top[0].address = "fd 6".into(), "waits on pipe"),
        (|r| r.sites[0].objects.top[0].address = "0x68".into(), "waits on mutex"),
        (|r| r.sites[0].objects.top[0].kind = "futex".into(), "waits on mutex"),
        (|r| r.sites[0].waiters[0].objects.clear(), "waits on mutex"),
        (|r| r.sites[0].objects.top[0].holders[0].alive = None, "the holder is 103"),
        (|r| r.sites[0].objects.top[0].holders[0].id = "3".into(), "the holder is 103"),
        (|r| r.sites[1].objects.top[0].holders[0].alive = Some(true), "the holder is 9"),
        (|r| r.sites[1].waiters[0].age_seconds = 8.06, "s old"),
        (|r| r.sites[0].waiters[0].age_seconds = 8.94, "s old"),
        (|r| r.sites[1].verdict = Verdict::Waiting, "is leaked, not waiting"),
        (|r| r.sites[2] = leaked(r.sites[2].clone()), "is called leaked, and isn't"),
        (|r| r.sites[0].grade = Some(Grade::Exact), "its grade"),
        (|r| r.sites[0].evidence.clear(), "without evidence"),
        (|r| r.sites[0].count = 2, "its site has 2"),
        (
            |r| {
                let mut main_thread = r.sites[0].waiters[0].clone();
                main_thread.id = "101".into();
                r.sites[0].waiters.push(main_thread);
            },
            "thread 101 is not leaked",
        ),
    ];
    for (number, (spoil, message)) in cases.iter().enumerate() {
        let found = found(spoil);
        assert!(found.contains(message), "case {number}: {message:?} not in {found:?}");
    }
}

// Check that ranges must hold the truth, and must be called so.
#[test]
fn ranges_hold_the_truth() {
    let truth = Truth::parse(TRUTH).expect("the truth is well-formed");
    let sight = SIGHT.with_ranges();
    let mut report = right();
    for site in &mut report.sites {
        site.since = SinceEntry::Range;
        site.waiters[0].age_seconds = 0.0;
        site.waiters[0].age_max_seconds = Some(9.5);
    }
    let target = target(&truth);
    assert!(assert_truth(&report, &target, &sight).is_ok());
    report.sites[0].waiters[0].age_max_seconds = Some(8.5);
    assert!(assert_truth(&report, &target, &sight).is_err());
    report.sites[0].waiters[0].age_max_seconds = None;
    report.sites[0].since = SinceEntry::Exact;
    assert!(assert_truth(&report, &target, &sight).is_err());
}
