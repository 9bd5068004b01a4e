//! Anthropic's list of models, in pages.

use llm_protocol::ir::Malformed;
use serde::{Deserialize, Serialize};

use super::Entry;
use crate::clock;

/// Models on a page, at most and where the client does not say.
const MOST: usize = 1000;
const USUAL: usize = 20;

/// Which page is wanted.
#[derive(Debug, Default, Deserialize)]
pub struct Page {
    limit: Option<String>,
    after_id: Option<String>,
    before_id: Option<String>,
}

/// One model.
#[derive(Debug, Serialize)]
pub struct Model {
    #[serde(rename = "type")]
    kind: &'static str,
    id: String,
    display_name: String,
    created_at: String,
}

/// One page.
#[derive(Debug, Serialize)]
pub struct List {
    data: Vec<Model>,
    has_more: bool,
    first_id: Option<String>,
    last_id: Option<String>,
}

impl From<Entry> for Model {
    fn from(entry: Entry) -> Self {
        let created_at = clock::rfc3339(entry.created.saturating_mul(1_000_000));
        Self { kind: "model", display_name: entry.id.clone(), id: entry.id, created_at }
    }
}

impl List {
    /// The page of `entries` that is wanted.
    pub fn page(mut entries: Vec<Entry>, page: &Page) -> Result<Self, Malformed> {
        let limit = match page.limit.as_deref().map(str::parse) {
            None => USUAL,
            Some(Ok(limit)) if (1..=MOST).contains(&limit) => limit,
            Some(_) => return Err(Malformed::new("limit", format!("`limit` must be a whole number from 1 to {MOST}"))),
        };
        let place = |entries: &[Entry], id: &str, field: &str| {
            let missing = || Malformed::new(field, format!("`{field}`: there is no model `{id}`"));
            entries.iter().position(|entry| entry.id == id).ok_or_else(missing)
        };
        if let Some(id) = &page.after_id {
            entries.drain(..=place(&entries, id, "after_id")?);
        }
        if let Some(id) = &page.before_id {
            entries.truncate(place(&entries, id, "before_id")?);
        }
        let has_more = entries.len() > limit;
        if page.before_id.is_some() {
            entries.drain(..entries.len().saturating_sub(limit));
        }
        entries.truncate(limit);
        let data: Vec<Model> = entries.into_iter().map(Model::from).collect();
        let id = |model: Option<&Model>| model.map(|model| model.id.clone());
        Ok(Self { has_more, first_id: id(data.first()), last_id: id(data.last()), data })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(limit: Option<&str>, after_id: Option<&str>, before_id: Option<&str>) -> Result<(String, bool), String> {
        let entries = ["a", "b", "c", "d"].map(|id| super::super::entry(id.to_owned(), 0, "p"));
        let text = |text: Option<&str>| text.map(str::to_owned);
        let page = Page { limit: text(limit), after_id: text(after_id), before_id: text(before_id) };
        let list = List::page(entries.into(), &page).map_err(|error| error.param)?;
        Ok((list.data.iter().map(|model| &*model.id).collect(), list.has_more))
    }

    #[test]
    fn pages_follow_each_other_both_ways() {
        assert_eq!(page(None, None, None), Ok(("abcd".into(), false)));
        assert_eq!(page(Some("2"), None, None), Ok(("ab".into(), true)));
        assert_eq!(page(Some("2"), Some("b"), None), Ok(("cd".into(), false)));
        assert_eq!(page(Some("2"), None, Some("d")), Ok(("bc".into(), true)));
        assert_eq!(page(Some("2"), None, Some("c")), Ok(("ab".into(), false)));
        assert_eq!(page(Some("2"), Some("d"), None), Ok((String::new(), false)));
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        for limit in ["0", "1001", "many", ""] {
            assert_eq!(page(Some(limit), None, None), Err("limit".into()), "{limit}");
        }
        assert_eq!(page(None, Some("x"), None), Err("after_id".into()));
        assert_eq!(page(None, None, Some("x")), Err("before_id".into()));
    }
}
