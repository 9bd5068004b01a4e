//! The types a configuration value can have, read from the file or from an environment variable.

use std::{path::PathBuf, time::Duration};

use secrecy::SecretString;
use toml::{
    Spanned,
    de::{DeInteger, DeValue},
};

/// A value as it was given, before it has a type.
#[derive(Debug)]
pub enum Given<'a> {
    /// The text of an environment variable.
    Variable(&'a str),
    /// A value in the file.
    File(&'a DeValue<'a>),
}

/// A type that a key can have. Errors complete a sentence that begins with the key: "is not a whole number".
pub trait Setting: Sized {
    /// Whether a key of this type may be left without a value.
    const OPTIONAL: bool = false;
    /// Reads the value.
    fn read(given: &Given<'_>) -> Result<Self, String>;
    /// The value as TOML; `None` when there is none to show.
    fn show(&self) -> Option<String>;
    /// The value as a number, for the check of its range.
    fn number(&self) -> Option<f64> {
        None
    }
}

impl Given<'_> {
    fn text(&self) -> Result<String, String> {
        let text = match self {
            Given::Variable(text) => (*text).to_owned(),
            Given::File(DeValue::String(text)) => text.clone().into_owned(),
            Given::File(_) => return Err("is not a string in quotes".to_owned()),
        };
        if text.trim().is_empty() { Err("is empty".to_owned()) } else { Ok(text) }
    }

    fn whole(&self) -> Result<i64, String> {
        let number = match self {
            Given::Variable(text) => text.trim().parse().ok(),
            Given::File(DeValue::Integer(integer)) => from_toml(integer),
            Given::File(_) => None,
        };
        number.ok_or_else(|| "is not a whole number".to_owned())
    }

    fn decimal(&self) -> Result<f64, String> {
        let number = match self {
            Given::Variable(text) => text.trim().parse().ok(),
            Given::File(DeValue::Integer(integer)) => from_toml(integer).map(|whole| whole as f64),
            Given::File(DeValue::Float(float)) => float.as_str().parse().ok(),
            Given::File(_) => None,
        };
        number.filter(|number: &f64| number.is_finite()).ok_or_else(|| "is not a number".to_owned())
    }

    fn list(&self) -> Result<Vec<String>, String> {
        let items = match self {
            Given::Variable(text) => split(text)?,
            Given::File(DeValue::Array(items)) => strings(items)?,
            Given::File(_) => return Err("is not a list of strings".to_owned()),
        };
        if items.iter().any(String::is_empty) { Err("has an empty entry".to_owned()) } else { Ok(items) }
    }
}

fn from_toml(integer: &DeInteger<'_>) -> Option<i64> {
    i64::from_str_radix(integer.as_str(), integer.radix()).ok()
}

/// A variable's list: JSON when it begins like JSON, else separated by commas.
fn split(text: &str) -> Result<Vec<String>, String> {
    let text = text.trim();
    if text.is_empty() {
        return Ok(Vec::new());
    }
    if text.starts_with('[') {
        return serde_json::from_str(text).map_err(|_| "begins like JSON, but is not a list of strings".to_owned());
    }
    Ok(text.split(',').map(|item| item.trim().to_owned()).collect())
}

