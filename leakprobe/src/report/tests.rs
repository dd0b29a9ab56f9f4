//! Reports of hand-made snapshots.

use super::{
    Verdict,
    sample::{Sample, deadlock, evidence, held_by},
};
use crate::snapshot::{Cause, Frame, ObjectKind, Owner, Row, StackIx};

#[test]
fn sites_merge_across_processes() {
    // Check that two processes of one program make one site although their addresses differ, that
    // another program with the same function names makes its own under the same id, and that no
    // address is named twice.
    let mut s = Sample::new();
    for (pid, exe) in [(1, "/srv/a"), (2, "/opt/a"), (3, "/srv/b")] {
        let p = s.process(pid, "x", exe);
        let frame = format!("{exe}!main|a.c:{}", pid * 10);
        let at = s.stack(&["libc.so.6!read", &frame]);
        let again = s.stack(&["libc.so.6!read", &frame]);
        s.thread(p, u64::from(pid), "read", at, &[], 5_000 + u64::from(pid));
        s.thread(p, u64::from(pid) + 10, "read", again, &[], 5_000);
    }
    let report = s.report();
    assert_eq!(report.sites.len(), 2);
    assert_eq!(report.sites[0].pids, [1, 2]);
    assert_eq!(report.sites[0].count, 4);
    assert_eq!(report.sites[0].oldest_seconds, 5.002);
    assert_eq!(report.sites[0].newest_seconds, 5.0);
    assert_eq!(report.sites[1].program, "b");
    assert_eq!(report.sites[0].id, report.sites[1].id);
    assert_eq!(
        report.sites[0].evidence,
        vec![{
            let mut lines = evidence("lines", "at a.c:10 (2), a.c:20 (2)");
            lines.values =
                [("a.c:10".to_owned(), 2.into()), ("a.c:20".to_owned(), 2.into())].into();
            lines
        }]
    );
    assert!(s.names.asked.values().all(|n| *n == 1), "{:?}", s.names.asked);
}

#[test]
fn verdicts_of_one_site_share_its_id() {
    // Check that waiters of one site with different verdicts are rows of their own, worst first.
    let mut s = Sample::new();
    let p = s.process(1, "x", "/srv/x");
    let at = s.stack(&["libc.so.6!pthread_mutex_lock", "/srv/x!take"]);
    for tid in 1..4 {
        s.thread(p, tid, "pthread_mutex_lock", at, &[], 2_000);
    }
    s.judgement.rows[2].leaked("owner_gone", "gone");
    s.judgement.rows[1].verdict = Verdict::Stuck;
    let report = s.report();
    let verdicts: Vec<Verdict> = report.sites.iter().map(|site| site.verdict).collect();
    assert_eq!(verdicts, [Verdict::Leaked, Verdict::Stuck, Verdict::Waiting]);
    assert!(report.sites.iter().all(|site| site.id == report.sites[0].id));
}

#[test]
fn the_id_forgets_what_a_release_changes() {
    // Check that lines, offsets, kernel frames, build ids, creation and symbol versions do not
    // change a site's id, and that another function does.
    let id = |frames: &[&str], change: fn(&mut Sample, &mut Row)| {
        let mut s = Sample::new();
        let p = s.process(1, "x", "/srv/x");
        let at = s.stack(frames);
        s.thread(p, 1, "read", at, &[], 1_000);
        let mut row = s.snapshot.rows.remove(0);
        change(&mut s, &mut row);
        s.snapshot.rows.push(row);
        s.report().sites[0].id.clone()
    };
    let same = |_: &mut Sample, _: &mut Row| {};
    let plain = id(&["libc.so.6!read", "/srv/x!take|x.c:1", "/srv/x+10"], same);
    assert_eq!(plain, id(&["libc.so.6!read@@V2", "/srv/x!take.part.0|x.c:7", "/srv/x+20"], same));
    assert_eq!(
        plain,
        id(&["libc.so.6!read", "/srv/x!take", "/srv/x+10"], |s, row| {
            s.snapshot.modules[0].build_id = None;
            s.snapshot.stacks.push(crate::snapshot::Stack {
                frames: vec![Frame::Kernel(0xffff_ffff_8100_0000)],
            });
            row.kernel_stack = Some(StackIx(1));
            row.origin.creation = Some(StackIx(1));
        })
    );
    assert_ne!(plain, id(&["libc.so.6!read", "/srv/x!give", "/srv/x+10"], same));
}

