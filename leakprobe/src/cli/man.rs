//! The man page, with all commands on one page.

use std::io::{self, Write};

use clap::{Command, CommandFactory};
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use super::{args::Cli, exit, help};

/// How a section's heading begins in roff.
const SECTION: &str = ".SH ";

/// The page, in roff.
pub fn page() -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    // A blank date: an empty one would make its neighbours move up, a real one builds differ.
    let man = Man::new(command.clone()).date(" ").manual("User Commands");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    let mut description = section("DESCRIPTION");
    description.text([roman(help::DESCRIPTION)]);
    description.to_writer(&mut page)?;
    man.render_options_section(&mut page)?;

    section("COMMANDS").to_writer(&mut page)?;
    for sub in command.get_subcommands().filter(|sub| sub.get_name() != "help") {
        subcommand(sub, &mut page)?;
    }
    pairs("EXIT STATUS", exit::MEANINGS.map(|(code, meaning)| (code.to_string(), meaning)))
        .to_writer(&mut page)?;
    pairs("ENVIRONMENT", help::ENVIRONMENT).to_writer(&mut page)?;
    pairs("EXAMPLES", help::EXAMPLES).to_writer(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

fn subcommand(command: &Command, page: &mut Vec<u8>) -> io::Result<()> {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let mut heading = Roff::new();
    heading.control("SS", [usage]);
    if let Some(about) = command.get_about() {
        heading.text([roman(about.to_string() + ".")]);
    }
    heading.to_writer(page)?;
    let own = command.clone().mut_args(|arg| {
        // Those that every command has stand at the top of the page.
        let everywhere = matches!(arg.get_id().as_str(), "help" | "verbose");
        arg.hide(everywhere)
    });
    let mut options = Vec::new();
    Man::new(own).render_options_section(&mut options)?;
    // Under the command's own heading they need no other.
    for line in String::from_utf8_lossy(&options).lines() {
        if !line.starts_with(SECTION) {
            writeln!(page, "{line}")?;
        }
    }
    Ok(())
}

fn section(name: &str) -> Roff {
    let mut roff = Roff::new();
    roff.control("SH", [name]);
    roff
}

fn pairs<T: Into<String>>(name: &str, pairs: impl IntoIterator<Item = (T, &'static str)>) -> Roff {
    let mut roff = section(name);
    for (term, meaning) in pairs {
        roff.control("TP", []);
        roff.text([bold(term)]);
        roff.text([roman(meaning)]);
    }
    roff
}
