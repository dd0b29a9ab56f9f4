//! One site: its line, and below it what it rests on.

use super::{
    super::printable::printable,
    layout::{Page, Piece, Style},
};
use crate::report::{
    FrameEntry, HolderEntry, ObjectEntry, Report, SinceEntry, Site, Verdict, humane, place, who,
};

/// Frames shown in a line.
const FRAMES: usize = 12;
/// Waiters shown by id.
const WAITERS: usize = 6;
/// Objects shown.
const OBJECTS: usize = 2;

pub(super) fn entry(page: &mut Page, report: &Report, site: &Site) {
    heading(page, report, site);
    for evidence in &site.evidence {
        let label = match evidence.rule.as_str() {
            "note" => "note",
            "holder" => "holder",
            "lines" | "more" => "",
            _ => "why",
        };
        page.labelled(label, &printable(&evidence.text), Style::Plain);
    }
    again(page, site);
    stacks(page, site);
    if !site.labels.is_empty() {
        let labels: Vec<String> =
            site.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        page.labelled("labels", &printable(&labels.join(" ")), Style::Plain);
    }
    waiters(page, report, site);
}

/// Count, verdict, age, reason, place, object and owner.
fn heading(page: &mut Page, report: &Report, site: &Site) {
    let style = match site.verdict {
        Verdict::Leaked | Verdict::Leaking => Style::Alarm,
        Verdict::Stuck => Style::Warning,
        Verdict::Idle | Verdict::Waiting => Style::Plain,
    };
    let verdict = match site.grade {
        Some(grade) => format!("{} ({})", site.verdict.as_str(), grade.as_str()),
        None => site.verdict.as_str().to_owned(),
    };
    let mut pieces = vec![
        Piece::new("", format!("{:>6}", site.count), style),
        Piece::new("  ", verdict, style),
        Piece::new("  ", ages(site), Style::Plain),
        Piece::new("  ", printable(&site.reason), Style::Plain),
    ];
    if let Some(place) = &site.place {
        pieces.push(Piece::new(
            " from ",
            printable(&place::label_in(&site.stack, place)),
            Style::Bold,
        ));
    }
    if site.objects.distinct > 0 {
        pieces.push(Piece::new("  ", printable(&objects(site)), Style::Plain));
    }
    if report.processes.len() > 1 {
        pieces.push(Piece::new("  ", printable(&processes(report, site)), Style::Plain));
    }
    page.fill(&pieces, 8);
}

/// `3 m 12 s`, `1.2 s – 3 m 12 s`, with `≥` where the true age may be noticeably more.
fn ages(site: &Site) -> String {
    let vague = site.since == SinceEntry::Range
        && site.waiters.iter().any(|waiter| {
            waiter.age_max_seconds.is_some_and(|most| {
                most - waiter.age_seconds > (waiter.age_seconds * 0.01).max(0.1)
            })
        });
    let (oldest, newest) = (humane(site.oldest_seconds), humane(site.newest_seconds));
    let sign = if vague { "≥ " } else { "" };
    if oldest == newest {
        format!("{sign}{oldest}")
    } else {
        format!("{sign}{newest} – {oldest}")
    }
}

/// `mutex 0x55d0 held by T9`, `5 pipes: fd 5 pipe:[123] (1), fd 6 pipe:[124] (1), …`.
fn objects(site: &Site) -> String {
    let top = &site.objects.top;
    if let [only] = top.as_slice() {
        return format!("{} {}", only.kind, object(only));
    }
    let kind = match top.first() {
        Some(first) if top.iter().all(|each| each.kind == first.kind) => plural(&first.kind),
        _ => "objects".to_owned(),
    };
    let mut shown: Vec<String> = (top.iter().take(OBJECTS))
        .map(|each| format!("{} ({})", object(each), each.count))
        .collect();
    if site.objects.distinct > shown.len() as u64 {
        shown.push("…".to_owned());
    }
    format!("{} {kind}: {}", site.objects.distinct, shown.join(", "))
}

fn plural(kind: &str) -> String {
    match kind {
        "mutex" => "mutexes".to_owned(),
        "futex" => "futex words".to_owned(),
        "child" => "children".to_owned(),
        kind => format!("{kind}s"),
    }
}

fn object(object: &ObjectEntry) -> String {
    // A thread that is joined: its address says less than its id.
    if let ("thread", [joined]) = (object.kind.as_str(), object.holders.as_slice()) {
        let end = if joined.alive == Some(false) { ", which is gone" } else { "" };
        return format!("{}{end}", who(&joined.kind, &joined.id));
    }
    let mut text = object.address.clone();
    if let Some(what) = leads_to(object) {
        text.push(' ');
        text.push_str(&what);
    }
    match object.holders.as_slice() {
        [] if object.detail.contains_key("owner") => text.push_str(" owner not known"),
        [] => {}
        holders => {
            let holders: Vec<String> = holders.iter().map(holder).collect();
            text.push_str(&format!(" {}", holders.join(", ")));
        }
    }
    text
}

