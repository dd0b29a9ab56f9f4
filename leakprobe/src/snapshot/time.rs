//! Times and the machine they were taken on.

use serde::{Deserialize, Serialize};

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(transparent)]
pub struct Ns(pub u64);

impl Ns {
    /// Seconds from `earlier` to `self`, 0 if `earlier` is later.
    pub fn seconds_since(self, earlier: Ns) -> f64 {
        self.0.saturating_sub(earlier.0) as f64 / 1e9
    }
}

/// Ties the monotonic clock to the wall clock: both were read at the same moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Clock {
    /// `CLOCK_MONOTONIC`.
    pub monotonic: Ns,
    /// Wall clock (`CLOCK_REALTIME`), nanoseconds since 1970.
    pub unix_ns: u64,
    /// `CLOCK_BOOTTIME` minus `CLOCK_MONOTONIC`: nanoseconds that the machine was suspended.
    pub suspended_ns: u64,
}

impl Clock {
    /// Wall clock, nanoseconds since 1970, of a monotonic time.
    pub fn unix_ns_of(&self, at: Ns) -> u64 {
        self.unix_ns.saturating_add(at.0).saturating_sub(self.monotonic.0)
    }

    /// Wall clock, nanoseconds since 1970, of a `CLOCK_BOOTTIME` time (what process starts are in).
    pub fn unix_ns_of_boottime(&self, boottime_ns: u64) -> u64 {
        (self.unix_ns.saturating_add(boottime_ns))
            .saturating_sub(self.monotonic.0.saturating_add(self.suspended_ns))
    }
}

/// The machine that was looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Host {
    /// Node name.
    pub name: String,
    /// Kernel release.
    pub kernel: String,
}
