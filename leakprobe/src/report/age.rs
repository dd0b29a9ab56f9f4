//! Durations as people read them.

/// A duration with the two largest units that say something: `350 ms`, `4.2 s`, `42 s`,
/// `3 m 12 s`, `5 h 03 m`, `12 d 4 h`. Rounded down: an age is never said to be more than it is.
pub fn humane(seconds: f64) -> String {
    // `as` saturates, and takes NaN to 0.
    let ms = (seconds.max(0.0) * 1e3 + 1e-6) as u64;
    let s = ms / 1_000;
    match s {
        0 => format!("{ms} ms"),
        1..10 => format!("{s}.{} s", ms % 1_000 / 100),
        10..60 => format!("{s} s"),
        60..3_600 => format!("{} m {:02} s", s / 60, s % 60),
        3_600..86_400 => format!("{} h {:02} m", s / 3_600, s % 3_600 / 60),
        _ => format!("{} d {} h", s / 86_400, s % 86_400 / 3_600),
    }
}

#[cfg(test)]
mod tests {
    use super::humane;

    #[test]
    fn each_range_has_its_units() {
        // Check that a duration is said in units that fit it, and hostile numbers are harmless.
        for (seconds, text) in [
            (0.0, "0 ms"),
            (0.35, "350 ms"),
            (1.0, "1.0 s"),
            (4.29, "4.2 s"),
            (42.9, "42 s"),
            (192.4, "3 m 12 s"),
            (18_180.0, "5 h 03 m"),
            (1_051_200.0, "12 d 4 h"),
            (-1.0, "0 ms"),
            (f64::NAN, "0 ms"),
        ] {
            assert_eq!(humane(seconds), text, "{seconds}");
        }
        assert!(humane(f64::INFINITY).ends_with(" h"));
    }
}
