//! From a snapshot and what is thought of it to the report.

use std::{
    collections::{BTreeMap, BTreeSet},
    rc::Rc,
    time::Duration,
};

use rustc_hash::FxHashMap;

use super::{
    FrameEntry, Grade, HealthEntry, ProcessEntry, Report, RuntimeEntry, SCHEMA, SinceEntry, Site,
    Verdict, Waiter, answer, evidence,
    holders::Whereabouts,
    identity,
    naming::{NamedStack, Naming},
    objects, place,
};
use crate::{
    snapshot::{Cause, Frame, Process, Row, Snapshot, WaiterKind},
    stack::Names,
    verdict::{Judged, Judgement},
};

/// How many waiters a site lists unless all are asked for.
const LISTED: usize = 20;

/// What a report is to hold.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReportOptions {
    /// List all waiters of a site instead of the 20 oldest.
    pub all_waiters: bool,
    /// Shorter waits were not collected; only said, not applied.
    pub min_wait: Duration,
}

impl Default for ReportOptions {
    fn default() -> Self {
        ReportOptions { all_waiters: false, min_wait: Duration::from_secs(1) }
    }
}

/// Builds the report of the newest snapshot. Each address is named once, waiters are merged into
/// sites, sites ranked worst first: by verdict, then number, then age.
pub fn build(
    snapshot: &Snapshot,
    judgement: &Judgement,
    names: &mut dyn Names,
    options: &ReportOptions,
) -> Report {
    let mut naming = Naming::new(snapshot, names);
    let mut groups: Vec<Group> = Vec::new();
    let mut by_key: FxHashMap<Key, usize> = FxHashMap::default();
    for judged in &judgement.rows {
        let Some(row) = snapshot.rows.get(judged.row) else {
            continue;
        };
        let stack = naming.stack(row.stack);
        let key = Key {
            kind: row.waiter.kind,
            reason: &row.reason,
            program: program(snapshot, row),
            stack: stack.alike,
            creation: row.origin.creation.map(|ix| naming.stack(ix).alike),
            verdict: judged.verdict,
            grade: judged.grade,
        };
        let index = *by_key.entry(key.clone()).or_insert_with(|| {
            groups.push(Group { key, members: Vec::new() });
            groups.len() - 1
        });
        if let Some(group) = groups.get_mut(index) {
            group.members.push(Member { row, judged, stack });
        }
    }
    let whereabouts = Whereabouts::new(snapshot, judgement);
    let mut sites: Vec<Site> = groups
        .into_iter()
        .filter_map(|group| site(snapshot, group, &whereabouts, &mut naming, options))
        .collect();
    sites.sort_by(|a, b| {
        (b.verdict, b.count)
            .cmp(&(a.verdict, a.count))
            .then(b.oldest_seconds.total_cmp(&a.oldest_seconds))
            .then_with(|| (&a.id, &a.program).cmp(&(&b.id, &b.program)))
    });
    let processes = snapshot.processes.iter().map(|p| process(snapshot, p)).collect();
    let answer = answer::answer(snapshot, judgement, &sites, options.min_wait);
    Report {
        schema: SCHEMA.to_owned(),
        tool: concat!("leakprobe ", env!("CARGO_PKG_VERSION")).to_owned(),
        host: snapshot.host.name.clone(),
        kernel: snapshot.host.kernel.clone(),
        answer,
        at: rfc3339(snapshot.clock.unix_ns_of(snapshot.ended)),
        watched_seconds: seconds(judgement.watched_ns),
        finished_waits: judgement.finished,
        processes,
        sites,
        health: health(snapshot, judgement),
    }
}

/// What waiters of one site have in common.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Key<'a> {
    kind: WaiterKind,
    reason: &'a str,
    program: &'a str,
    stack: u32,
    creation: Option<u32>,
    verdict: Verdict,
    grade: Option<Grade>,
}

/// A waiter of a site.
pub(super) struct Member<'a> {
    pub(super) row: &'a Row,
    pub(super) judged: &'a Judged,
    pub(super) stack: Rc<NamedStack>,
}

struct Group<'a> {
    key: Key<'a>,
    members: Vec<Member<'a>>,
}

/// File name of the program that a row's process runs, or the process's name: `main → read` of two
/// programs is not one site.
fn program<'a>(snapshot: &'a Snapshot, row: &Row) -> &'a str {
    snapshot
        .processes
        .get(row.waiter.process.0 as usize)
        .map_or("", |p| p.exe.as_deref().map_or(&p.name, place::base_name))
}

fn pid(snapshot: &Snapshot, row: &Row) -> u32 {
    snapshot.processes.get(row.waiter.process.0 as usize).map_or(0, |process| process.pid)
}

