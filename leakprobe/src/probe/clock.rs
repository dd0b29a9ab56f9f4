//! Clocks, and what the scheduler's own clock is in `CLOCK_MONOTONIC`.
//!
//! The scheduler stamps tasks with `sched_clock`: it began near the boot like `CLOCK_MONOTONIC`,
//! but is not steered by NTP and drifts away from it. What it shows now is found on a thread that
//! has just been woken at a known time: its `last_arrival` must lie between that time and the
//! first moment at which it can read a clock itself.

use crate::snapshot::{Clock, Ns};

/// Now, in `CLOCK_MONOTONIC`.
pub fn monotonic_now() -> Ns {
    Ns(read(libc::CLOCK_MONOTONIC))
}

/// Now, in all the clocks that reports need.
pub fn clock_now() -> Clock {
    let monotonic = read(libc::CLOCK_MONOTONIC);
    Clock {
        monotonic: Ns(monotonic),
        unix_ns: read(libc::CLOCK_REALTIME),
        suspended_ns: read(libc::CLOCK_BOOTTIME).saturating_sub(monotonic),
    }
}

fn read(clock: libc::clockid_t) -> u64 {
    let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: `time` is valid for writes. The clocks read here exist on every kernel; if one did
    // not, the time would stay 0.
    unsafe { libc::clock_gettime(clock, &mut time) };
    time.tv_sec as u64 * 1_000_000_000 + time.tv_nsec as u64
}

/// How the scheduler's clock relates to `CLOCK_MONOTONIC`: this much has to be added to it, at
/// least and at most.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Calibration {
    least: i64,
    most: i64,
    /// When, in `CLOCK_MONOTONIC`.
    at: u64,
}

/// One observation of a thread that has just been woken.
#[derive(Clone, Copy, Debug)]
pub(super) struct Wakeup {
    /// It slept until this, `CLOCK_MONOTONIC` ns.
    pub(super) due: u64,
    /// It ran again by this.
    pub(super) awake: u64,
    /// Its context switches, both kinds, when it read `awake`.
    pub(super) switches: u64,
}

/// How long the calibrating thread sleeps.
const NAP_NS: u64 = 50_000;

/// How long a calibration holds: NTP turns `CLOCK_MONOTONIC` by 500 ppm at most.
const STEADY_NS: u64 = 1_000_000_000;

/// The bounds are good enough below this; the age is promised to a millisecond.
const GOOD_NS: i64 = 200_000;

/// The longest tick that kernels are built with (100 Hz).
const TICK_NS: i64 = 10_000_000;

impl Wakeup {
    /// Sleeps for a moment on the calling thread; `None` if it did not come to that: the moment was
    /// over before, or a signal ended it.
    pub(super) fn nap() -> Option<Wakeup> {
        let before = own_switches();
        let due = read(libc::CLOCK_MONOTONIC) + NAP_NS;
        let until = libc::timespec {
            tv_sec: (due / 1_000_000_000) as libc::time_t,
            tv_nsec: (due % 1_000_000_000) as libc::c_long,
        };
        // SAFETY: `until` is valid for reads; no remainder is asked for with an absolute time.
        let error = unsafe {
            libc::clock_nanosleep(
                libc::CLOCK_MONOTONIC,
                libc::TIMER_ABSTIME,
                &until,
                std::ptr::null_mut(),
            )
        };
        let awake = read(libc::CLOCK_MONOTONIC);
        let after = own_switches();
        let slept = error == 0 && after.voluntary > before.voluntary;
        slept.then_some(Wakeup {
            due,
            awake,
            switches: after.voluntary.saturating_add(after.involuntary),
        })
    }
}

/// Context switches of a thread.
struct Switches {
    voluntary: u64,
    involuntary: u64,
}

/// Those of the calling thread.
fn own_switches() -> Switches {
    let mut usage = std::mem::MaybeUninit::<libc::rusage>::zeroed();
    // SAFETY: `usage` is valid for writes, and zeroes are a valid rusage if nothing is written.
    let usage = unsafe {
        libc::getrusage(libc::RUSAGE_THREAD, usage.as_mut_ptr());
        usage.assume_init()
    };
    Switches { voluntary: usage.ru_nvcsw as u64, involuntary: usage.ru_nivcsw as u64 }
}

/// Narrows the relation of the two clocks down, wake-up by wake-up.
#[derive(Debug)]
pub(super) struct Calibrator {
    least: i64,
    most: i64,
    used: u32,
}

impl Calibrator {
    pub(super) fn new() -> Self {
        Calibrator { least: i64::MIN, most: i64::MAX, used: 0 }
    }

    /// Takes in what the kernel said of the thread after a wake-up: its last arrival on a CPU and
    /// its context switches. An observation is void if the thread was switched in between.
    pub(super) fn observe(&mut self, wakeup: Wakeup, last_arrival: u64, switches: u64) {
        if switches != wakeup.switches {
            return;
        }
        self.most = self.most.min(difference(wakeup.awake, last_arrival));
        self.least = self.least.max(difference(wakeup.due, last_arrival));
        self.used += 1;
    }

    /// Whether more wake-ups would gain little.
    pub(super) fn is_good(&self) -> bool {
        self.used > 1 && self.most.saturating_sub(self.least) < GOOD_NS
    }

