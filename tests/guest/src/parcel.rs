//! What comes back from a guest: files and an exit code, framed by length.
//!
//! ```text
//! leakprobe-file SIZE NAME\n  SIZE bytes
//! …
//! leakprobe-exit CODE\n
//! ```
//!
//! The second serial port carries nothing else, so that no kernel message can fall into it.

use std::collections::BTreeMap;

use anyhow::{Context, Result, bail};

/// The guest's side: a shell function that sends `/out` and an exit code to `/dev/ttyS1`.
pub const SEND: &str = r#"
send() {
    stty -F /dev/ttyS1 raw -echo -onlcr 4000000 2>/dev/null || stty -F /dev/ttyS1 raw -echo
    {
        find /out -type f | while read -r path; do
            printf 'leakprobe-file %d %s\n' "$(stat -c %s "$path")" "${path#/out/}"
            cat "$path"
        done
        printf 'leakprobe-exit %d\n' "$1"
    } >/dev/ttyS1
}
"#;

/// What was sent.
#[derive(Debug, Default, PartialEq)]
pub struct Parcel {
    /// By path below `/out`.
    pub files: BTreeMap<String, Vec<u8>>,
    /// The script's exit code.
    pub exit_code: i32,
}

/// Takes a parcel apart.
pub fn unpack(mut bytes: &[u8]) -> Result<Parcel> {
    let mut parcel = Parcel::default();
    loop {
        let line_end = bytes
            .iter()
            .position(|b| *b == b'\n')
            .context("the guest ended before it had sent its results")?;
        let (line, rest) = bytes.split_at(line_end);
        let line = str::from_utf8(line).context("the guest's results are garbled")?;
        let rest = &rest[1..];
        match line.split(' ').collect::<Vec<_>>()[..] {
            ["leakprobe-exit", code] => {
                parcel.exit_code = code.parse().context("garbled exit code")?;
                return Ok(parcel);
            }
            ["leakprobe-file", size, ..] => {
                let name = &line["leakprobe-file ".len() + size.len() + 1..];
                let size: usize = size.parse().context("garbled size")?;
                let (content, after) = rest
                    .split_at_checked(size)
                    .with_context(|| format!("the guest ended in the middle of {name}"))?;
                parcel.files.insert(name.to_owned(), content.to_owned());
                bytes = after;
            }
            _ => bail!("the guest's results are garbled at {line:?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Check that files come back byte for byte, also when they look like framing, and names with
    /// spaces.
    #[test]
    fn whole() {
        let sent =
            b"leakprobe-file 17 a b\nleakprobe-exit 9\nleakprobe-file 0 d/e\nleakprobe-exit 3\n";
        let parcel = unpack(sent).unwrap();
        assert_eq!(parcel.exit_code, 3);
        assert_eq!(parcel.files["a b"], b"leakprobe-exit 9\n");
        assert_eq!(parcel.files["d/e"], b"");
    }

    /// Check that every cut of a parcel is an error that says so.
    #[test]
    fn cut_short() {
        let sent = b"leakprobe-file 4 a\nabcdleakprobe-exit 0\n";
        for end in 0..sent.len() {
            assert!(unpack(&sent[..end]).is_err(), "cut at {end}");
        }
        assert!(unpack(sent).is_ok());
    }
}