fn site(
    snapshot: &Snapshot,
    mut group: Group,
    whereabouts: &Whereabouts,
    naming: &mut Naming,
    options: &ReportOptions,
) -> Option<Site> {
    let members = &mut group.members;
    members.sort_by_key(|m| (std::cmp::Reverse(m.judged.age_ns.0), m.row.waiter.id));
    let (oldest, newest) = (members.first()?, members.last()?);
    let pids: BTreeSet<u32> = members.iter().map(|m| pid(snapshot, m.row)).collect();
    let listed = if options.all_waiters { members.len() } else { LISTED };
    let rows: Vec<&Row> = members.iter().map(|m| m.row).collect();
    let (objects, object_index) = objects::collect(snapshot, &rows, listed, pids.len() > 1);
    let waiters = members
        .iter()
        .take(listed)
        .map(|m| Waiter {
            id: m.row.waiter.id.to_string(),
            pid: pid(snapshot, m.row),
            name: m.row.name.clone(),
            age_seconds: seconds(m.judged.age_ns.0),
            age_max_seconds: m.judged.age_ns.1.map(seconds),
            at_site_seconds: seconds(m.judged.at_site_ns),
            objects: (m.row.objects.iter())
                .filter_map(|ix| object_index.get(ix).copied())
                .collect(),
        })
        .collect();
    let pids: Vec<u32> = pids.into_iter().collect();
    let mut evidence = evidence::collect(members);
    // Of a proof the evidence tells the whole chain already.
    if group.key.verdict != Verdict::Leaked {
        evidence.extend(whereabouts.evidence(&pids, &objects, naming));
    }
    let exact = members.iter().all(|m| m.judged.age_ns.1.is_none());
    let total_ns: u128 = members.iter().map(|m| u128::from(m.judged.age_ns.0)).sum();
    let names = oldest.stack.identity.iter().map(String::as_str);
    let mut stack =
        oldest.row.kernel_stack.map_or_else(Vec::new, |ix| naming.stack(ix).frames.clone());
    stack.extend(oldest.stack.frames.iter().cloned());
    Some(Site {
        id: identity::site_id(group.key.kind.as_str(), group.key.reason, names),
        verdict: group.key.verdict,
        grade: group.key.grade,
        kind: group.key.kind.as_str().to_owned(),
        count: members.len() as u64,
        pids,
        reason: group.key.reason.to_owned(),
        objects,
        oldest_seconds: seconds(oldest.judged.age_ns.0),
        newest_seconds: seconds(newest.judged.age_ns.0),
        total_seconds: total_ns as f64 / 1e9,
        since: if exact { SinceEntry::Exact } else { SinceEntry::Range },
        program: group.key.program.to_owned(),
        stack,
        place: place_of(oldest),
        started_at: started_at(oldest, naming),
        created_by: oldest.row.origin.creation.map(|ix| naming.stack(ix).frames.clone()),
        labels: shared_labels(members),
        evidence,
        waiters,
    })
}

fn place_of(member: &Member) -> Option<FrameEntry> {
    member.stack.frames.get(member.stack.place?).cloned()
}

/// The start routine that the runtime knows, else the outermost frame of the program's own code.
fn started_at(member: &Member, naming: &mut Naming) -> Option<FrameEntry> {
    match &member.row.origin.entry {
        // An address's last name is the function itself, those before were inlined into it.
        Some(entry @ (Frame::At { .. } | Frame::Named { .. })) => naming.frame(entry).pop(),
        _ => {
            let frames = &member.stack.frames;
            place::outermost(frames).and_then(|index| frames.get(index).cloned())
        }
    }
}

fn shared_labels(members: &[Member]) -> BTreeMap<String, String> {
    let mut rest = members.iter();
    let mut labels = rest.next().map_or_else(BTreeMap::new, |m| m.row.labels.clone());
    for member in rest {
        labels.retain(|key, value| member.row.labels.get(key) == Some(value));
    }
    labels
}

fn process(snapshot: &Snapshot, process: &Process) -> ProcessEntry {
    ProcessEntry {
        pid: process.pid,
        ns_pid: process.ns_pid,
        started: rfc3339(snapshot.clock.unix_ns_of_boottime(process.start_boottime_ns)),
        name: process.name.clone(),
        exe: process.exe.clone(),
        build_id: process.build_id.clone(),
        cgroup: process.cgroup.clone(),
        runtimes: process
            .runtimes
            .iter()
            .map(|runtime| RuntimeEntry {
                name: runtime.name.clone(),
                version: runtime.version.clone(),
            })
            .collect(),
        threads: process.threads,
        goroutines: process.goroutines.clone(),
    }
}

fn health(snapshot: &Snapshot, judgement: &Judgement) -> HealthEntry {
    HealthEntry {
        task_source: snapshot.health.task_source.clone(),
        snapshots: judgement.snapshots,
        counts: (snapshot.health.counts.iter())
            .map(|(cause, count)| (cause_name(*cause), *count))
            .collect(),
        notes: snapshot.health.notes.clone(),
    }
}

/// A cause as it is called in JSON.
fn cause_name(cause: Cause) -> String {
    match serde_json::to_value(cause) {
        Ok(serde_json::Value::String(name)) => name,
        _ => format!("{cause:?}"),
    }
}

fn seconds(ns: u64) -> f64 {
    ns as f64 / 1e9
}

/// RFC 3339 in UTC, to the millisecond.
fn rfc3339(unix_ns: u64) -> String {
    jiff::Timestamp::from_millisecond((unix_ns / 1_000_000) as i64)
        .map_or_else(|_| "1970-01-01T00:00:00Z".to_owned(), |at| format!("{at:.3}"))
}