    /// The result; `None` if no wake-up was usable, or they contradict each other by more than a
    /// tick.
    ///
    /// Where the CPU's time stamps are not stable the scheduler's clock differs from CPU to CPU, by
    /// up to a tick (kernel/sched/clock.c): then the bounds cross, and the truth is between them.
    pub(super) fn finish(&self) -> Option<Calibration> {
        let (least, most) = (self.least.min(self.most), self.least.max(self.most));
        let crossed = self.least > self.most;
        if self.used == 0 || crossed && most.saturating_sub(least) > TICK_NS {
            return None;
        }
        Some(Calibration { least, most, at: read(libc::CLOCK_MONOTONIC) })
    }
}

impl Calibration {
    /// The two clocks are the same; for tests.
    #[cfg(test)]
    pub(super) fn exact(at: u64) -> Calibration {
        Calibration { least: 0, most: 0, at }
    }

    /// Whether the clocks may have drifted apart since by more than is promised.
    pub(super) fn is_old(&self, now: Ns) -> bool {
        now.0.saturating_sub(self.at) > STEADY_NS
    }

    /// A time of the scheduler's clock, in `CLOCK_MONOTONIC`: between the two.
    ///
    /// The relation is known as of now. Both clocks began at the boot, and have drifted apart as far
    /// as they are now: of that, as large a part is allowed for as the time ago is of the uptime.
    pub(super) fn monotonic(&self, scheduler_ns: u64) -> (Ns, Ns) {
        let earliest = scheduler_ns.saturating_add_signed(self.least);
        let latest = scheduler_ns.saturating_add_signed(self.most);
        let apart = self.least.unsigned_abs().max(self.most.unsigned_abs());
        let ago = u128::from(self.at.saturating_sub(latest));
        let drift = u128::from(apart) * ago / u128::from(self.at.max(1));
        // No more than `apart`, as `ago` is no more than `at`.
        let drift = drift as u64;
        (Ns(earliest.saturating_sub(drift)), Ns(latest.saturating_add(drift)))
    }
}

fn difference(a: u64, b: u64) -> i64 {
    (i128::from(a) - i128::from(b)).clamp(i64::MIN.into(), i64::MAX.into()) as i64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn wakeups_narrow_the_relation() {
        // Check that the true difference stays between the bounds, which each wake-up narrows, and
        // that an observation from after another switch is not used.
        let mut calibrator = Calibrator::new();
        let truth = 1_000_000; // the scheduler's clock is this much behind
        for (due, woken, awake) in [(5_000, 9_000, 12_000), (50_000, 51_000, 60_000)] {
            let wakeup = Wakeup { due: truth + due, awake: truth + awake, switches: 7 };
            calibrator.observe(wakeup, woken, 7);
            calibrator.observe(wakeup, woken + 100_000, 8);
        }
        assert_eq!(calibrator.used, 2);
        let calibration = calibrator.finish().unwrap();
        assert_eq!(calibration.least, truth as i64 - 1_000);
        assert_eq!(calibration.most, truth as i64 + 3_000);
    }

    #[test]
    fn contradictions_give_nothing() {
        // Check that clocks that contradict each other, or nothing observed, are no calibration.
        assert_eq!(Calibrator::new().finish(), None);
        let mut calibrator = Calibrator::new();
        for arrival in [1_000, 19_000_000] {
            let wakeup = Wakeup { due: 10_000_000, awake: 10_001_000, switches: 1 };
            calibrator.observe(wakeup, arrival, 1);
        }
        assert_eq!(calibrator.finish(), None);
    }

    #[test]
    fn clocks_may_differ_by_a_tick() {
        // Check that wake-ups on CPUs whose clocks differ by a tick widen the bounds.
        let mut calibrator = Calibrator::new();
        for arrival in [10_000_000, 14_000_000] {
            let wakeup = Wakeup { due: 9_999_000, awake: 10_001_000, switches: 1 };
            calibrator.observe(wakeup, arrival, 1);
        }
        let calibration = calibrator.finish().unwrap();
        assert_eq!((calibration.least, calibration.most), (-3_999_000, -1_000));
    }

    #[test]
    fn long_ago_is_less_certain() {
        // Check that drift widens what is said of times long ago, and that no input overflows.
        let calibration = Calibration { least: 10, most: 4_000, at: 2_000_000_000 };
        let (earliest, latest) = calibration.monotonic(500_000_000);
        assert!(earliest <= Ns(500_000_000 + 10 - 2_990));
        assert!(latest >= Ns(500_000_000 + 4_000 + 2_990));
        let (earliest, latest) = calibration.monotonic(2_000_000_000);
        assert_eq!((earliest, latest), (Ns(2_000_000_010), Ns(2_000_004_000)));
        for extreme in [0, u64::MAX] {
            let (earliest, latest) = calibration.monotonic(extreme);
            assert!(earliest <= latest);
        }
    }

    #[test]
    fn clocks_tick() {
        // Check that the clocks are read in the right unit.
        let before = monotonic_now();
        let clock = clock_now();
        assert!(clock.monotonic >= before);
        assert!(clock.unix_ns > 1_600_000_000 * 1_000_000_000);
        assert!(monotonic_now().seconds_since(before) < 60.0);
    }
}
