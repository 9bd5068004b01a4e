//! The configuration file: which one, and how its keys are set.

use std::path::{Path, PathBuf};

use toml::{
    Spanned,
    de::{DeTable, DeValue},
};

use super::{Config, ConfigError, Environment, FILE_VARIABLE, section::Section, setting::Given};

/// Read when no other file is named and it exists.
const USUAL: &str = "config.toml";

/// Sets every key that the file has, if there is a file.
pub fn apply(config: &mut Config, named: Option<&Path>, environment: &Environment) -> Result<(), ConfigError> {
    let Some(path) = choose(named, environment)? else { return Ok(()) };
    let text = std::fs::read_to_string(&path).map_err(|error| {
        ConfigError::new(format!("the configuration file {} cannot be read ({error})", path.display()))
    })?;
    File { path: &path, text: &text }.apply(config)
}

fn choose(named: Option<&Path>, environment: &Environment) -> Result<Option<PathBuf>, ConfigError> {
    if let Some(path) = named {
        return Ok(Some(path.to_owned()));
    }
    match environment.get(FILE_VARIABLE)? {
        Some("") => Err(ConfigError::new(format!("{FILE_VARIABLE} is empty: name a file or unset it"))),
        Some(path) => Ok(Some(path.into())),
        None => Ok(Some(PathBuf::from(USUAL)).filter(|path| path.exists())),
    }
}

/// A file's text, and where it came from for the sake of messages.
struct File<'a> {
    path: &'a Path,
    text: &'a str,
}

impl File<'_> {
    fn apply(&self, config: &mut Config) -> Result<(), ConfigError> {
        let document = DeTable::parse(self.text).map_err(|error| {
            let at = error.span().map_or(0, |span| span.start);
            self.refuse(at, &format!("is not TOML: {}", error.message()))
        })?;
        for (table, content) in document.get_ref() {
            let at = table.span().start;
            let mut sections = config.sections_mut();
            let Some(section) = sections.iter_mut().find(|section| section.table() == table.get_ref().as_ref()) else {
                let known = sections.iter().map(|section| section.table());
                return Err(self.unknown(at, "section", table.get_ref(), known));
            };
            match content.get_ref() {
                DeValue::Table(keys) => self.apply_section(*section, keys)?,
                _ => return Err(self.refuse(at, &format!("{} is a section: write [{0}]", table.get_ref()))),
            }
        }
        Ok(())
    }

    fn apply_section(&self, section: &mut dyn Section, keys: &DeTable<'_>) -> Result<(), ConfigError> {
        for (key, value) in keys {
            let (name, table) = (key.get_ref().as_ref(), section.table());
            if !section.keys().iter().any(|known| known.name == name) {
                let known = section.keys().iter().map(|known| known.name);
                return Err(self.unknown(key.span().start, &format!("key of [{table}]"), name, known));
            }
            let set = section.set(name, &Given::File(Spanned::get_ref(value)));
            set.map_err(|why| self.refuse(value.span().start, &format!("{table}.{name} {why}: correct it")))?;
        }
        Ok(())
    }

    fn unknown<'k>(&self, at: usize, what: &str, name: &str, known: impl Iterator<Item = &'k str>) -> ConfigError {
        let nearest = known.map(|known| (strsim::osa_distance(name, known), known)).min();
        let mend = match nearest {
            Some((distance, known)) if distance <= 3 => format!("write {known:?} if that is meant, else remove it"),
            _ => "remove it, or see `llm-orchestrator check-config --example` for the names".to_owned(),
        };
        self.refuse(at, &format!("{name:?} is not a {what}: {mend}"))
    }

    fn refuse(&self, at: usize, why: &str) -> ConfigError {
        let line = self.text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
        ConfigError::new(format!("{} line {line}: {why}", self.path.display()))
    }
}
