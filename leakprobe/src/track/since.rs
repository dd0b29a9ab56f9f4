//! Narrowing down when a wait began.

use crate::snapshot::{Since, SinceSource};

/// What two snapshots of the same wait together say about its begin. Where they contradict each
/// other (a clock was calibrated differently) the more certain source stands.
pub fn narrow(a: Since, b: Since) -> Since {
    let (better, other) = if rank(b.source) < rank(a.source) { (b, a) } else { (a, b) };
    let earliest = better.earliest.max(other.earliest);
    let latest = better.latest.min(other.latest);
    if earliest > latest {
        return better;
    }
    Since { earliest, latest, source: better.source }
}

fn rank(source: SinceSource) -> u8 {
    match source {
        SinceSource::Event => 0,
        SinceSource::Accounting => 1,
        SinceSource::FirstSeen => 2,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Ns;

    fn since(earliest: u64, latest: u64, source: SinceSource) -> Since {
        Since { earliest: Ns(earliest), latest: Ns(latest), source }
    }

    #[test]
    fn ranges_are_intersected() {
        // Check that a later look at the same wait can only narrow its begin.
        let first = since(10, 100, SinceSource::FirstSeen);
        let second = since(10, 200, SinceSource::FirstSeen);
        assert_eq!(narrow(first, second), first);
        assert_eq!(narrow(second, first), first);
    }

    #[test]
    fn the_better_source_wins_a_contradiction() {
        // Check that accounting is not spoilt by a weaker source that disagrees with it.
        let accounting = since(50, 60, SinceSource::Accounting);
        let seen = since(70, 90, SinceSource::FirstSeen);
        assert_eq!(narrow(accounting, seen), accounting);
        assert_eq!(narrow(seen, accounting), accounting);
    }
}
