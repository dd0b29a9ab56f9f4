//! One wait beside what the report says of it.

use leakprobe::report::{Grade, ObjectEntry, SinceEntry, Site, Verdict, Waiter};

use super::{Ages, Sight, Target};
use crate::{expect::expectation, workloads::Wait};

/// One wait beside what the report says of it.
pub(super) struct Check<'a> {
    wait: &'a Wait,
    site: &'a Site,
    waiter: &'a Waiter,
    target: &'a Target<'a>,
    sight: &'a Sight,
    wrong: Vec<String>,
}

impl<'a> Check<'a> {
    pub(super) fn new(
        wait: &'a Wait,
        site: &'a Site,
        waiter: &'a Waiter,
        target: &'a Target<'a>,
        sight: &'a Sight,
    ) -> Self {
        Check { wait, site, waiter, target, sight, wrong: Vec::new() }
    }

    /// All that is wrong.
    pub(super) fn all(mut self, at_ns: i64) -> Vec<String> {
        self.stack();
        self.reason_and_objects();
        self.holders();
        self.age(at_ns);
        self.verdict();
        self.company();
        self.wrong
    }
}

/// Whether a frame's function is this one: alone, or at the end of a path.
fn is_function(reported: &str, name: &str) -> bool {
    reported == name || reported.strip_suffix(name).is_some_and(|path| path.ends_with("::"))
}