/// What a descriptor leads to: both ends of a socket and what an epoll instance watches say more than
/// the kernel's name for it.
fn leads_to(object: &ObjectEntry) -> Option<String> {
    let detail = |key| object.detail.get(key);
    if let Some(watches) = detail("watches") {
        let watched = detail("watched").map(|watched| format!(": {watched}")).unwrap_or_default();
        return Some(format!("watching {watches}{watched}"));
    }
    detail("connection").or_else(|| detail("target")).cloned()
}

fn holder(holder: &HolderEntry) -> String {
    let owner = who(&holder.kind, &holder.id);
    match holder.alive {
        Some(false) => format!("whose owner {owner} is gone"),
        Some(true) => format!("held by {owner}"),
        None => format!("held by {owner} (not known if alive)"),
    }
}

/// `in waits (4242)`, `in 3 processes (nginx: 11, 12, 13)`.
fn processes(report: &Report, site: &Site) -> String {
    let name = |pid: u32| {
        let process = report.processes.iter().find(|process| process.pid == pid);
        process.map_or_else(|| site.program.clone(), |process| process.name.clone())
    };
    match site.pids.as_slice() {
        [] => String::new(),
        [pid] => format!("in {} ({pid})", name(*pid)),
        pids => {
            let mut shown: Vec<String> = pids.iter().take(4).map(u32::to_string).collect();
            if pids.len() > shown.len() {
                shown.push("…".to_owned());
            }
            format!("in {} processes ({}: {})", pids.len(), site.program, shown.join(", "))
        }
    }
}

/// Says it where waiters come back to the same wait: each wait is young, the problem is not.
fn again(page: &mut Page, site: &Site) {
    let longest = (site.waiters.iter())
        .filter(|waiter| waiter.at_site_seconds > waiter.age_seconds + 1.0)
        .map(|waiter| waiter.at_site_seconds)
        .fold(0.0, f64::max);
    if longest > 0.0 {
        let text = format!("wakes and comes back: at this place for {}", humane(longest));
        page.labelled("", &text, Style::Plain);
    }
}

/// The program's own frames, and whole where there are none; the kernel's where they were asked
/// for.
fn stacks(page: &mut Page, site: &Site) {
    let is_kernel = |frame: &&FrameEntry| frame.module.as_deref() == Some("[kernel]");
    let kernel: Vec<&FrameEntry> = site.stack.iter().filter(is_kernel).collect();
    let user: Vec<&FrameEntry> = site.stack.iter().filter(|frame| !is_kernel(frame)).collect();
    chain(page, "kernel", &kernel);
    let library = place::library_frames(&site.stack);
    let own: Vec<&FrameEntry> = (site.stack.iter().zip(library))
        .filter(|(_, library)| !library)
        .map(|(frame, _)| frame)
        .collect();
    match own.as_slice() {
        _ if site.place.is_none() => chain(page, "stack", &user),
        // It stands in the heading already.
        [_] => {}
        own => chain(page, "stack", own),
    }
    if let Some(created_by) = &site.created_by {
        chain(page, "created", &created_by.iter().collect::<Vec<_>>());
    }
}

fn chain(page: &mut Page, label: &str, frames: &[&FrameEntry]) {
    if frames.is_empty() {
        return;
    }
    let mut pieces: Vec<Piece> = (frames.iter().take(FRAMES))
        .map(|frame| Piece::new(" ← ", printable(&place::label(frame)), Style::Plain))
        .collect();
    let rest = frames.len().saturating_sub(FRAMES);
    if rest > 0 {
        pieces.push(Piece::new(" ← ", format!("… {rest} more"), Style::Plain));
    }
    page.labelled_pieces(label, pieces);
}

/// Ids to go on with in a debugger.
fn waiters(page: &mut Page, report: &Report, site: &Site) {
    let mut shown: Vec<String> = (site.waiters.iter().take(WAITERS))
        .map(|waiter| {
            let mut text = who(&site.kind, &waiter.id);
            let process = report.processes.iter().find(|process| process.pid == waiter.pid);
            if process.is_none_or(|process| process.name != waiter.name) && !waiter.name.is_empty()
            {
                text.push_str(&format!(" {}", waiter.name));
            }
            printable(&text).into_owned()
        })
        .collect();
    let rest = site.count.saturating_sub(shown.len() as u64);
    if rest > 0 && !shown.is_empty() {
        shown.push(format!("… {rest} more"));
    }
    let last = shown.len().saturating_sub(1);
    let pieces: Vec<Piece> = (shown.into_iter().enumerate())
        .map(|(index, text)| {
            let comma = if index < last { "," } else { "" };
            Piece::new(" ", format!("{text}{comma}"), Style::Dim)
        })
        .collect();
    if !pieces.is_empty() {
        page.labelled_pieces(&format!("{}s", site.kind), pieces);
    }
}
