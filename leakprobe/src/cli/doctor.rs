//! What this machine allows, what is lost without it, and what to do.

use serde::Serialize;

use super::{exit::Failure, stdout::Stdout};
use crate::probe;

/// One ability.
#[derive(Clone, Debug, Serialize)]
struct Row {
    ability: String,
    available: bool,
    /// What is lost without it.
    lost: String,
    /// What to do to have it.
    remedy: String,
}

/// Prints what is there and what isn't.
pub fn doctor(json: bool) -> Result<(), Failure> {
    let rows = rows(&probe::features());
    let text = match json {
        true => serde_json::to_string_pretty(&serde_json::json!({
            "schema": "leakprobe.doctor/1",
            "tool": concat!("leakprobe ", env!("CARGO_PKG_VERSION")),
            "abilities": rows,
        }))
        .map(|text| text + "\n")
        .map_err(Failure::internal)?,
        false => table(&rows),
    };
    Stdout::default().say(&text).map_err(Failure::usage)
}

fn rows(features: &probe::Features) -> Vec<Row> {
    (features.rows.iter())
        .map(|feature| Row {
            ability: feature.ability.clone(),
            available: feature.available,
            lost: feature.lost.clone(),
            remedy: feature.remedy.clone(),
        })
        .collect()
}

fn table(rows: &[Row]) -> String {
    let mut text = String::new();
    for row in rows {
        let answer = if row.available { "yes" } else { "no " };
        text += &format!("{answer}  {}\n", row.ability);
        if !row.available {
            for (label, what) in [("lost", &row.lost), ("do", &row.remedy)] {
                if !what.is_empty() {
                    text += &format!("     {label:<5} {what}\n");
                }
            }
        }
    }
    let missing = rows.iter().filter(|row| !row.available).count();
    text += &match missing {
        0 => "\nAll that leakprobe can use is here.\n".to_owned(),
        n => format!(
            "\n{n} of {} missing: leakprobe works without, and says in each report what it could not see.\n",
            rows.len()
        ),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(available: bool) -> Row {
        Row {
            ability: "task iterator".into(),
            available,
            lost: "exact ages".into(),
            remedy: "run as root".into(),
        }
    }

    #[test]
    fn says_what_to_do_only_where_needed() {
        // Check that a missing ability says what is lost and what to do, and a present one doesn't.
        assert!(!table(&[row(true)]).contains("run as root"));
        let missing = table(&[row(true), row(false)]);
        assert!(
            missing.contains("no   task iterator\n     lost  exact ages\n     do    run as root\n")
        );
        assert!(missing.contains("1 of 2 missing"));
    }
}
