//! The man page, with all commands on one page.

use clap::{Command, CommandFactory};
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use super::{args::Cli, exit, help};

/// Where the options of a page begin, as clap_mangen writes it.
const OPTIONS_HEADING: &str = ".SH OPTIONS\n";

/// The page, in roff.
pub fn page() -> std::io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let mut command = Cli::command();
    command.build();
    let man = Man::new(command.clone()).manual("User Commands");
    man.render_title(&mut page)?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;

    section("COMMANDS").to_writer(&mut page)?;
    for sub in command
        .get_subcommands()
        .filter(|sub| sub.get_name() != "help")
    {
        subcommand(sub, &mut page)?;
    }
    pairs(
        "EXIT STATUS",
        exit::MEANINGS.map(|(code, meaning)| (code.to_string(), meaning)),
    )
    .to_writer(&mut page)?;
    pairs("ENVIRONMENT", help::ENVIRONMENT).to_writer(&mut page)?;
    pairs("EXAMPLES", help::EXAMPLES).to_writer(&mut page)?;
    man.render_version_section(&mut page)?;
    Ok(page)
}

fn subcommand(command: &Command, page: &mut Vec<u8>) -> std::io::Result<()> {
    let usage = command.clone().render_usage().to_string();
    let usage = usage.trim_start_matches("Usage:").trim();
    let mut heading = Roff::new();
    heading.control("SS", [usage]);
    if let Some(about) = command.get_about() {
        heading.text([roman(about.to_string() + ".")]);
    }
    heading.to_writer(page)?;
    let mut options = Vec::new();
    Man::new(command.clone()).render_options_section(&mut options)?;
    let options = String::from_utf8_lossy(&options);
    // Under the command's own heading they need no other.
    page.extend(options.replacen(OPTIONS_HEADING, "", 1).into_bytes());
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
