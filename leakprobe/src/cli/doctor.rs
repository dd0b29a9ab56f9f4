//! What this machine allows, what is lost without it, and what to do.

use super::{exit::Failure, stdout::Stdout};
use crate::probe::{self, Ability};

/// Prints what is there and what isn't: for people, or as JSON.
pub fn doctor(json: bool) -> Result<(), Failure> {
    let features = probe::features();
    let abilities: Vec<&Ability> = features.all().into_iter().collect();
    let text = if json {
        let document = serde_json::json!({
            "schema": "leakprobe.doctor/1",
            "tool": concat!("leakprobe ", env!("CARGO_PKG_VERSION")),
            "kernel": features.kernel,
            "abilities": abilities,
        });
        serde_json::to_string_pretty(&document).map_err(Failure::internal)? + "\n"
    } else {
        format!("kernel {}\n\n{}", features.kernel, table(&abilities))
    };
    Stdout::default().say(&text).map_err(Failure::usage)
}

/// One line each, and below those that are missing what that means.
fn table(abilities: &[&Ability]) -> String {
    let width = abilities.iter().map(|a| a.name.len()).max().unwrap_or(0);
    let mut text = String::new();
    for ability in abilities {
        let answer = match ability.works {
            Some(true) => "yes",
            Some(false) => "no",
            None => "?",
        };
        let Ability { name, found, .. } = ability;
        text += &format!("{answer:<3}  {name:<width$}  {found}\n");
        if ability.works != Some(true) {
            text += &format!("       without it: {}\n", ability.lost);
            text += &format!("       what to do: {}\n", ability.remedy);
        }
    }
    let missing = (abilities.iter()).filter(|ability| ability.works != Some(true)).count();
    text += &match missing {
        0 => "\nAll that leakprobe can use is here.\n".to_owned(),
        n => format!(
            "\n{n} of {} missing or unknown. leakprobe works without, and each report ends with what \
             it could not see.\n",
            abilities.len()
        ),
    };
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ability(works: Option<bool>) -> Ability {
        Ability {
            name: "task iterator",
            works,
            found: "tried".to_owned(),
            lost: "exact ages",
            remedy: "run as root",
        }
    }

    #[test]
    fn says_what_to_do_only_where_needed() {
        // Check that what is missing or unknown says what is lost and what to do, and the rest doesn't.
        let (here, missing, unknown) = (ability(Some(true)), ability(Some(false)), ability(None));
        let all_here = table(&[&here]);
        assert!(all_here.starts_with("yes  task iterator  tried\n"));
        assert!(!all_here.contains("run as root"));
        assert!(all_here.contains("All that"));
        for (ability, answer) in [(missing, "no "), (unknown, "?  ")] {
            let text = table(&[&here, &ability]);
            let below = format!(
                "{answer}  task iterator  tried\n       without it: exact ages\n       what to do: run as root\n"
            );
            assert!(text.contains(&below), "{text}");
            assert!(text.contains("1 of 2 missing"));
        }
    }
}