fn strings(items: &[Spanned<DeValue<'_>>]) -> Result<Vec<String>, String> {
    let text = |item: &Spanned<DeValue<'_>>| item.get_ref().as_str().map(str::to_owned);
    items.iter().map(text).collect::<Option<_>>().ok_or_else(|| "has an entry that is not a string".to_owned())
}

fn quoted(text: &str) -> Option<String> {
    Some(toml::Value::from(text).to_string())
}

impl Setting for String {
    fn read(given: &Given<'_>) -> Result<Self, String> {
        given.text()
    }

    fn show(&self) -> Option<String> {
        quoted(self)
    }
}

impl Setting for PathBuf {
    fn read(given: &Given<'_>) -> Result<Self, String> {
        given.text().map(Self::from)
    }

    fn show(&self) -> Option<String> {
        quoted(&self.to_string_lossy())
    }
}

impl Setting for bool {
    fn read(given: &Given<'_>) -> Result<Self, String> {
        let text = match given {
            Given::File(DeValue::Boolean(flag)) => return Ok(*flag),
            Given::File(_) => return Err("is neither true nor false".to_owned()),
            Given::Variable(text) => text.trim().to_lowercase(),
        };
        match text.as_str() {
            "true" | "1" | "yes" | "on" => Ok(true),
            "false" | "0" | "no" | "off" => Ok(false),
            _ => Err("is neither true nor false".to_owned()),
        }
    }

    fn show(&self) -> Option<String> {
        Some(self.to_string())
    }
}

/// Whole numbers of any width.
macro_rules! whole_number {
    ($($type:ty),+) => {$(
        impl Setting for $type {
            fn read(given: &Given<'_>) -> Result<Self, String> {
                let number = given.whole()?;
                Self::try_from(number).map_err(|_| format!("is outside the range from 0 to {}", Self::MAX))
            }

            fn show(&self) -> Option<String> {
                Some(self.to_string())
            }

            fn number(&self) -> Option<f64> {
                Some(*self as f64)
            }
        }
    )+};
}

whole_number!(u16, u32, u64, usize);

impl Setting for f64 {
    fn read(given: &Given<'_>) -> Result<Self, String> {
        given.decimal()
    }

    fn show(&self) -> Option<String> {
        Some(format!("{self:?}"))
    }

    fn number(&self) -> Option<f64> {
        Some(*self)
    }
}

/// Seconds, with a fraction if need be.
impl Setting for Duration {
    fn read(given: &Given<'_>) -> Result<Self, String> {
        Duration::try_from_secs_f64(given.decimal()?).map_err(|_| "is not a number of seconds".to_owned())
    }

    fn show(&self) -> Option<String> {
        Some(self.as_secs_f64().to_string())
    }

    fn number(&self) -> Option<f64> {
        Some(self.as_secs_f64())
    }
}

impl Setting for Vec<String> {
    fn read(given: &Given<'_>) -> Result<Self, String> {
        given.list()
    }

    fn show(&self) -> Option<String> {
        Some(toml::Value::from(self.clone()).to_string())
    }
}

impl Setting for SecretString {
    fn read(given: &Given<'_>) -> Result<Self, String> {
        given.text().map(Self::from)
    }

    fn show(&self) -> Option<String> {
        None
    }
}

impl Setting for Vec<SecretString> {
    fn read(given: &Given<'_>) -> Result<Self, String> {
        if matches!(given, Given::Variable(text) if text.trim().is_empty()) {
            return Err("is empty".to_owned());
        }
        Ok(given.list()?.into_iter().map(SecretString::from).collect())
    }

    fn show(&self) -> Option<String> {
        self.is_empty().then(|| "[]".to_owned())
    }
}

impl<T: Setting> Setting for Option<T> {
    const OPTIONAL: bool = true;

    fn read(given: &Given<'_>) -> Result<Self, String> {
        T::read(given).map(Some)
    }

    fn show(&self) -> Option<String> {
        self.as_ref().and_then(T::show)
    }

    fn number(&self) -> Option<f64> {
        self.as_ref().and_then(T::number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_in_a_variable_is_json_or_separated_by_commas() {
        let read = |text| Vec::<String>::read(&Given::Variable(text));
        assert_eq!(read(r#"["a", "b,c"]"#), Ok(vec!["a".into(), "b,c".into()]));
        assert_eq!(read("a, b"), Ok(vec!["a".into(), "b".into()]));
        assert_eq!(read(""), Ok(vec![]));
        assert!(read("a,,b").is_err());
        assert!(read("[a]").is_err());
    }

    #[test]
    fn a_duration_is_any_number_of_seconds_that_is_not_negative() {
        let read = |text| Duration::read(&Given::Variable(text));
        assert_eq!(read("0.25"), Ok(Duration::from_millis(250)));
        assert!(read("-1").is_err());
        assert!(read("inf").is_err());
        assert!(read("1e300").is_err());
    }

    #[test]
    fn an_empty_secret_is_refused() {
        assert!(SecretString::read(&Given::Variable(" ")).is_err());
        assert!(Vec::<SecretString>::read(&Given::Variable("")).is_err());
    }
}
