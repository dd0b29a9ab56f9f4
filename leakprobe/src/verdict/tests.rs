//! Hand-made snapshots through track and verdict.

use std::time::Duration;

use crate::{
    report::{Grade, Verdict},
    snapshot::{
        Clock, Holder, Host, Ns, Object, ObjectIx, ObjectKind, Origin, Owner, Process, ProcessIx,
        Proof, Row, Since, SinceSource, Snapshot, Stack, StackIx, State, Stay, Terms, Timeout,
        Waiter, WaiterKind,
    },
    track::Track,
    verdict::{Judgement, Thresholds, judge},
};

/// A snapshot of one process in which thread `waiter` waits for a mutex held by `holder`.
fn snapshot(waits: &[(u64, u64, Option<bool>)]) -> Snapshot {
    let mut snapshot = Snapshot {
        began: Ns(100_000_000_000),
        ended: Ns(100_001_000_000),
        clock: Clock { monotonic: Ns(0), unix_ns: 0, suspended_ns: 0 },
        host: Host::default(),
        processes: vec![Process {
            pid: 7,
            ns_pid: 7,
            start_boottime_ns: 1,
            exec: 1,
            name: "p".into(),
            exe: None,
            build_id: None,
            cgroup: None,
            uid: None,
            runtimes: vec![],
            threads: 9,
            goroutines: None,
        }],
        rows: vec![],
        objects: vec![],
        proofs: vec![],
        stacks: vec![Stack::default()],
        modules: vec![],
        health: Default::default(),
    };
    for (index, (waiter, holder, alive)) in waits.iter().enumerate() {
        let object = ObjectIx(index as u32);
        snapshot.objects.push(Object {
            process: ProcessIx(0),
            kind: ObjectKind::Mutex,
            address: 0x1000 + index as u64,
            detail: Default::default(),
            owner: Owner::Held {
                by: Holder {
                    kind: WaiterKind::Thread,
                    id: *holder,
                    recorded: *holder,
                    alive: *alive,
                },
                terms: Terms::OwnerMustRelease,
            },
        });
        snapshot.proofs.push(Proof::HeldThroughout { object });
        snapshot.rows.push(Row {
            waiter: Waiter {
                process: ProcessIx(0),
                kind: WaiterKind::Thread,
                id: *waiter,
                ns_id: *waiter,
                birth: *waiter,
            },
            name: "t".into(),
            seen: Ns(100_000_500_000),
            state: State::Sleeping,
            stay: Stay { token: 1, certain: true },
            since: Since {
                earliest: Ns(90_000_000_000),
                latest: Ns(90_000_000_000),
                source: SinceSource::Accounting,
            },
            until: Timeout::Never,
            reason: "pthread_mutex_lock".into(),
            objects: vec![object],
            stack: StackIx(0),
            kernel_stack: None,
            origin: Origin::default(),
            landmark: None,
            labels: Default::default(),
            notes: vec![],
        });
    }
    snapshot
}

fn judged(snapshot: Snapshot, older: Option<Duration>) -> Judgement {
    let mut track = Track::new(Duration::from_secs(1));
    track.add(snapshot);
    judge(&track, &Thresholds { min_wait: Duration::from_secs(1), older })
}

fn verdicts(snapshot: Snapshot) -> Vec<(Verdict, Option<Grade>)> {
    judged(snapshot, None).rows.iter().map(|j| (j.verdict, j.grade)).collect()
}

const LEAKED: (Verdict, Option<Grade>) = (Verdict::Leaked, Some(Grade::Contract));
const WAITING: (Verdict, Option<Grade>) = (Verdict::Waiting, None);

#[test]
fn a_living_owner_that_is_not_blocked_proves_nothing() {
    // Check that a held lock alone is no leak.
    assert_eq!(verdicts(snapshot(&[(1, 5, Some(true))])), [WAITING]);
    assert_eq!(verdicts(snapshot(&[(1, 5, None)])), [WAITING]);
}

#[test]
fn an_owner_that_is_gone_is_a_proof() {
    // Check that the owner's death alone decides.
    assert_eq!(verdicts(snapshot(&[(1, 5, Some(false))])), [LEAKED]);
}

