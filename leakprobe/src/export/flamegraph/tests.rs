use super::*;
use crate::report::sample::{Sample, deadlock};

fn svg(report: &Report, weight: Weight) -> String {
    let mut out = Vec::new();
    write(report, weight, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

/// A small check of XML's own rules: tags nest, attributes are quoted, no stray `<` or `&`, only
/// characters that XML 1.0 allows. CDATA sections and comments are skipped.
fn well_formed(text: &str) {
    let mut open: Vec<&str> = Vec::new();
    let mut rest = text;
    assert!(
        text.chars().all(|c| matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)),
        "a character that XML forbids"
    );
    while let Some(at) = rest.find('<') {
        references(&rest[..at]);
        rest = &rest[at..];
        if let Some(end) = [("<![CDATA[", "]]>"), ("<!--", "-->"), ("<?", "?>"), ("<!", ">")]
            .iter()
            .find(|(start, _)| rest.starts_with(start))
            .map(|(_, end)| rest.find(end).expect("section is closed") + end.len())
        {
            rest = &rest[end..];
            continue;
        }
        let mut quote = None;
        let end = rest
            .find(|c| match (quote, c) {
                (None, '"' | '\'') => {
                    quote = Some(c);
                    false
                }
                (Some(q), c) if q == c => {
                    quote = None;
                    false
                }
                (None, '>') => true,
                _ => false,
            })
            .expect("tag is closed");
        let tag = &rest[1..end];
        assert!(!tag.contains('<'), "{tag}");
        references(tag);
        rest = &rest[end + 1..];
        if let Some(name) = tag.strip_prefix('/') {
            assert_eq!(open.pop(), Some(name.trim()));
        } else if !tag.ends_with('/') {
            open.push(tag.split_whitespace().next().unwrap());
        }
    }
    assert!(open.is_empty(), "{open:?}");
}

fn references(text: &str) {
    for after in text.split('&').skip(1) {
        let name = after.split(';').next().unwrap();
        let known = ["lt", "gt", "amp", "quot", "apos"].contains(&name);
        assert!(known || name.starts_with('#'), "&{name}");
    }
}

#[test]
fn a_deadlock() {
    // Check that a typical graph is an SVG with the answer, the frames and the numbers in it, and
    // the same at each run.
    let report = deadlock().report();
    let text = svg(&report, Weight::Waiters);
    well_formed(&text);
    assert!(text.contains("Blocked in waits (4242) on box at 2023-11-14T22:13:20.100Z"));
    assert!(text.contains("3 threads can never wake: T4291 → mutex held by T4292"));
    assert!(text.contains("<title>consume (10 waiters, 34.48%)</title>"), "{text}");
    assert!(text.contains("<title>pthread_mutex_lock [leaked] (1 waiters, 3.45%)</title>"));
    assert_eq!(text, svg(&report, Weight::Waiters));
    assert!(svg(&report, Weight::Time).contains("<title>drain (950,000 ms,"));
}

#[test]
fn nothing_blocked() {
    // Check that an empty report is a graph that says so, not an error.
    let text = svg(&Sample::new().report(), Weight::Waiters);
    well_formed(&text);
    assert!(text.contains("nothing is blocked"));
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig::with_cases(64))]

    #[test]
    fn hostile_names(
        function in "([\\PC\\x00-\\x1f\u{fff0}-\u{ffff}]|[<>&\"'; \\]]|]]>|<!--| 1e3){1,20}",
        name in ".{0,15}",
    ) {
        // Check that no function's or process's name breaks the SVG.
        let mut report = deadlock().report();
        report.sites[0].stack[0].function = function.clone();
        report.sites[1].reason = function;
        report.sites[2].program = name.clone();
        report.processes[0].name = name;
        well_formed(&svg(&report, Weight::Waiters));
    }
}
