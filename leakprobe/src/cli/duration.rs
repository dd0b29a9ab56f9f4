//! Durations as people write them: `10s`, `2m`, `500ms`, `1h30m`, `1.5h`; a bare number is seconds.

use std::time::Duration;

/// Nanoseconds of a second.
const SECOND: u128 = 1_000_000_000;

/// Units, largest first, with their nanoseconds.
const UNITS: [(&str, u128); 7] = [
    ("d", 86_400 * SECOND),
    ("h", 3_600 * SECOND),
    ("m", 60 * SECOND),
    ("s", SECOND),
    ("ms", 1_000_000),
    ("us", 1_000),
    ("ns", 1),
];

/// Longest duration that is taken: far beyond any run, and far below where adding it to a clock
/// could overflow.
pub const LONGEST: Duration = Duration::from_secs(10 * 365 * 86_400);

/// Why a text is no duration. Each says what to write instead.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DurationError {
    /// Nothing there.
    #[error("a duration is missing: write for example 10s, 2m or 1h30m")]
    Empty,
    /// It goes back in time.
    #[error("a duration can't be negative")]
    Negative,
    /// Something stands where a number was expected.
    #[error("expected a number at '{0}': write for example 10s, 2m or 1h30m")]
    NoNumber(String),
    /// A number that can't be read: too many digits or several points.
    #[error("can't read the number '{0}'")]
    BadNumber(String),
    /// A unit that is not known.
    #[error("unknown unit '{0}': known are ns, us, ms, s, m, h and d")]
    UnknownUnit(String),
    /// A number without a unit after one that has a unit.
    #[error("'{0}' has no unit: write for example 1h30m")]
    NoUnit(String),
    /// Units that repeat, or a large one after a small one.
    #[error("units go from large to small, each once: write for example 1h30m")]
    Order,
    /// More than [`LONGEST`].
    #[error("too long: the longest duration is 3650d")]
    TooLong,
}

/// Reads a duration.
pub fn parse(text: &str) -> Result<Duration, DurationError> {
    let mut rest = text.trim();
    if rest.is_empty() {
        return Err(DurationError::Empty);
    }
    if rest.starts_with('-') {
        return Err(DurationError::Negative);
    }
    let mut total: u128 = 0;
    let mut smallest: Option<usize> = None;
    while !rest.is_empty() {
        let (number, after) = split_while(rest, |c| c.is_ascii_digit() || c == '.');
        if number.is_empty() {
            return Err(DurationError::NoNumber(rest.to_owned()));
        }
        let (unit, after) = split_while(after, |c| c.is_alphabetic());
        let (rank, scale) = match (unit, smallest) {
            ("", None) if after.is_empty() => (UNITS.len(), SECOND),
            ("", None) => return Err(DurationError::NoNumber(after.to_owned())),
            ("", Some(_)) => return Err(DurationError::NoUnit(number.to_owned())),
            _ => unit_named(unit)?,
        };
        if smallest.is_some_and(|smallest| rank <= smallest) {
            return Err(DurationError::Order);
        }
        smallest = Some(rank);
        total = total.checked_add(scaled(number, scale)?).ok_or(DurationError::TooLong)?;
        rest = after;
    }
    if total > LONGEST.as_nanos() {
        return Err(DurationError::TooLong);
    }
    let seconds = u64::try_from(total / SECOND).map_err(|_| DurationError::TooLong)?;
    let nanos = u32::try_from(total % SECOND).map_err(|_| DurationError::TooLong)?;
    Ok(Duration::new(seconds, nanos))
}

fn split_while(text: &str, belongs: impl Fn(char) -> bool) -> (&str, &str) {
    let end = text.find(|c| !belongs(c)).unwrap_or(text.len());
    text.split_at(end)
}

fn unit_named(name: &str) -> Result<(usize, u128), DurationError> {
    UNITS
        .iter()
        .enumerate()
        .find(|(_, (known, _))| *known == name)
        .map(|(rank, (_, scale))| (rank, *scale))
        .ok_or_else(|| DurationError::UnknownUnit(name.to_owned()))
}

/// `number` (digits, at most one point) times `scale`, in whole nanoseconds, rounded down.
fn scaled(number: &str, scale: u128) -> Result<u128, DurationError> {
    let bad = || DurationError::BadNumber(number.to_owned());
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return Err(bad());
    }
    if whole.len() > 20 {
        return Err(DurationError::TooLong);
    }
    let whole: u128 = match whole {
        "" => 0,
        digits => digits.parse().map_err(|_| bad())?,
    };
    // Beyond nine digits even a day's fraction is too small to matter to anyone.
    let fraction = fraction.get(..9).unwrap_or(fraction);
    let mut nanos = whole.checked_mul(scale).ok_or(DurationError::TooLong)?;
    if !fraction.is_empty() {
        let digits: u128 = fraction.parse().map_err(|_| bad())?;
        let places = u32::try_from(fraction.len()).map_err(|_| bad())?;
        nanos += digits * scale / 10u128.pow(places);
    }
    Ok(nanos)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn common_forms() {
        // Check that the forms that the help mentions mean what people expect.
        for (text, millis) in [
            ("0", 0),
            ("0s", 0),
            ("10s", 10_000),
            ("10", 10_000),
            ("2m", 120_000),
            ("500ms", 500),
            ("1h30m", 5_400_000),
            ("1.5h", 5_400_000),
            ("0.25", 250),
            (".5s", 500),
            ("1d", 86_400_000),
            ("1m500ms", 60_500),
            (" 7s ", 7_000),
        ] {
            assert_eq!(parse(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        assert_eq!(parse("3us"), Ok(Duration::from_micros(3)));
        assert_eq!(parse("3650d"), Ok(LONGEST));
    }

    #[test]
    fn mistakes() {
        // Check that each mistake is told apart, since its message says what to write instead.
        use DurationError::*;
        for (text, error) in [
            ("", Empty),
            ("-1s", Negative),
            ("soon", NoNumber("soon".into())),
            ("10 s", NoNumber(" s".into())),
            ("1.2.3s", BadNumber("1.2.3".into())),
            (".s", BadNumber(".".into())),
            ("10min", UnknownUnit("min".into())),
            ("1h30", NoUnit("30".into())),
            ("30m1h", Order),
            ("1s1s", Order),
            ("3651d", TooLong),
            ("99999999999999999999999d", TooLong),
        ] {
            assert_eq!(parse(text), Err(error), "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in ".*") {
            // Check that no text makes the parser panic or exceed its bound.
            if let Ok(duration) = parse(&text) {
                prop_assert!(duration <= LONGEST);
            }
        }

        #[test]
        fn near_durations_never_panic(text in "[0-9.smhdnu]{0,40}") {
            // Check the same with texts that look like durations.
            if let Ok(duration) = parse(&text) {
                prop_assert!(duration <= LONGEST);
            }
        }

        #[test]
        fn written_out_in_units(
            d in 0u64..3000, h in 0u64..24, m in 0u64..60, s in 0u64..60, ms in 0u64..1000
        ) {
            // Check that the sum of the units is what comes out.
            let text = format!("{d}d{h}h{m}m{s}s{ms}ms");
            let millis = (((d * 24 + h) * 60 + m) * 60 + s) * 1000 + ms;
            prop_assert_eq!(parse(&text), Ok(Duration::from_millis(millis)));
        }
    }
}
