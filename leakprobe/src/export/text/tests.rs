use super::*;
use crate::{
    report::sample::{Sample, deadlock},
    snapshot::Cause,
};

/// Compares with a file beside this one; LEAKPROBE_UPDATE=1 rewrites it.
fn golden(name: &str, text: &str) {
    let path = format!("{}/src/export/text/golden/{name}.txt", env!("CARGO_MANIFEST_DIR"));
    if std::env::var_os("LEAKPROBE_UPDATE").is_some() {
        std::fs::write(&path, text).unwrap();
    }
    let expected = std::fs::read_to_string(&path).unwrap();
    assert!(expected == text, "{path} differs; this was printed:\n{text}");
}

#[test]
fn a_deadlock() {
    // Check the whole page of a typical report, without and with colour.
    let report = deadlock().report();
    golden("deadlock", &format!("{}\n{}\n", body(&report, false), last_line(&report)));
    golden("deadlock_colour", &body(&report, true));
}

#[test]
fn several_processes_and_hard_cases() {
    // Check long names, stacks that were cut or have no frame of the program's own, several
    // objects, kernel frames, waits that come back, and hostile names.
    golden("hard_cases", &{
        let report = hard_cases().report();
        format!("{}\n{}\n", body(&report, false), last_line(&report))
    });
}

fn hard_cases() -> Sample {
    use crate::{snapshot::*, stack::Names};
    let mut s = Sample::new();
    let long = format!("server::pool::{}::take_from_the_queue_of_connections", "Conn".repeat(20));
    let a = s.process(11, "server", "/srv/server");
    let b = s.process(12, "server", "/srv/server");
    let evil = s.process(13, "ev\u{1b}[2Jil", "/tmp/\u{202e}x");
    let at = s.stack(&[
        "libc.so.6!pthread_cond_timedwait",
        &format!("/srv/server!{long}|pool.rs:9"),
        "<cut>",
    ]);
    for (n, p) in [(0, a), (1, b), (2, b)] {
        let o =
            s.object(p, ObjectKind::Mutex, 0x1000 + n, Owner::NotRecorded { why: "w".to_owned() });
        s.thread(p, 20 + n, "pthread_cond_timedwait", at, &[o], 500).at_site_ns = 90_000_000_000;
        let row = s.snapshot.rows.last_mut().unwrap();
        row.notes.push("this lock records no owner".to_owned());
        row.labels.insert("pool".to_owned(), "io".to_owned());
    }
    let none = s.stack(&["libc.so.6+1f", "libc.so.6!start_thread"]);
    s.thread(evil, 31, "re\nad", none, &[], 7_200_000).age_ns.1 = Some(9_000_000_000_000);
    s.snapshot
        .stacks
        .push(Stack { frames: vec![Frame::Kernel(0xffff_ffff_8100_0000), Frame::Kernel(1)] });
    let kernel = StackIx(s.snapshot.stacks.len() as u32 - 1);
    s.snapshot.rows.last_mut().unwrap().kernel_stack = Some(kernel);
    assert!(s.names.in_kernel(1).is_none());
    s.snapshot.health.add(Cause::ProcessesDenied, 3);
    s.snapshot.health.add(Cause::StackTruncated, 1);
    s.snapshot.health.note("something that a count can't say.");
    s
}

#[test]
fn lines_keep_their_width() {
    // Check that but for the first line nothing is longer than 100 columns unless a single name is.
    for mut sample in [deadlock(), hard_cases()] {
        for line in body(&sample.report(), false).lines().skip(1) {
            let width = line.chars().count();
            assert!(width <= 100 || line.contains("ConnConnConn"), "{width}: {line}");
        }
    }
}

