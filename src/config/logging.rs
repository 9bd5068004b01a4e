//! What the process writes to standard output, and how.

use tracing_subscriber::EnvFilter;

use super::{
    section::section,
    setting::{Given, Setting},
};

section! {
    /// What the process writes to standard output, and how.
    pub struct LoggingConfig in "logging" {
        /// Least severe level to write (error, warn, info, debug, trace, off), or a filter such as "info,sqlx=warn".
        pub level: LogLevel = LogLevel("info".to_owned()), env "LOG_LEVEL";
        /// "text" for people, "json" for programs.
        pub format: LogFormat = LogFormat::Text, env "LOG_FORMAT";
    }
}

/// A level or a filter expression that is known to be good.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogLevel(String);

impl LogLevel {
    /// The filter the expression stands for.
    pub fn filter(&self) -> EnvFilter {
        EnvFilter::builder().parse_lossy(&self.0)
    }
}

impl Setting for LogLevel {
    fn read(given: &Given<'_>) -> Result<Self, String> {
        let text = String::read(given)?;
        let directives: Option<Vec<String>> = text.split(',').map(directive).collect();
        let text = directives.map(|directives| directives.join(","));
        let good = text.filter(|text| EnvFilter::builder().parse(text).is_ok());
        good.map(Self).ok_or_else(|| "is not a level (error, warn, info, debug, trace, off) nor a filter".to_owned())
    }

    fn show(&self) -> Option<String> {
        self.0.show()
    }
}

/// One part of a filter. A lone word must be a level: as a filter it would name a module, and silence everything else.
fn directive(text: &str) -> Option<String> {
    let text = text.trim();
    if text.contains(['=', '[']) {
        return Some(text.to_owned());
    }
    let level = match text.to_ascii_lowercase().as_str() {
        "off" => "off",
        "critical" | "fatal" | "error" => "error",
        "warning" | "warn" => "warn",
        "info" => "info",
        "debug" => "debug",
        "trace" => "trace",
        _ => return None,
    };
    Some(level.to_owned())
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object a line.
    Json,
}

impl Setting for LogFormat {
    fn read(given: &Given<'_>) -> Result<Self, String> {
        match String::read(given)?.trim().to_lowercase().as_str() {
            "text" => Ok(Self::Text),
            "json" => Ok(Self::Json),
            _ => Err("is neither text nor json".to_owned()),
        }
    }

    fn show(&self) -> Option<String> {
        match self {
            Self::Text => "text".to_owned().show(),
            Self::Json => "json".to_owned().show(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_level_is_one_of_the_known_words_in_any_case_or_a_filter() {
        let read = |text| LogLevel::read(&Given::Variable(text)).map(|level| level.0);
        assert_eq!(read("INFO"), Ok("info".into()));
        assert_eq!(read("WARNING"), Ok("warn".into()));
        assert_eq!(read("info, sqlx=warn"), Ok("info,sqlx=warn".into()));
        assert!(read("inof").is_err());
        assert!(read("sqlx=loud").is_err());
    }
}
