//! Recordings: whole, cut, damaged and hostile.

use std::{
    io::{Read, Write},
    path::Path,
};

use flate2::{Compression, read::GzDecoder, write::GzEncoder};
use proptest::prelude::*;

use super::{arbitrary, *};
use crate::{report::sample::deadlock, stack::Names};

fn header() -> Header {
    let host = Host { name: "box".to_owned(), kernel: "6.18".to_owned() };
    let options = Options { older_ns: Some(5), min_wait_ns: 1, all_waiters: true };
    Header::new(host, options)
}

/// A recording's bytes.
fn written(snapshots: &[Snapshot], finish: bool) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("run.lpr");
    let mut writer = Writer::create(&path, &header()).unwrap();
    for snapshot in snapshots {
        writer.append(snapshot).unwrap();
        writer.symbols(&arbitrary::symbols(snapshot)).unwrap();
    }
    if finish {
        writer.finish().unwrap();
    } else {
        // As if it were killed: nothing that happens at the end happens.
        std::mem::forget(writer);
    }
    std::fs::read(path).unwrap()
}

fn parse(bytes: &[u8]) -> Result<Recording, RecordingError> {
    read_from(bytes, Path::new("run.lpr"))
}

fn packed(text: &str) -> Vec<u8> {
    let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
    gz.write_all(text.as_bytes()).unwrap();
    gz.finish().unwrap()
}

fn unpacked(bytes: &[u8]) -> String {
    let mut text = String::new();
    GzDecoder::new(bytes).read_to_string(&mut text).unwrap();
    text
}

fn json(snapshots: &[Snapshot]) -> String {
    serde_json::to_string(snapshots).unwrap()
}

#[test]
fn a_killed_run_loses_nothing() {
    // Check that what was handed over before a kill is read, with its names, and said to be cut.
    let snapshots = [deadlock().snapshot, deadlock().snapshot];
    let mut recording = parse(&written(&snapshots, false)).unwrap();
    assert!(!recording.complete);
    assert_eq!(
        recording.note().as_deref(),
        Some("the recording was cut short: it ends after 2 snapshots")
    );
    assert_eq!(json(&recording.snapshots), json(&snapshots));
    assert!(!recording.symbols.is_empty());
    let module = &snapshots[0].modules[0];
    assert_eq!(recording.symbols.in_module(module, 1), []);
}

#[test]
fn cut_anywhere() {
    // Check that a file cut at any byte is read up to its last whole line or said to hold nothing,
    // and never panics.
    let snapshots = [deadlock().snapshot, deadlock().snapshot];
    let bytes = written(&snapshots, true);
    let mut seen = [false; 3];
    for end in 0..bytes.len() - 12 {
        match parse(&bytes[..end]) {
            Ok(recording) => {
                assert!(recording.snapshots.len() <= 2);
                seen[recording.snapshots.len()] = true;
            }
            Err(RecordingError::Empty { .. } | RecordingError::NotARecording { .. }) => {
                seen[0] = true;
            }
            Err(error) => panic!("{end}: {error}"),
        }
    }
    assert_eq!(seen, [true; 3]);
}

#[test]
fn each_problem_has_its_message() {
    // Check that foreign, newer, empty, contradictory and unreadable files are told apart, and
    // that each message says what to do.
    let good = unpacked(&written(&[deadlock().snapshot], true));
    let first = good.lines().next().unwrap();
    let error = |bytes: &[u8]| parse(bytes).unwrap_err().to_string();
    let foreign = "run.lpr is not a leakprobe recording. Make one with: leakprobe --record FILE";
    assert_eq!(error(b""), foreign);
    assert_eq!(error(b"perf.data"), foreign);
    assert_eq!(error(&packed("")), foreign);
    assert_eq!(error(&packed("{\"a\":1}\n")), foreign);
    assert_eq!(
        error(&packed("{\"leakprobe_recording\":7,\"tool\":\"leakprobe 9.0\\u001b[2J\"}\n")),
        "run.lpr has recording format 7, written by leakprobe 9.0[2J; this leakprobe reads format \
         1. Replay it with that version or a newer one"
    );
    assert!(error(&packed(&format!("{first}\n"))).contains("ends before its first snapshot"));
    assert!(error(&packed(&format!("{first}\nxyz\n"))).contains("is damaged in line 2"));
    let wrong = |from: &str, to: &str| {
        assert!(good.contains(from), "{from}");
        error(&packed(&good.replacen(from, to, 1)))
    };
    assert!(wrong("\"stack\":0", "\"stack\":77").contains("it names stack 77 of"));
    assert!(wrong("\"process\":0", "\"process\":9").contains("it names process 9 of 1"));
    assert!(wrong("\"module\":0", "\"module\":99").contains("it names file 99 of"));
    assert!(wrong("\"objects\":[0]", "\"objects\":[99]").contains("it names object 99 of"));
    assert!(wrong("\"end\":{\"snapshots\":1}", "\"end\":{\"snapshots\":2}").contains("holds 1"));
    assert!(wrong("\"ended\":1000100000000", "\"ended\":1").contains("not in order"));
    assert!(error(&packed(&format!("{good}{{}}\n"))).contains("goes on after its end"));
    let mut sum = packed(&good);
    let at = sum.len() - 8;
    sum[at] ^= 1;
    assert!(error(&sum).contains("is damaged"));
    let absent = read(Path::new("/nonexistent/run.lpr")).unwrap_err().to_string();
    assert!(absent.contains("Check the path"), "{absent}");
    let full = Writer::create("/dev/full", &header()).unwrap_err().to_string();
    assert!(full.contains("No space left"), "{full}");
    let nowhere = Writer::create("/nonexistent/run.lpr", &header()).unwrap_err().to_string();
    assert!(nowhere.contains("--record FILE"), "{nowhere}");
}