#[test]
fn unremarkable_places_are_cut_short() {
    // Check that a machine's hundreds of ordinary waits don't bury the rest, and are counted.
    let mut s = Sample::new();
    let p = s.process(1, "x", "/srv/x");
    for n in 0..100 {
        let at = s.stack(&["libc.so.6!read", &format!("/srv/x!f{n}")]);
        s.thread(p, n, "read", at, &[], 2_000);
        if n < 50 {
            s.judgement.rows.last_mut().unwrap().verdict = Verdict::Stuck;
        }
    }
    let text = body(&s.report(), false);
    assert_eq!(text.matches("  stuck  ").count(), 50);
    assert_eq!(text.matches("  waiting  ").count(), 40);
    assert!(text.ends_with("and 10 more places with 10 waiters (--json lists all)\n"));
}

#[test]
fn the_last_line() {
    // Check that every cause has a sentence of its own and that nothing missed is said so.
    let mut s = Sample::new();
    assert_eq!(last_line(&s.report()), "not seen: nothing");
    let mut seen = std::collections::BTreeSet::new();
    for cause in [
        Cause::NoTaskIterator,
        Cause::ProcessesDenied,
        Cause::ProcessGone,
        Cause::ProcessTimedOut,
        Cause::Compat32,
        Cause::ThreadMoved,
        Cause::StackTruncated,
        Cause::MemoryUnreadable,
        Cause::ModuleUnavailable,
        Cause::LimitReached,
        Cause::ClockUncalibrated,
        Cause::UnknownRecord,
    ] {
        s.snapshot.health.counts = [(cause, 2)].into();
        let line = last_line(&s.report());
        assert!(!line.contains('×'), "{line}");
        assert!(seen.insert(line));
    }
    s.snapshot.health.counts = [(Cause::ProcessGone, 1)].into();
    s.snapshot.health.note("a\u{1b}b.");
    assert_eq!(last_line(&s.report()), "not seen: 1 process that ended meanwhile; a\\x1bb");
}

#[test]
fn the_second_look() {
    // Check what is said when all still wait, when some ended, and when the verdict changed.
    let first = deadlock().report();
    let mut again = deadlock();
    again.judgement.watched_ns = 2_000_000_000;
    assert_eq!(
        confirmation(&first, &again.report()),
        "confirmed 2.0 s later: all 29 still wait; the 3 leaked are confirmed"
    );
    again.judgement.finished = 3;
    again.judgement.rows.drain(..2);
    assert_eq!(
        confirmation(&first, &again.report()),
        "2.0 s later: 26 of 29 still wait, 3 ended, 1 new; the 3 leaked are confirmed"
    );
    again.judgement.rows.truncate(1);
    again.judgement.finished = 27;
    again.judgement.cycles.clear();
    let line = confirmation(&first, &again.report());
    assert!(
        line.starts_with(
            "2.0 s later: 2 of 29 still wait, 27 ended; leaked: 0 (at first 3). Now: no thread is"
        ),
        "{line}"
    );
}

proptest::proptest! {
    #[test]
    fn nothing_hostile_is_printed(name in "[\\PC\\x00-\\x1f\u{202a}-\u{202e}]{1,30}") {
        // Check that whatever the target calls itself, no control character is printed.
        let mut s = deadlock();
        s.snapshot.processes[0].name = name.clone();
        s.snapshot.processes[0].exe = Some(name.clone());
        s.snapshot.processes[0].cgroup = Some(name.clone());
        for row in &mut s.snapshot.rows {
            row.name = name.clone();
            row.reason = name.clone();
            row.notes.push(name.clone());
            row.labels.insert(name.clone(), name.clone());
        }
        for object in &mut s.snapshot.objects {
            object.detail.insert("target".to_owned(), name.clone());
        }
        s.names.named.values_mut().flatten().for_each(|named| named.function = name.clone());
        let report = s.report();
        let text = body(&report, false) + &last_line(&report) + &confirmation(&report, &report);
        assert!(text.chars().all(|c| c == '\n' || !c.is_control()));
        assert!(!text.contains('\u{202e}'));
    }
}
