//! What waiters are called in running text.

use std::fmt::Display;

/// `T7` for a thread, `G7` for a goroutine; of a kind that this version does not know, the kind and
/// the id.
pub fn who(kind: &str, id: impl Display) -> String {
    match kind {
        "thread" => format!("T{id}"),
        "goroutine" => format!("G{id}"),
        kind => format!("{kind} {id}"),
    }
}