impl Check<'_> {
    fn stack(&mut self) {
        if let Some(name) = &self.wait.name
            && &self.waiter.name != name
        {
            self.wrong.push(format!("its name is {name:?}, not {:?}", self.waiter.name));
        }
        if !self.sight.names {
            return self.unnamed_stack();
        }
        let own = |function: &str| {
            let mut names = self.target.truth.waits.iter().flat_map(|w| w.functions());
            names.any(|name| is_function(function, name))
        };
        let mut frames = self.site.stack.iter().skip_while(|frame| !own(&frame.function));
        let Some(first) = frames.next() else {
            return self.wrong.push("its stack has no function of its own".into());
        };
        if !is_function(&first.function, self.wait.function()) {
            self.wrong.push(format!("is said to wait in {}", first.function));
        } else if first.file.is_none() || first.line.is_none() {
            self.wrong.push("file and line are missing".into());
        }
        for name in self.wait.functions().skip(1) {
            if !frames.any(|frame| is_function(&frame.function, name)) {
                self.wrong.push(format!("{name} is missing from its stack"));
            }
        }
        if let Some(entry) = self.wait.entry() {
            match &self.site.started_at {
                Some(frame) if is_function(&frame.function, entry) => {}
                other => {
                    let other = other.as_ref().map(|f| f.function.as_str());
                    self.wrong.push(format!("began in {entry}, not in {other:?}"));
                }
            }
        }
    }

    /// Where nothing has a name, the frame's module and offset must do.
    fn unnamed_stack(&mut self) {
        let exe = self.target_exe().and_then(|exe| exe.rsplit('/').next().map(str::to_owned));
        let found = self.site.stack.iter().any(|frame| {
            let module = frame.module.as_deref().and_then(|m| m.rsplit('/').next());
            module.is_some() && module == exe.as_deref() && frame.function.contains("+0x")
        });
        if !found {
            self.wrong.push(format!("no frame says {exe:?}+0x…"));
        }
    }

    fn target_exe(&self) -> Option<String> {
        let path = std::fs::read_link(format!("/proc/{}/exe", self.target.pid)).ok()?;
        Some(path.to_str()?.trim_end_matches(" (deleted)").to_owned())
    }

    /// The objects that this waiter waits on.
    fn objects(&self) -> impl Iterator<Item = &ObjectEntry> {
        let of = |i: &u32| self.site.objects.top.get(*i as usize);
        self.waiter.objects.iter().filter_map(of)
    }

    fn reason_and_objects(&mut self) {
        let Some(expected) = expectation(&self.wait.role, self.sight) else {
            return self.wrong.push(format!("no such role: {}", self.wait.role));
        };
        let reason = self.site.reason.as_str();
        // Rust's primitives have no structure that could be told without a name.
        if !self.sight.names && self.wait.role.starts_with("rust_") && reason == "futex" {
            return;
        }
        if reason.is_empty() || !expected.reasons.is_empty() && !expected.reasons.contains(&reason)
        {
            self.wrong.push(format!("its reason is {reason:?}, not {:?}", expected.reasons));
        }
        if expected.objects.is_empty() {
            return;
        }
        let here = self.objects().any(|object| {
            expected.objects.contains(&object.kind.as_str()) && self.is_object(&object.address)
        });
        if !here {
            let said: Vec<String> =
                self.objects().map(|o| format!("{} {}", o.kind, o.address)).collect();
            self.wrong.push(format!(
                "it waits on {} {}, not on {said:?}",
                expected.objects.join(" or "),
                self.object_name()
            ));
        }
    }

    /// Whether an object's address, as reported, is that of the truth (where that names one).
    fn is_object(&self, address: &str) -> bool {
        if let Some(fd) = self.wait.fd {
            return address == format!("fd {fd}");
        }
        let Some(object) = self.wait.object else {
            return true;
        };
        let digits = address.strip_prefix("0x").unwrap_or_default();
        u64::from_str_radix(digits, 16)
            .is_ok_and(|a| (object..object + self.wait.size.max(1)).contains(&a))
    }

    fn object_name(&self) -> String {
        match (self.wait.fd, self.wait.object) {
            (Some(fd), _) => format!("fd {fd}"),
            (None, Some(address)) => format!("{address:#x}"),
            (None, None) => String::new(),
        }
    }

    fn holders(&mut self) {
        let Some(owner) = self.wait.owner else {
            return;
        };
        if !self.sight.owners {
            return;
        }
        let gone = self.wait.owner_gone;
        let (id, alive): (u32, &[Option<bool>]) = match self.target.tids.get(&owner) {
            _ if gone => (owner, &[Some(false)]),
            Some(&outside) => (outside, &[Some(true)]),
            // Another process's: not everybody can know.
            None => (owner, &[Some(true), None]),
        };
        let right = self.objects().any(|object| {
            let mut holders = object.holders.iter();
            holders.any(|h| h.id == id.to_string() && alive.contains(&h.alive))
        });
        if !right {
            let fate = if gone { "is gone" } else { "lives" };
            self.wrong.push(format!("the holder is {id}, which {fate}: not said"));
        }
    }

    fn age(&mut self, at_ns: i64) {
        let began_ns = self.wait.began_ns as i64 + self.target.clock_offset_ns;
        let truth = (at_ns - began_ns) as f64 / 1e9;
        let (low, high) = (self.waiter.age_seconds, self.waiter.age_max_seconds);
        let right = match self.sight.ages {
            Ages::Within(span) => (low - truth).abs() <= span.as_secs_f64(),
            Ages::Range => {
                let slack = 0.05;
                let above = high.is_none_or(|high| high >= truth - slack);
                self.site.since == SinceEntry::Range && low <= truth + slack && above
            }
        };
        if !right {
            self.wrong.push(format!("it is {truth:.3} s old, not {low:.3} (at most {high:?})"));
        }
    }

    fn verdict(&mut self) {
        let said = self.site.verdict == Verdict::Leaked;
        let truth = self.wait.leaked.map(|leaked| leaked && self.sight.owners);
        if truth.is_some_and(|truth| truth != said) {
            self.wrong.push(match said {
                true => "is called leaked, and isn't".into(),
                false => format!("is leaked, not {}", self.site.verdict.as_str()),
            });
        }
        if said != self.site.grade.is_some() || said && self.site.grade != Some(Grade::Contract) {
            self.wrong.push(format!("its grade is {:?}", self.site.grade));
        }
        if said && self.site.evidence.is_empty() {
            self.wrong.push("is called leaked without evidence".into());
        }
    }

    /// Who waits in the same way stands in the same site, and nobody else.
    fn company(&mut self) {
        if self.wait.leaked.is_none() || !self.sight.names {
            return;
        }
        let like = |other: &&Wait| {
            other.role == self.wait.role
                && other.leaked == self.wait.leaked
                && other.functions().eq(self.wait.functions())
        };
        let count = self.target.truth.waits.iter().filter(like).count() as u64;
        if self.site.count != count {
            self.wrong
                .push(format!("{count} wait like this, but its site has {}", self.site.count));
        }
    }
}
