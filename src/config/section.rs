//! One definition of a configuration section: the struct, its defaults, its documentation and how a value is set.

use std::ops::RangeInclusive;

use super::setting::Given;

/// What is known about one key besides its value.
#[derive(Debug)]
pub struct Key {
    /// The key as it stands in the file.
    pub name: &'static str,
    /// The sentence the example file shows.
    pub doc: &'static str,
    /// The short environment variable, for the keys that have one.
    pub alias: Option<&'static str>,
    /// Whether the key may be left without a value.
    pub optional: bool,
    /// TOML text to show for a key whose default cannot be shown.
    pub example: Option<&'static str>,
    /// Between which numbers the value lies, ends included.
    pub range: Option<RangeInclusive<f64>>,
}

/// A section as the loader and the example file see it.
pub trait Section {
    /// The section's name in the file.
    fn table(&self) -> &'static str;
    /// The sentence above the section in the example file.
    fn about(&self) -> &'static str;
    /// The section's keys in the order of the file.
    fn keys(&self) -> &'static [Key];
    /// Sets one key; the error says what the value should have been.
    fn set(&mut self, key: &str, given: &Given<'_>) -> Result<(), String>;
    /// The key's value as TOML text; `None` when it is not set, or secret.
    fn show(&self, key: &str) -> Option<String>;
}

impl dyn Section + '_ {
    /// The full environment variable of a key.
    pub fn variable(&self, key: &Key) -> String {
        format!("{}{}_{}", super::PREFIX, self.table(), key.name).to_uppercase()
    }
}

/// Refuses a number outside its range; values that are not numbers pass.
pub(super) fn within(number: Option<f64>, range: &RangeInclusive<f64>) -> Result<(), String> {
    match number {
        Some(number) if !range.contains(&number) => {
            Err(format!("is outside the range from {} to {}", range.start(), range.end()))
        }
        _ => Ok(()),
    }
}

/// Declares a section. A field's doc comment is also its sentence in the example file, so the two cannot differ.
macro_rules! section {
    (
        $(#[doc = $about:literal])+
        pub struct $name:ident in $table:literal {
            $(
                $(#[doc = $doc:literal])+
                pub $key:ident: $type:ty = $default:expr
                    $(, env $alias:literal)? $(, range $range:expr)? $(, example $example:literal)?;
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(Debug, Clone)]
        pub struct $name {
            $($(#[doc = $doc])+ pub $key: $type,)+
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $($key: $default,)+ }
            }
        }

        impl $crate::config::section::Section for $name {
            fn table(&self) -> &'static str {
                $table
            }

            fn about(&self) -> &'static str {
                concat!($($about),+)
            }

            fn keys(&self) -> &'static [$crate::config::section::Key] {
                const KEYS: &[$crate::config::section::Key] = &[$($crate::config::section::Key {
                    name: stringify!($key),
                    doc: concat!($($doc),+),
                    alias: $crate::config::section::first!($($alias)?),
                    optional: <$type as $crate::config::setting::Setting>::OPTIONAL,
                    example: $crate::config::section::first!($($example)?),
                    range: $crate::config::section::first!($($range)?),
                },)+];
                KEYS
            }

            fn set(&mut self, key: &str, given: &$crate::config::setting::Given<'_>) -> Result<(), String> {
                $(if key == stringify!($key) {
                    let value = <$type as $crate::config::setting::Setting>::read(given)?;
                    $($crate::config::section::within($crate::config::setting::Setting::number(&value), &$range)?;)?
                    self.$key = value;
                    return Ok(());
                })+
                Err("is not a key of this section".to_owned())
            }

            fn show(&self, key: &str) -> Option<String> {
                $(if key == stringify!($key) {
                    return $crate::config::setting::Setting::show(&self.$key);
                })+
                None
            }
        }
    };
}

/// The expression if there is one.
macro_rules! first {
    () => {
        None
    };
    ($expression:expr) => {
        Some($expression)
    };
}

pub(crate) use {first, section};