#[test]
fn unknown_lines_and_fields_are_skipped() {
    // Check that a later version can add kinds of line and fields without becoming unreadable.
    let good = unpacked(&written(&[deadlock().snapshot], true));
    let more = good.replacen("\n", "\n{\"trend\":[1,2]}\n", 1).replacen(
        "\"began\"",
        "\"newer\":true,\"began\"",
        1,
    );
    let recording = parse(&packed(&more)).unwrap();
    assert!(recording.complete);
    assert_eq!(recording.note(), None);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn round_trip(mut snapshots in prop::collection::vec(arbitrary::snapshot(), 1..4)) {
        // Check that any snapshots come back as they were, with every name.
        snapshots.sort_by_key(|snapshot| snapshot.began);
        let recording = parse(&written(&snapshots, true)).unwrap();
        prop_assert!(recording.complete);
        prop_assert_eq!(&recording.header, &header());
        prop_assert_eq!(json(&recording.snapshots), json(&snapshots));
        let mut all = SymbolTable::default();
        for snapshot in &snapshots {
            all.learn(snapshot, &mut arbitrary::Echo);
        }
        prop_assert_eq!(recording.symbols, all);
    }

    #[test]
    fn mutated_text(at in any::<prop::sample::Index>(), to in any::<u8>(), n in 0usize..40) {
        // Check that a damaged line, well packed, is an error or a snapshot that can be reported.
        let mut text = unpacked(&written(&[deadlock().snapshot], true)).into_bytes();
        let at = at.index(text.len());
        text[at] = to;
        let end = (at + n).min(text.len());
        text.drain(at + 1..end.max(at + 1));
        let mut gz = GzEncoder::new(Vec::new(), Compression::fast());
        gz.write_all(&text).unwrap();
        report(parse(&gz.finish().unwrap()));
    }

    #[test]
    fn mutated_bytes(at in any::<prop::sample::Index>(), to in any::<u8>()) {
        // Check that damage to the packed bytes never panics.
        let mut bytes = written(&[deadlock().snapshot], true);
        let at = at.index(bytes.len());
        bytes[at] = to;
        report(parse(&bytes));
    }

    #[test]
    fn arbitrary_bytes(mut bytes in prop::collection::vec(any::<u8>(), 0..200), gz: bool) {
        // Check that no bytes whatever panic, with and without gzip's magic in front.
        if gz {
            bytes.splice(0..0, [0x1f, 0x8b, 8, 0]);
        }
        report(parse(&bytes));
    }
}

/// A recording that is accepted must be one that later stages can work on.
fn report(result: Result<Recording, RecordingError>) {
    let Ok(mut recording) = result else { return };
    for snapshot in &recording.snapshots {
        let judged = |row| crate::verdict::Judged {
            row,
            verdict: crate::report::Verdict::Waiting,
            grade: None,
            evidence: Vec::new(),
            age_ns: (1, None),
            at_site_ns: 1,
        };
        let judgement = crate::verdict::Judgement {
            rows: (0..snapshot.rows.len()).map(judged).collect(),
            ..Default::default()
        };
        let options = crate::report::ReportOptions::default();
        crate::report::build(snapshot, &judgement, &mut recording.symbols, &options);
    }
}