#[test]
fn cycles_of_any_length_are_proofs_for_members_and_for_those_behind() {
    // Check lengths one, two and three, and a chain that ends in a cycle.
    let yes = Some(true);
    assert_eq!(verdicts(snapshot(&[(1, 1, yes)])), [LEAKED]);
    assert_eq!(verdicts(snapshot(&[(1, 2, yes), (2, 1, yes)])), [LEAKED, LEAKED]);
    let three =
        judged(snapshot(&[(3, 1, yes), (1, 2, yes), (2, 3, yes), (4, 1, yes), (5, 4, yes)]), None);
    assert!(three.rows.iter().all(|j| j.verdict == Verdict::Leaked));
    assert_eq!(three.cycles, [vec![0, 1, 2]]);
    assert_eq!(three.rows[3].evidence[0].rule, "owner_leaked");
}

#[test]
fn one_weak_link_breaks_the_proof() {
    // Check that a timeout, a missing confirmation or a hint keeps a cycle from being claimed.
    let cycle = || snapshot(&[(1, 2, Some(true)), (2, 1, Some(true))]);
    let mut timed = cycle();
    timed.rows[1].until = Timeout::Set;
    assert_eq!(verdicts(timed), [WAITING, WAITING]);
    let mut unknown = cycle();
    unknown.rows[0].until = Timeout::Unknown;
    assert_eq!(verdicts(unknown), [WAITING, WAITING]);
    let mut unconfirmed = cycle();
    unconfirmed.proofs.pop();
    assert_eq!(verdicts(unconfirmed), [WAITING, WAITING]);
    let mut hint = cycle();
    if let Owner::Held { terms, .. } = &mut hint.objects[0].owner {
        *terms = Terms::Hint { why: "shared between processes".into() };
    }
    assert_eq!(verdicts(hint), [WAITING, WAITING]);
}

#[test]
fn a_lock_that_death_releases_is_leaked_in_a_cycle_only() {
    // Check that robust and PI locks are not claimed for a dead owner, but are in a cycle.
    let with_death = |mut s: Snapshot| {
        for object in &mut s.objects {
            if let Owner::Held { terms, .. } = &mut object.owner {
                *terms = Terms::DeathReleases { why: "robust".into() };
            }
        }
        s
    };
    assert_eq!(verdicts(with_death(snapshot(&[(1, 5, Some(false))]))), [WAITING]);
    let cycle = with_death(snapshot(&[(1, 2, Some(true)), (2, 1, Some(true))]));
    assert_eq!(verdicts(cycle), [LEAKED, LEAKED]);
}

#[test]
fn older_makes_stuck_but_never_hides_a_proof() {
    // Check --older against a wait of ten seconds.
    let wait = || snapshot(&[(1, 5, Some(true))]);
    let with = |seconds| judged(wait(), Some(Duration::from_secs(seconds))).rows[0].verdict;
    assert_eq!(with(9), Verdict::Stuck);
    assert_eq!(with(11), Verdict::Waiting);
    let leaked = judged(snapshot(&[(1, 5, Some(false))]), Some(Duration::from_secs(9)));
    assert_eq!(leaked.rows[0].verdict, Verdict::Leaked);
    assert_eq!(leaked.rows[0].evidence.len(), 2);
}

#[test]
fn short_waits_are_left_out_unless_they_come_back_to_the_same_place() {
    // Check --min-wait, and that a loop of short timeouts at one place counts from its first sight.
    let short = |at: u64, token: u64| {
        let mut s = snapshot(&[(1, 5, Some(true))]);
        let ns = at * 1_000_000_000;
        (s.began, s.ended) = (Ns(ns), Ns(ns));
        s.rows[0].seen = Ns(ns);
        s.rows[0].stay.token = token;
        let began = Ns(ns - 500_000_000);
        (s.rows[0].since.earliest, s.rows[0].since.latest) = (began, began);
        s
    };
    let thresholds = Thresholds { min_wait: Duration::from_secs(1), older: None };
    let mut track = Track::new(Duration::from_secs(1));
    track.add(short(100, 1));
    assert!(judge(&track, &thresholds).rows.is_empty());
    track.add(short(102, 2));
    let judgement = judge(&track, &thresholds);
    assert_eq!(judgement.rows[0].age_ns.0, 500_000_000);
    assert_eq!(judgement.rows[0].at_site_ns, 2_500_000_000);
    // A wait of half a second is none whose end is worth telling.
    assert_eq!(judgement.finished, 0);
}