#[test]
fn ranking() {
    // Check that sites are ordered by verdict, then number, then age, and list their oldest 20.
    let mut s = Sample::new();
    let p = s.process(1, "x", "/srv/x");
    for (index, (count, age)) in [(1, 9_000), (30, 2_000), (1, 10_000)].into_iter().enumerate() {
        let at = s.stack(&["libc.so.6!read", &format!("/srv/x!f{index}")]);
        for tid in 0..count {
            s.thread(p, 100 * index as u64 + tid, "read", at, &[], age + tid);
        }
    }
    s.judgement.rows[0].verdict = Verdict::Stuck;
    let report = s.report();
    let places: Vec<_> =
        (report.sites.iter()).map(|site| site.place.as_ref().unwrap().function.as_str()).collect();
    assert_eq!(places, ["f0", "f1", "f2"]);
    assert_eq!(report.sites[1].waiters.len(), 20);
    assert_eq!(report.sites[1].waiters[0].id, "129");
    assert_eq!(report.sites[1].total_seconds, 60.435);
}

#[test]
fn objects_keep_their_indices() {
    // Check that the object with most waiters comes first and that each listed waiter's objects
    // are listed.
    let mut s = Sample::new();
    let p = s.process(1, "x", "/srv/x");
    let at = s.stack(&["libc.so.6!pthread_mutex_lock", "/srv/x!take"]);
    let mut last = None;
    for tid in 0..60 {
        let own = s.object(p, ObjectKind::Mutex, 0x1000 + tid, Owner::None);
        s.thread(p, tid, "pthread_mutex_lock", at, &[own], 2_000 + tid);
        last = Some(own);
    }
    s.thread(p, 99, "pthread_mutex_lock", at, &[last.unwrap()], 1_000);
    let report = s.report();
    let site = &report.sites[0];
    assert_eq!(site.objects.distinct, 60);
    assert_eq!(site.objects.top[0].address, "0x103b");
    assert_eq!(site.objects.top[0].count, 2);
    for waiter in &site.waiters {
        let object = &site.objects.top[waiter.objects[0] as usize];
        let tid: u64 = waiter.id.parse().unwrap();
        assert_eq!(object.address, format!("{:#x}", 0x1000 + tid));
    }
}

#[test]
fn starts_and_cuts() {
    // Check that a whole stack tells where the thread was started, and one that was cut does not.
    let mut s = Sample::new();
    let p = s.process(1, "x", "/srv/x");
    let end = ["/srv/x!work", "/srv/x!begin", "libc.so.6!start_thread"];
    let whole = s.stack(&["libc.so.6!read", end[0], end[1], end[2]]);
    let cut = s.stack(&["libc.so.6!read", end[0], "<cut>"]);
    s.thread(p, 1, "read", whole, &[], 2_000);
    s.thread(p, 2, "read", cut, &[], 1_000);
    let report = s.report();
    assert_eq!(report.sites[0].started_at.as_ref().unwrap().function, "begin");
    assert_eq!(report.sites[1].started_at, None);
    assert_eq!(report.sites[1].stack[2].function, "<no unwind information>");
}

