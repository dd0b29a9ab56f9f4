//! What persists over snapshots is tested together with the verdicts; here: what must not.

use super::*;

#[test]
fn an_empty_track_has_nothing_to_say() {
    // Check that nothing is made up before the first snapshot.
    let track = Track::new(Duration::from_secs(1));
    assert!(track.newest().is_none());
    assert!(track.tracked().is_empty());
    assert_eq!(track.watched_ns(), 0);
}
