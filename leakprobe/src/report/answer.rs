//! The first line: what is to be known if only one line is read.

use std::{collections::BTreeSet, time::Duration};

use super::{Site, Verdict, age::humane, place, who};
use crate::{
    snapshot::{Holder, Object, ObjectKind, Owner, Row, Snapshot},
    verdict::Judgement,
};

/// How many cycles or missing owners are told in full.
const TOLD: usize = 2;
/// How many members of a cycle are told.
const MEMBERS: usize = 4;

/// The answer in one line, without a final stop.
pub(super) fn answer(
    snapshot: &Snapshot,
    judgement: &Judgement,
    sites: &[Site],
    min_wait: Duration,
) -> String {
    let leaked = of(sites, Verdict::Leaked);
    if leaked.count > 0 {
        let mut text =
            format!("{} can never wake: {}", leaked.noun(), proved(snapshot, judgement, sites));
        for (verdict, word) in [(Verdict::Leaking, "at growing sites"), (Verdict::Stuck, "stuck")] {
            let others = of(sites, verdict);
            if others.count > 0 {
                text.push_str(&format!("; {} more {word}", others.count));
            }
        }
        return text;
    }
    let leaking = of(sites, Verdict::Leaking);
    if leaking.count > 0 {
        return format!(
            "{} at sites that grow and don't come back; {}",
            leaking.noun(),
            largest(sites, Verdict::Leaking)
        );
    }
    let stuck = of(sites, Verdict::Stuck);
    if stuck.count > 0 {
        return format!(
            "{} {} stuck, the longest for {}; {}",
            stuck.noun(),
            if stuck.count == 1 { "is" } else { "are" },
            humane(stuck.oldest),
            largest(sites, Verdict::Stuck)
        );
    }
    let rest = of_all(sites);
    if rest.count == 0 {
        let blind = !snapshot.health.counts.is_empty() || snapshot.processes.is_empty();
        return format!(
            "nothing{} has been blocked for longer than {}",
            if blind { " that could be seen" } else { "" },
            humane(min_wait.as_secs_f64())
        );
    }
    format!(
        "no {} is proved leaked; {} {}, the longest for {}; {}",
        rest.kind_word(),
        rest.count,
        if rest.count == 1 { "waits" } else { "wait" },
        humane(rest.oldest),
        largest_of(sites.iter()),
    )
}

/// Waiters of some sites together.
struct Sum<'a> {
    count: u64,
    oldest: f64,
    kinds: BTreeSet<&'a str>,
}

impl Sum<'_> {
    fn kind_word(&self) -> &str {
        match self.kinds.first() {
            Some(kind) if self.kinds.len() == 1 => kind,
            _ => "waiter",
        }
    }

    /// `1 thread`, `12 threads`.
    fn noun(&self) -> String {
        let plural = if self.count == 1 { "" } else { "s" };
        format!("{} {}{plural}", self.count, self.kind_word())
    }
}

fn of(sites: &[Site], verdict: Verdict) -> Sum<'_> {
    sum(sites.iter().filter(|site| site.verdict == verdict))
}

fn of_all(sites: &[Site]) -> Sum<'_> {
    sum(sites.iter())
}

fn sum<'a>(sites: impl Iterator<Item = &'a Site>) -> Sum<'a> {
    let mut sum = Sum { count: 0, oldest: 0.0, kinds: BTreeSet::new() };
    for site in sites {
        sum.count += site.count;
        sum.oldest = sum.oldest.max(site.oldest_seconds);
        sum.kinds.insert(&site.kind);
    }
    sum
}

fn largest(sites: &[Site], verdict: Verdict) -> String {
    largest_of(sites.iter().filter(|site| site.verdict == verdict))
}

/// `the largest group: 10 in pthread_cond_wait from consume (waits.c:42)`.
fn largest_of<'a>(sites: impl Iterator<Item = &'a Site>) -> String {
    let largest = sites
        .max_by(|a, b| (a.count.cmp(&b.count)).then(a.oldest_seconds.total_cmp(&b.oldest_seconds)));
    largest.map_or_else(String::new, |site| {
        format!("the largest group: {} in {}", site.count, where_it_is(site))
    })
}

fn where_it_is(site: &Site) -> String {
    match &site.place {
        Some(place) => format!("{} from {}", site.reason, place::label_in(&site.stack, place)),
        None => site.reason.clone(),
    }
}

