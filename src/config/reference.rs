//! The tables of the configuration reference, written from the definitions they document.

use std::fmt::Write;

use super::{
    Config,
    section::{Key, Section},
};

/// A table for each section, in Markdown.
pub fn text() -> String {
    let mut config = Config::default();
    let mut text = String::new();
    for section in config.sections_mut() {
        write_section(&mut text, section);
    }
    text
}

fn write_section(text: &mut String, section: &dyn Section) {
    let _ = write!(text, "\n## [{}]\n\n{}\n\n", section.table(), section.about().trim());
    text.push_str("| key | default | range | environment | meaning |\n|---|---|---|---|---|\n");
    for key in section.keys() {
        let fixed = key.example.filter(|_| !key.optional).map(str::to_owned);
        let default = section.show(key.name).or(fixed).map_or_else(|| "none".to_owned(), |value| format!("`{value}`"));
        let variables = match key.alias {
            Some(alias) => format!("`{alias}`, `{}`", section.variable(key)),
            None => format!("`{}`", section.variable(key)),
        };
        let meaning = key.doc.trim().replace('|', "\\|");
        let _ = writeln!(text, "| `{}` | {default} | {} | {variables} | {meaning} |", key.name, range(key));
    }
}

fn range(key: &Key) -> String {
    key.range.as_ref().map_or_else(String::new, |range| format!("{} to {}", range.start(), range.end()))
}
