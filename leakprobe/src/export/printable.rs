//! Names come from the target. A terminal must not obey them, nor a reader be led astray.

use std::borrow::Cow;

/// `text` with everything escaped that is not plainly visible: control characters (ESC, newlines),
/// characters that reorder or hide text, and what XML forbids.
pub(super) fn printable(text: &str) -> Cow<'_, str> {
    if !text.chars().any(is_hidden) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len() + 8);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\t' => out.push_str("\\t"),
            c if is_hidden(c) && (c as u32) < 0x100 => {
                out.push_str(&format!("\\x{:02x}", c as u32));
            }
            c if is_hidden(c) => out.push_str(&format!("\\u{{{:x}}}", c as u32)),
            c => out.push(c),
        }
    }
    Cow::Owned(out)
}

/// Control characters, Unicode's formatting characters (Cf: zero width, bidirectional), line and
/// paragraph separators, tags, variation selectors' neighbours that XML 1.0 does not allow.
fn is_hidden(c: char) -> bool {
    c.is_control()
        || matches!(
            c,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{fffe}'
                | '\u{ffff}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn nothing_reaches_the_terminal_as_a_command() {
        // Check that what a terminal or a reader would be misled by is escaped, and text is not.
        for (raw, shown) in [
            ("std::vec<µ, 漢>", "std::vec<µ, 漢>"),
            ("\u{1b}[2Jgone", "\\x1b[2Jgone"),
            ("a\nb\tc\r", "a\\nb\\tc\\x0d"),
            ("\u{9b}31m", "\\x9b31m"),
            ("\u{202e}evil", "\\u{202e}evil"),
            ("\u{ffff}", "\\u{ffff}"),
        ] {
            assert_eq!(printable(raw), shown);
        }
    }
}
