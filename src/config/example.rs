//! The example file, written from the definitions it documents.

use std::fmt::Write;

use super::{
    Config,
    section::{Key, Section},
};

const HEAD: &str = "\
# Every key of the configuration with its default.
#
# The file is read from --config PATH, else from $ORCHESTRATOR_CONFIG, else from ./config.toml if that exists.
# An environment variable wins over the file. OPENAI_API_KEY, ANTHROPIC_API_KEY and GEMINI_API_KEY (with
# OPENAI_BASE_URL, ANTHROPIC_BASE_URL and GEMINI_BASE_URL) create these three providers on the first start.
# Times are in seconds and may have a fraction.
";

/// The text of `config.example.toml`.
pub fn text() -> String {
    let mut config = Config::default();
    let mut text = HEAD.to_owned();
    for section in config.sections_mut() {
        write_section(&mut text, section);
    }
    text
}

fn write_section(text: &mut String, section: &dyn Section) {
    let _ = write!(text, "\n#{}\n[{}]\n", section.about(), section.table());
    for key in section.keys() {
        let variables = match key.alias {
            Some(alias) => format!("{alias} or {}", section.variable(key)),
            None => section.variable(key),
        };
        let _ = write!(text, "\n#{}\n# Environment: {variables}\n{}\n", key.doc, line(section, key));
    }
}

/// A key without a default is shown as a comment.
fn line(section: &dyn Section, key: &Key) -> String {
    let example = key.example.unwrap_or_default();
    match section.show(key.name) {
        Some(value) => format!("{} = {value}", key.name),
        None if key.optional => format!("# {} = {example}", key.name),
        None => format!("{} = {example}", key.name),
    }
}
