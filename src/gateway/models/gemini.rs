//! Google's list of models, in pages.

use llm_protocol::ir::Malformed;
use serde::{Deserialize, Serialize};

use super::Entry;

/// Models on a page, at most and where the client does not say.
const MOST: usize = 1000;
const USUAL: usize = 50;

/// Which page is wanted.
#[derive(Debug, Default, Deserialize)]
pub struct Page {
    #[serde(alias = "pageSize")]
    page_size: Option<String>,
    /// The last model of the page before.
    #[serde(alias = "pageToken")]
    page_token: Option<String>,
}

/// One model.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Model {
    name: String,
    version: &'static str,
    display_name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    output_token_limit: Option<u64>,
    supported_generation_methods: [&'static str; 3],
}

/// One page.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct List {
    models: Vec<Model>,
    #[serde(skip_serializing_if = "Option::is_none")]
    next_page_token: Option<String>,
}

impl From<Entry> for Model {
    fn from(entry: Entry) -> Self {
        Self {
            name: format!("models/{}", entry.id),
            version: "001",
            display_name: entry.id,
            output_token_limit: entry.max_output_tokens,
            supported_generation_methods: ["generateContent", "streamGenerateContent", "countTokens"],
        }
    }
}

impl List {
    /// The page of `entries` that is wanted. As Google does, a page is never longer than the most, whatever is asked for.
    pub fn page(mut entries: Vec<Entry>, page: &Page) -> Result<Self, Malformed> {
        let size = match page.page_size.as_deref().map(str::parse::<usize>) {
            None | Some(Ok(0)) => USUAL,
            Some(Ok(size)) => size.min(MOST),
            Some(Err(_)) => return Err(Malformed::new("pageSize", "`pageSize` must be a whole number, at least 0")),
        };
        if let Some(last) = page.page_token.as_deref().filter(|token| !token.is_empty()) {
            let at = entries.iter().position(|entry| entry.id == last);
            let unknown = || Malformed::new("pageToken", "`pageToken` is not one of this list");
            entries.drain(..=at.ok_or_else(unknown)?);
        }
        let more = entries.len() > size;
        entries.truncate(size);
        let next_page_token = entries.last().filter(|_| more).map(|entry| entry.id.clone());
        Ok(Self { models: entries.into_iter().map(Model::from).collect(), next_page_token })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(size: Option<&str>, token: Option<&str>) -> Result<(String, Option<String>), String> {
        let entries = ["a", "b", "c"].map(|id| super::super::entry(id.to_owned(), 0, "p"));
        let page = Page { page_size: size.map(str::to_owned), page_token: token.map(str::to_owned) };
        let list = List::page(entries.into(), &page).map_err(|error| error.param)?;
        Ok((list.models.iter().map(|model| &*model.display_name).collect(), list.next_page_token))
    }

    #[test]
    fn pages_follow_each_other() {
        assert_eq!(page(None, None), Ok(("abc".into(), None)));
        assert_eq!(page(Some("2"), None), Ok(("ab".into(), Some("b".into()))));
        assert_eq!(page(Some("2"), Some("b")), Ok(("c".into(), None)));
        assert_eq!(page(Some("5000"), Some("")), Ok(("abc".into(), None)));
    }

    #[test]
    fn a_wrong_parameter_is_named() {
        assert_eq!(page(Some("-1"), None), Err("pageSize".into()));
        assert_eq!(page(None, Some("x")), Err("pageToken".into()));
    }
}
