//! Hand-made snapshots for tests: a program with one of each, as a C programmer writes it.

use std::collections::BTreeMap;

use super::{Evidence, Grade, Report, ReportOptions, Verdict, build};
use crate::{
    snapshot::*,
    stack::{Named, Names},
    verdict::{Judged, Judgement},
};

/// A snapshot in the making, with what is thought of each row.
pub(crate) struct Sample {
    pub(crate) snapshot: Snapshot,
    pub(crate) judgement: Judgement,
    pub(crate) names: Table,
}

/// Names by (module's file name, offset).
#[derive(Default)]
pub(crate) struct Table {
    pub(crate) named: BTreeMap<(String, u64), Vec<Named>>,
    /// How often each address was asked for.
    pub(crate) asked: BTreeMap<(String, u64), usize>,
}

impl Names for Table {
    fn in_module(&mut self, module: &Module, offset: u64) -> Vec<Named> {
        let key = (module.file_name().to_owned(), offset);
        *self.asked.entry(key.clone()).or_default() += 1;
        self.named.get(&key).cloned().unwrap_or_default()
    }

    fn in_kernel(&mut self, address: u64) -> Option<Named> {
        (address == 0xffff_ffff_8100_0000)
            .then(|| Named { function: "futex_wait_queue".to_owned(), ..Named::default() })
    }
}

impl Sample {
    /// No process, no row.
    pub(crate) fn new() -> Self {
        Sample {
            snapshot: Snapshot {
                began: Ns(1_000_000_000_000),
                ended: Ns(1_000_100_000_000),
                clock: Clock {
                    monotonic: Ns(1_000_000_000_000),
                    unix_ns: 1_700_000_000_000_000_000,
                    suspended_ns: 0,
                },
                host: Host { name: "box".to_owned(), kernel: "6.18.0".to_owned() },
                processes: Vec::new(),
                rows: Vec::new(),
                objects: Vec::new(),
                proofs: Vec::new(),
                stacks: Vec::new(),
                modules: Vec::new(),
                health: Health { task_source: "iter/task".to_owned(), ..Health::default() },
            },
            judgement: Judgement { snapshots: 1, ..Judgement::default() },
            names: Table::default(),
        }
    }

    pub(crate) fn process(&mut self, pid: u32, name: &str, exe: &str) -> ProcessIx {
        self.snapshot.processes.push(Process {
            pid,
            ns_pid: pid,
            start_boottime_ns: 800_000_000_000,
            exec: 1,
            name: name.to_owned(),
            exe: Some(exe.to_owned()),
            build_id: Some("abcd".to_owned()),
            cgroup: Some("/system.slice/waits.service".to_owned()),
            uid: Some(1000),
            runtimes: vec![Runtime { name: "glibc".to_owned(), version: Some("2.36".to_owned()) }],
            threads: 34,
            goroutines: None,
        });
        ProcessIx(self.snapshot.processes.len() as u32 - 1)
    }

    /// A stack from `module!function|file:line`, innermost first; `module+1f` has no name,
    /// `<why>` is where unwinding stopped.
    pub(crate) fn stack(&mut self, frames: &[&str]) -> StackIx {
        let frames = frames.iter().map(|text| self.frame(text)).collect();
        self.snapshot.stacks.push(Stack { frames });
        StackIx(self.snapshot.stacks.len() as u32 - 1)
    }

    pub(crate) fn frame(&mut self, text: &str) -> Frame {
        if text == "<cut>" {
            return Frame::Unknown { address: 0, why: Unnamed::NoUnwindInfo };
        }
        if let Some((module, offset)) = text.split_once("+") {
            let offset = u64::from_str_radix(offset, 16).unwrap();
            return Frame::At { module: self.module(module), offset };
        }
        let (module, named) = text.split_once('!').unwrap();
        let (function, source) = named.split_once('|').map_or((named, None), |(f, s)| (f, Some(s)));
        let (file, line) = source.and_then(|s| s.split_once(':')).unzip();
        // An offset of its own for each name.
        let offset = 0x1000 + text.bytes().fold(0u64, |h, b| (h * 31 + u64::from(b)) % 0xf_ffff);
        let index = self.module(module);
        let file_name = module.rsplit('/').next().unwrap().to_owned();
        let named = Named {
            function: function.to_owned(),
            file: file.map(|file| format!("/src/{file}")),
            line: line.map(|line| line.parse().unwrap()),
            inlined: false,
        };
        self.names.named.insert((file_name, offset), vec![named]);
        Frame::At { module: index, offset }
    }

    fn module(&mut self, path: &str) -> ModuleIx {
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/lib/{path}") };
        let modules = &mut self.snapshot.modules;
        let at = modules.iter().position(|m| m.path == path).unwrap_or_else(|| {
            modules.push(Module { path, build_id: Some("abcd".to_owned()), deleted: false });
            modules.len() - 1
        });
        ModuleIx(at as u32)
    }

    pub(crate) fn object(
        &mut self,
        process: ProcessIx,
        kind: ObjectKind,
        address: u64,
        owner: Owner,
    ) -> ObjectIx {
        let detail = match kind {
            ObjectKind::Pipe => BTreeMap::from([
                ("fd".to_owned(), address.to_string()),
                ("target".to_owned(), "pipe:[123]".to_owned()),
            ]),
            _ => BTreeMap::new(),
        };
        self.snapshot.objects.push(Object { process, kind, address, detail, owner });
        ObjectIx(self.snapshot.objects.len() as u32 - 1)
    }

