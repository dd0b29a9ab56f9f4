//! What this machine allows, what is lost without it, and what to do.

use super::{exit::Failure, stdout::Stdout};
use crate::probe::{self, Ability, Features};

/// Prints what is there and what isn't.
pub fn doctor(json: bool) -> Result<(), Failure> {
    let features = probe::features();
    let text = if json { document(&features)? } else { table(&features) };
    Stdout::default().say(&text).map_err(Failure::usage)
}

fn document(features: &Features) -> Result<String, Failure> {
    let document = serde_json::json!({
        "schema": "leakprobe.doctor/1",
        "tool": concat!("leakprobe ", env!("CARGO_PKG_VERSION")),
        "kernel": features.kernel,
        "abilities": features.all(),
    });
    serde_json::to_string_pretty(&document).map(|text| text + "\n").map_err(Failure::internal)
}

fn table(features: &Features) -> String {
    let mut text = format!("kernel {}\n\n", features.kernel);
    for ability in features.all() {
        text += &row(ability);
    }
    let missing = features.all().iter().filter(|ability| ability.works != Some(true)).count();
    text += &match missing {
        0 => "\neverything that leakprobe can use is here\n".to_owned(),
        1 => "\n1 thing is missing; leakprobe works without it, with the loss said above\n"
            .to_owned(),
        n => format!(
            "\n{n} things are missing; leakprobe works without them, with the losses said above\n"
        ),
    };
    text
}

fn row(ability: &Ability) -> String {
    let answer = match ability.works {
        Some(true) => "yes",
        Some(false) => "no",
        None => "?",
    };
    let mut text = format!("{answer:<4} {}: {}\n", ability.name, ability.found);
    if ability.works != Some(true) {
        for (label, what) in [("lost", ability.lost), ("do", ability.remedy)] {
            text += &format!("     {label:<5} {what}\n");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_missing_says_what_to_do() {
        // Check the row of each answer.
        let ability = |works| Ability {
            name: "BTF",
            works,
            found: "read".into(),
            lost: "names",
            remedy: "build it",
        };
        assert_eq!(row(&ability(Some(true))), "yes  BTF: read\n");
        let no = "no   BTF: read\n     lost  names\n     do    build it\n";
        assert_eq!(row(&ability(Some(false))), no);
        assert!(row(&ability(None)).starts_with("?    BTF"));
    }
}