/// Why the leaked ones can never wake: cycles, owners that are gone, and who waits behind them.
fn proved(snapshot: &Snapshot, judgement: &Judgement, sites: &[Site]) -> String {
    let mut clauses = Vec::new();
    let mut told = 0;
    for cycle in judgement.cycles.iter().take(TOLD) {
        clauses.extend(chain(snapshot, cycle));
    }
    let more = judgement.cycles.len().saturating_sub(TOLD);
    if more > 0 {
        clauses.push(format!("{more} more cycle{}", if more == 1 { "" } else { "s" }));
    }
    let in_cycles: BTreeSet<usize> = judgement.cycles.iter().flatten().copied().collect();
    told += in_cycles.len();

    // Owners that are gone, with who waits for them, in the order of the waiters.
    let mut gone: Vec<(&Object, Holder, Vec<&Row>)> = Vec::new();
    let leaked = (judgement.rows.iter()).filter(|judged| judged.verdict == Verdict::Leaked);
    for judged in leaked.filter(|judged| !in_cycles.contains(&judged.row)) {
        let Some(row) = snapshot.rows.get(judged.row) else {
            continue;
        };
        let Some((object, holder)) = held(snapshot, row).find(|(_, h)| h.alive == Some(false))
        else {
            continue;
        };
        told += 1;
        match gone.iter_mut().find(|(known, _, _)| *known == object) {
            Some((_, _, rows)) => rows.push(row),
            None => gone.push((object, holder, vec![row])),
        }
    }
    gone.sort_by_key(|(_, _, rows)| std::cmp::Reverse(rows.len()));
    for (object, holder, rows) in gone.iter().take(TOLD) {
        let waits = match rows.as_slice() {
            [row] => format!("{} waits", who(row.waiter.kind.as_str(), row.waiter.id)),
            rows => format!("{} wait", rows.len()),
        };
        clauses.push(format!(
            "{waits} for a {} whose owner {} is gone",
            object.kind.as_str(),
            who(holder.kind.as_str(), holder.id)
        ));
    }
    let more = gone.len().saturating_sub(TOLD);
    if more > 0 {
        clauses.push(format!("{more} more owner{} gone", if more == 1 { " is" } else { "s are" }));
    }
    let leaked = of(sites, Verdict::Leaked).count;
    let behind = leaked.saturating_sub(told as u64);
    if clauses.is_empty() {
        clauses.push(largest(sites, Verdict::Leaked));
    } else if behind > 0 {
        let waits = if behind == 1 { "waits" } else { "wait" };
        clauses.push(format!("{behind} {waits} behind them"));
    }
    clauses.join("; ")
}

/// `T7 → mutex held by T9 → mutex held by T7`.
fn chain(snapshot: &Snapshot, cycle: &[usize]) -> Option<String> {
    let rows: Vec<&Row> = cycle.iter().filter_map(|row| snapshot.rows.get(*row)).collect();
    let first = rows.first()?;
    let mut text = who(first.waiter.kind.as_str(), first.waiter.id);
    let next = rows.iter().skip(1).chain([first]);
    let left_out = rows.len().saturating_sub(MEMBERS);
    for (index, (row, next)) in rows.iter().zip(next).enumerate() {
        // Of a long cycle the middle is left out, so that it still closes before the reader's eyes.
        if left_out > 0 && index == MEMBERS - 1 {
            text.push_str(&format!(" → … {left_out} more"));
        }
        if left_out > 0 && (MEMBERS - 1..rows.len() - 1).contains(&index) {
            continue;
        }
        let next_is = who(next.waiter.kind.as_str(), next.waiter.id);
        let link = match held_by(snapshot, row, next).map(|object| object.kind) {
            Some(ObjectKind::Thread) => format!(" → end of {next_is}"),
            Some(kind) => format!(" → {} held by {next_is}", kind.as_str()),
            None => format!(" → lock held by {next_is}"),
        };
        text.push_str(&link);
    }
    if rows.len() == 1 {
        text.push_str(" itself");
    }
    if snapshot.processes.len() > 1
        && let Some(process) = snapshot.processes.get(first.waiter.process.0 as usize)
    {
        text.push_str(&format!(" in {} ({})", process.name, process.pid));
    }
    Some(text)
}

/// What `row` waits on that `holder` holds.
fn held_by<'a>(snapshot: &'a Snapshot, row: &'a Row, holder: &Row) -> Option<&'a Object> {
    held(snapshot, row)
        .find(|(_, by)| by.kind == holder.waiter.kind && by.id == holder.waiter.id)
        .map(|(object, _)| object)
}

/// What `row` waits on that records who holds it.
fn held<'a>(snapshot: &'a Snapshot, row: &'a Row) -> impl Iterator<Item = (&'a Object, Holder)> {
    row.objects.iter().filter_map(|ix| snapshot.objects.get(ix.0 as usize)).filter_map(|object| {
        match &object.owner {
            Owner::Held { by, .. } => Some((object, *by)),
            _ => None,
        }
    })
}