    /// A thread that has waited for `age_ms`; `waiting` until it is judged otherwise.
    pub(crate) fn thread(
        &mut self,
        process: ProcessIx,
        tid: u64,
        reason: &str,
        stack: StackIx,
        objects: &[ObjectIx],
        age_ms: u64,
    ) -> &mut Judged {
        let began = Ns((self.snapshot.ended.0).saturating_sub(age_ms * 1_000_000));
        self.snapshot.rows.push(Row {
            waiter: Waiter { process, kind: WaiterKind::Thread, id: tid, ns_id: tid, birth: tid },
            name: format!("w{tid}"),
            seen: self.snapshot.ended,
            state: State::Sleeping,
            stay: Stay { token: 1, certain: true },
            since: Since { earliest: began, latest: began, source: SinceSource::Accounting },
            until: Timeout::Never,
            reason: reason.to_owned(),
            objects: objects.to_vec(),
            stack,
            kernel_stack: None,
            origin: Origin::default(),
            landmark: None,
            labels: BTreeMap::new(),
            notes: Vec::new(),
        });
        self.judgement.rows.push(Judged {
            row: self.snapshot.rows.len() - 1,
            verdict: Verdict::Waiting,
            grade: None,
            evidence: Vec::new(),
            age_ns: (age_ms * 1_000_000, None),
            at_site_ns: age_ms * 1_000_000,
        });
        self.judgement.rows.last_mut().unwrap()
    }

    pub(crate) fn report(&mut self) -> Report {
        build(&self.snapshot, &self.judgement, &mut self.names, &ReportOptions::default())
    }
}

/// A mutex held by thread `id`.
pub(crate) fn held_by(id: u64, alive: bool) -> Owner {
    Owner::Held {
        by: Holder { kind: WaiterKind::Thread, id, recorded: id, alive: Some(alive) },
        terms: Terms::OwnerMustRelease,
    }
}

pub(crate) fn evidence(rule: &str, text: &str) -> Evidence {
    Evidence { rule: rule.to_owned(), text: text.to_owned(), values: BTreeMap::new() }
}

impl Judged {
    pub(crate) fn leaked(&mut self, rule: &str, text: &str) {
        self.verdict = Verdict::Leaked;
        self.grade = Some(Grade::Contract);
        self.evidence.push(evidence(rule, text));
    }
}

const LIBC: &str = "libc.so.6!";

/// Ten threads on a mutex and its holder that sleeps, ten on a condition variable, five in read() of a
/// pipe, one mutex whose owner exited, one ABBA deadlock.
pub(crate) fn deadlock() -> Sample {
    let mut s = Sample::new();
    let p = s.process(4242, "waits", "/srv/waits");
    let app = |function: &str| format!("/srv/waits!{function}");
    let end = ["libc.so.6!start_thread", "libc.so.6!clone3"];
    let stack = |s: &mut Sample, libc: &[&str], own: &[&str]| {
        let frames: Vec<String> = (libc.iter().map(|f| format!("{LIBC}{f}")))
            .chain(own.iter().map(|f| app(f)))
            .chain(end.iter().map(|f| (*f).to_owned()))
            .collect();
        s.stack(&frames.iter().map(String::as_str).collect::<Vec<_>>())
    };
    let lock = ["__lll_lock_wait", "pthread_mutex_lock@@GLIBC_2.2.5"];

    let busy = s.object(p, ObjectKind::Mutex, 0x5555_0000_1000, held_by(4250, true));
    let at = stack(&mut s, &lock, &["take|waits.c:31", "worker|waits.c:77"]);
    for n in 0..10 {
        s.thread(p, 4260 + n, "pthread_mutex_lock", at, &[busy], 192_400 - n * 1_000);
    }
    let at = stack(&mut s, &["clock_nanosleep", "sleep"], &["hold|waits.c:20"]);
    s.thread(p, 4250, "clock_nanosleep", at, &[], 193_000);
    let cond = s.object(p, ObjectKind::Condvar, 0x5555_0000_2000, Owner::None);
    let at = stack(
        &mut s,
        &["__futex_abstimed_wait_common", "pthread_cond_wait"],
        &["consume|waits.c:42", "worker|waits.c:79"],
    );
    for n in 0..10 {
        s.thread(p, 4270 + n, "pthread_cond_wait", at, &[cond], 191_000 - n);
    }
    let at = stack(&mut s, &["read"], &["drain|waits.c:55", "worker|waits.c:81"]);
    for n in 0..5 {
        let pipe = s.object(p, ObjectKind::Pipe, 5 + n, Owner::None);
        s.thread(p, 4280 + n, "read", at, &[pipe], 190_000);
    }
    let orphan = s.object(p, ObjectKind::Mutex, 0x5555_0000_3000, held_by(4251, false));
    let at = stack(&mut s, &lock, &["inherit|waits.c:90", "heir|waits.c:93"]);
    s.thread(p, 4290, "pthread_mutex_lock", at, &[orphan], 189_000).leaked(
        "owner_gone",
        "waits without timeout for mutex 0x555500003000, whose owner T4251 has exited",
    );
    let a = s.object(p, ObjectKind::Mutex, 0x5555_0000_4000, held_by(4292, true));
    let b = s.object(p, ObjectKind::Mutex, 0x5555_0000_5000, held_by(4291, true));
    let text = "T4291 → mutex 0x555500004000 held by T4292 → mutex 0x555500005000 held by T4291";
    for (tid, object, own) in [
        (4291, a, ["lock_ab|waits.c:101", "left|waits.c:110"]),
        (4292, b, ["lock_ba|waits.c:105", "right|waits.c:115"]),
    ] {
        let at = stack(&mut s, &lock, &own);
        s.thread(p, tid, "pthread_mutex_lock", at, &[object], 188_000).leaked("owner_cycle", text);
    }
    let n = s.snapshot.rows.len();
    s.judgement.cycles.push(vec![n - 2, n - 1]);
    s
}