#[test]
fn first_lines() {
    // Check the answer for each kind of outcome.
    let mut s = Sample::new();
    let p = s.process(1, "x", "/srv/x");
    assert_eq!(s.report().answer, "nothing has been blocked for longer than 1.0 s");
    s.snapshot.health.count(Cause::ProcessesDenied);
    assert_eq!(
        s.report().answer,
        "nothing that could be seen has been blocked for longer than 1.0 s"
    );

    let at = s.stack(&["libc.so.6!pthread_mutex_lock", "/srv/x!take|x.c:9"]);
    let mutex = s.object(p, ObjectKind::Mutex, 0x10, held_by(3, false));
    s.thread(p, 5, "pthread_mutex_lock", at, &[mutex], 192_400);
    assert_eq!(
        s.report().answer,
        "no thread is proved leaked; 1 waits, the longest for 3 m 12 s; the largest group: 1 in \
         pthread_mutex_lock from take (x.c:9)"
    );
    s.judgement.rows[0].verdict = Verdict::Stuck;
    assert_eq!(
        s.report().answer,
        "1 thread is stuck, the longest for 3 m 12 s; the largest group: 1 in pthread_mutex_lock \
         from take (x.c:9)"
    );
    s.judgement.rows[0].leaked("owner_gone", "gone");
    assert_eq!(
        s.report().answer,
        "1 thread can never wake: T5 waits for a mutex whose owner T3 is gone"
    );
    s.thread(p, 6, "pthread_mutex_lock", at, &[mutex], 2_000).leaked("owner_gone", "gone");
    assert_eq!(
        s.report().answer,
        "2 threads can never wake: 2 wait for a mutex whose owner T3 is gone"
    );
    assert_eq!(
        deadlock().report().answer,
        "3 threads can never wake: T4291 → mutex held by T4292 → mutex held by T4291; \
         T4290 waits for a mutex whose owner T4251 is gone"
    );
}

#[test]
fn cycles_of_any_length() {
    // Check how cycles of one and of many members are told, with who waits behind them.
    let ring = |n: u64, behind: u64| {
        let mut s = Sample::new();
        let p = s.process(1, "x", "/srv/x");
        let at = s.stack(&["libc.so.6!pthread_mutex_lock", "/srv/x!take"]);
        for tid in 0..n + behind {
            let next = held_by((tid + 1) % n, true);
            let mutex = s.object(p, ObjectKind::Mutex, 0x10 + tid, next);
            s.thread(p, tid, "pthread_mutex_lock", at, &[mutex], 2_000)
                .leaked("owner_cycle", "cycle");
        }
        s.judgement.cycles.push((0..n as usize).collect());
        s.report().answer
    };
    assert_eq!(ring(1, 0), "1 thread can never wake: T0 → mutex held by T0 itself");
    assert_eq!(
        ring(2, 3),
        "5 threads can never wake: T0 → mutex held by T1 → mutex held by T0; 3 wait behind them"
    );
    assert_eq!(
        ring(7, 0),
        "7 threads can never wake: T0 → mutex held by T1 → mutex held by T2 → mutex held by T3 \
         → … 3 more → mutex held by T0"
    );
}

#[test]
fn references_into_nowhere() {
    // Check that a judgement that points at rows, stacks and objects that are not there makes no
    // report panic.
    let mut s = deadlock();
    s.judgement.cycles.push(vec![9_999]);
    s.judgement.cycles.push(vec![]);
    s.judgement.rows[0].row = 9_999;
    s.snapshot.rows[1].stack = StackIx(9_999);
    s.snapshot.rows[2].waiter.process = crate::snapshot::ProcessIx(9_999);
    s.snapshot.modules.clear();
    s.snapshot.objects.truncate(1);
    assert!(!s.report().sites.is_empty());
}

#[test]
fn joins() {
    // Check that a join is told as waiting for a thread's end, in the answer and as evidence.
    let mut s = Sample::new();
    let p = s.process(1, "x", "/srv/x");
    let at = s.stack(&["libc.so.6!__pthread_clockjoin_ex", "/srv/x!finish|x.c:7"]);
    let lock = s.stack(&["libc.so.6!pthread_mutex_lock", "/srv/x!take|x.c:9"]);
    let thread = s.object(p, ObjectKind::Thread, 0x7f00, held_by(2, true));
    let mutex = s.object(p, ObjectKind::Mutex, 0x10, held_by(1, true));
    s.thread(p, 1, "pthread_join", at, &[thread], 2_000);
    s.thread(p, 2, "pthread_mutex_lock", lock, &[mutex], 1_000);
    let join = s.report().sites.remove(0);
    assert_eq!(
        join.evidence[0].text,
        "T2, which is joined, waits itself in pthread_mutex_lock from take (x.c:9)"
    );
    for judged in &mut s.judgement.rows {
        judged.leaked("owner_cycle", "cycle");
    }
    s.judgement.cycles.push(vec![0, 1]);
    assert_eq!(s.report().answer, "2 threads can never wake: T1 → end of T2 → mutex held by T1");
}
