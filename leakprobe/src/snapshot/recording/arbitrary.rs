//! Arbitrary snapshots.

use std::collections::BTreeMap;

use proptest::{collection::vec, option, prelude::*, sample::Index};

use super::SymbolTable;
use crate::{
    snapshot::*,
    stack::{Named, Names},
};

/// A snapshot whose indices point at something.
pub(super) fn snapshot() -> impl Strategy<Value = Snapshot> {
    (1usize..4, 1usize..4, 1usize..5, 0usize..4).prop_flat_map(|(np, nm, ns, no)| {
        let object = (0..np as u32, any::<u64>(), labels(), owner());
        let row = (
            (0..np as u32, any::<u64>(), any::<u64>(), "\\PC{0,8}"),
            (any::<u64>(), 0..u64::MAX / 2, 0..u64::MAX / 2, any::<bool>()),
            (vec(any::<Index>(), 0..3), 0..ns as u32, option::of(0..ns as u32)),
            (option::of(frame(nm)), labels(), vec(".{0,9}", 0..2)),
        );
        (
            vec(process(), np),
            vec(("/.{0,9}", option::of("[0-9a-f]{8}"), any::<bool>()), nm),
            vec(vec(frame(nm), 0..6), ns),
            vec(object, no),
            vec(row, 0..5),
            (0..u64::MAX / 2, 0..u64::MAX / 2, any::<u64>(), any::<u64>()),
            vec(".{0,20}", 0..2),
        )
            .prop_map(move |(processes, modules, stacks, objects, rows, times, notes)| {
                Snapshot {
                    began: Ns(times.0),
                    ended: Ns(times.0 + times.1),
                    clock: Clock {
                        monotonic: Ns(times.0),
                        unix_ns: times.2,
                        suspended_ns: times.3,
                    },
                    host: Host { name: "h".to_owned(), kernel: "k".to_owned() },
                    processes,
                    rows: rows.into_iter().map(|parts| row_from(parts, no)).collect(),
                    proofs: (0..no as u32)
                        .map(|ix| Proof::HeldThroughout { object: ObjectIx(ix) })
                        .collect(),
                    objects: objects
                        .into_iter()
                        .map(|(process, address, detail, owner)| Object {
                            process: ProcessIx(process),
                            kind: ObjectKind::Mutex,
                            address,
                            detail,
                            owner,
                        })
                        .collect(),
                    stacks: stacks.into_iter().map(|frames| Stack { frames }).collect(),
                    modules: modules
                        .into_iter()
                        .map(|(path, build_id, deleted)| Module { path, build_id, deleted })
                        .collect(),
                    health: Health {
                        counts: [(Cause::ThreadMoved, times.2)].into(),
                        notes,
                        task_source: "iter/task".to_owned(),
                    },
                }
            })
    })
}

type RowParts = (
    (u32, u64, u64, String),
    (u64, u64, u64, bool),
    (Vec<Index>, u32, Option<u32>),
    (Option<Frame>, BTreeMap<String, String>, Vec<String>),
);

fn row_from((who, when, what, more): RowParts, objects: usize) -> Row {
    Row {
        waiter: Waiter {
            process: ProcessIx(who.0),
            kind: WaiterKind::Thread,
            id: who.1,
            ns_id: who.2,
            birth: who.1,
        },
        name: who.3,
        seen: Ns(when.0),
        state: State::Sleeping,
        stay: Stay { token: when.0, certain: when.3 },
        since: Since {
            earliest: Ns(when.1),
            latest: Ns(when.1 + when.2),
            source: SinceSource::Accounting,
        },
        until: Timeout::Unknown,
        reason: "read".to_owned(),
        objects: (what.0.iter().filter(|_| objects > 0))
            .map(|index| ObjectIx(index.index(objects) as u32))
            .collect(),
        stack: StackIx(what.1),
        kernel_stack: what.2.map(StackIx),
        origin: Origin { entry: more.0, creation: what.2.map(StackIx), parent: Some(who.1) },
        landmark: Some(Landmark::PoolPark),
        labels: more.1,
        notes: more.2,
    }
}

fn labels() -> impl Strategy<Value = BTreeMap<String, String>> {
    proptest::collection::btree_map(".{0,5}", ".{0,5}", 0..3)
}

fn process() -> impl Strategy<Value = Process> {
    (any::<u32>(), any::<u64>(), ".{0,15}", option::of(".{0,20}")).prop_map(
        |(pid, start, name, path)| Process {
            pid,
            ns_pid: pid,
            start_boottime_ns: start,
            exec: start,
            name,
            exe: path.clone(),
            build_id: None,
            cgroup: path,
            uid: Some(pid),
            runtimes: vec![Runtime { name: "glibc".to_owned(), version: None }],
            threads: pid,
            goroutines: None,
        },
    )
}

fn owner() -> impl Strategy<Value = Owner> {
    prop_oneof![
        Just(Owner::None),
        ".{0,9}".prop_map(|why| Owner::NotRecorded { why }),
        (any::<u64>(), option::of(any::<bool>()), ".{0,9}").prop_map(|(id, alive, why)| {
            Owner::Held {
                by: Holder { kind: WaiterKind::Thread, id, recorded: id, alive },
                terms: Terms::Hint { why },
            }
        }),
    ]
}

fn frame(modules: usize) -> impl Strategy<Value = Frame> + Clone {
    prop_oneof![
        (0..modules as u32, any::<u64>())
            .prop_map(|(ix, offset)| Frame::At { module: ModuleIx(ix), offset }),
        any::<u64>().prop_map(Frame::Kernel),
        (".{0,9}", option::of(".{0,9}"), option::of(any::<u32>()))
            .prop_map(|(function, file, line)| Frame::Named { function, file, line }),
        any::<u64>().prop_map(|address| Frame::Unknown { address, why: Unnamed::Moved }),
    ]
}

/// Names every other address, after itself.
pub(super) struct Echo;

impl Names for Echo {
    fn in_module(&mut self, module: &Module, offset: u64) -> Vec<Named> {
        let name = |inlined| Named {
            function: format!("{}:{offset}", module.path),
            file: module.build_id.clone(),
            line: Some(offset as u32),
            inlined,
        };
        if offset.is_multiple_of(2) { vec![name(true), name(false)] } else { Vec::new() }
    }

    fn in_kernel(&mut self, address: u64) -> Option<Named> {
        address.is_multiple_of(2).then(Named::default)
    }
}

/// The names of a snapshot.
pub(super) fn symbols(snapshot: &Snapshot) -> SymbolTable {
    SymbolTable::default().learn(snapshot, &mut Echo)
}
