//! The environment as a source of configuration, and the search for variables that were meant for us but misspelt.

use std::{
    collections::BTreeMap,
    ffi::{OsStr, OsString},
};

use super::{Config, ConfigError, PREFIX, providers, setting::Given};

/// Variables with these beginnings are ours, so an unknown one is a mistake.
const OURS: [&str; 4] = [PREFIX, "APP_", "HEALTH_CHECK_", "RATE_LIMIT_"];

/// The variables of a process.
#[derive(Clone, Default)]
pub struct Environment(BTreeMap<OsString, OsString>);

impl Environment {
    /// The variables this process was started with.
    pub fn of_process() -> Self {
        std::env::vars_os().collect()
    }

    /// A variable's text.
    pub fn get(&self, name: &str) -> Result<Option<&str>, ConfigError> {
        let Some(value) = self.0.get(OsStr::new(name)) else { return Ok(None) };
        let text = value.to_str();
        text.map(Some).ok_or_else(|| ConfigError::new(format!("{name} is not UTF-8 text: correct it or unset it")))
    }

    fn iter(&self) -> impl Iterator<Item = (&str, &OsStr)> {
        self.0.iter().filter_map(|(name, value)| Some((name.to_str()?, value.as_os_str())))
    }
}

impl<K: Into<OsString>, V: Into<OsString>> FromIterator<(K, V)> for Environment {
    fn from_iter<I: IntoIterator<Item = (K, V)>>(variables: I) -> Self {
        Self(variables.into_iter().map(|(name, value)| (name.into(), value.into())).collect())
    }
}

/// Sets every key that has a variable.
pub fn apply(config: &mut Config, environment: &Environment) -> Result<(), ConfigError> {
    for section in config.sections_mut() {
        for key in section.keys() {
            let full = section.variable(key);
            let Some((name, text)) = variable_of(environment, &full, key.alias)? else { continue };
            section.set(key.name, &Given::Variable(text)).map_err(|why| refuse(name, text, &why))?;
        }
    }
    refuse_unknown(config, environment)
}

/// The variable a key takes its value from; both of its names may be set if they agree.
fn variable_of<'a>(
    environment: &'a Environment,
    full: &'a str,
    alias: Option<&'a str>,
) -> Result<Option<(&'a str, &'a str)>, ConfigError> {
    let long = environment.get(full)?.map(|text| (full, text));
    let Some(alias) = alias else { return Ok(long) };
    let short = environment.get(alias)?.map(|text| (alias, text));
    match (long, short) {
        (Some(long), Some(short)) if long.1 != short.1 => Err(ConfigError::new(format!(
            "{full} and {alias} are two names of one setting and differ: unset one of them"
        ))),
        (long, short) => Ok(long.or(short)),
    }
}

/// The value itself is left out: it may be a secret.
fn refuse(name: &str, text: &str, why: &str) -> ConfigError {
    let hint = if text.starts_with("tcp://") {
        " (it looks like what Kubernetes sets for a service of that name: turn off enableServiceLinks)"
    } else {
        ""
    };
    ConfigError::new(format!("the environment variable {name} {why}{hint}: correct it or unset it"))
}

fn refuse_unknown(config: &mut Config, environment: &Environment) -> Result<(), ConfigError> {
    let known = known_names(config);
    for (name, value) in environment.iter().filter(|(name, _)| !known.iter().any(|known| known == name)) {
        let nearest = known.iter().map(|known| (strsim::osa_distance(name, known), known)).min();
        let meant = nearest.filter(|(distance, known)| is_slip(name, known, *distance)).map(|(_, known)| known);
        let ours = OURS.iter().any(|prefix| name.starts_with(prefix)) && !is_service_link(name, value);
        match meant {
            Some(meant) => {
                return Err(ConfigError::new(format!(
                    "the environment variable {name} is not a setting: write {meant} if that is meant, else unset it"
                )));
            }
            None if ours => {
                return Err(ConfigError::new(format!(
                    "the environment variable {name} looks like a setting but is none: unset it, or see \
                     `llm-orchestrator check-config --example` for the names"
                )));
            }
            None => {}
        }
    }
    Ok(())
}

/// Names with our own beginning may be further off and still be meant; others belong to somebody else.
fn is_slip(name: &str, known: &str, distance: usize) -> bool {
    distance == 1 || (distance <= 3 && OURS.iter().any(|prefix| name.starts_with(prefix) && known.starts_with(prefix)))
}

/// Kubernetes sets such variables in every container for a service called `app` or `orchestrator`:
/// `APP_SERVICE_HOST`, `APP_SERVICE_PORT_HTTP`, `APP_PORT=tcp://10.0.0.1:80`, `APP_PORT_80_TCP_ADDR`.
fn is_service_link(name: &str, value: &OsStr) -> bool {
    let value = value.to_string_lossy();
    let port =
        name.rsplit_once("_PORT_").map(|(_, rest)| rest.trim_start_matches(|digit: char| digit.is_ascii_digit()));
    name.ends_with("_SERVICE_HOST")
        || name.contains("_SERVICE_PORT")
        || (name.ends_with("_PORT") && (value.starts_with("tcp://") || value.starts_with("udp://")))
        || port.is_some_and(|rest| rest.starts_with("_TCP") || rest.starts_with("_UDP"))
}

fn known_names(config: &mut Config) -> Vec<String> {
    let mut names = vec![super::FILE_VARIABLE.to_owned()];
    for section in config.sections_mut() {
        for key in section.keys() {
            names.push(section.variable(key));
            names.extend(key.alias.map(str::to_owned));
        }
    }
    names.extend(providers::variables());
    names
}
