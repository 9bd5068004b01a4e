//! What a client wants of the cache for one request: the directives of its `Cache-Control` (RFC 9111, section 5.2.1) that mean
//! something here.

use std::time::Duration;

/// A request's wishes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Directives {
    /// Neither read nor written.
    pub no_store: bool,
    /// Not read, but written.
    pub no_cache: bool,
    /// Nothing older.
    pub max_age: Option<Duration>,
    /// Nobody is to be asked.
    pub only_if_cached: bool,
}

impl Directives {
    /// Reads the values of all headers of the name. What is unknown or makes no sense says nothing.
    pub fn read<'a>(values: impl IntoIterator<Item = &'a str>) -> Self {
        let mut read = Self::default();
        for directive in values.into_iter().flat_map(|value| value.split(',')) {
            let (name, value) = directive.split_once('=').unwrap_or((directive, ""));
            match name.trim().to_ascii_lowercase().as_str() {
                "no-store" => read.no_store = true,
                "no-cache" => read.no_cache = true,
                "only-if-cached" => read.only_if_cached = true,
                "max-age" => {
                    let seconds = value.trim().trim_matches('"').parse().ok().map(Duration::from_secs);
                    read.max_age = [read.max_age, seconds].into_iter().flatten().min();
                }
                _ => {}
            }
        }
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directives_are_read_in_any_case_and_from_any_number_of_headers() {
        let read = Directives::read(["No-Cache, max-age = 60", "ONLY-IF-CACHED,max-age=\"30\""]);
        let max_age = Some(Duration::from_secs(30));
        assert_eq!(read, Directives { no_store: false, no_cache: true, max_age, only_if_cached: true });
        assert!(Directives::read(["no-store"]).no_store);
    }

    #[test]
    fn what_makes_no_sense_says_nothing() {
        assert_eq!(Directives::read(["", "max-age=soon, no-transform,,public=1"]), Directives::default());
    }
}
