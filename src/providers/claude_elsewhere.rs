//! Claude at another vendor's address: what such a host wants said otherwise than Anthropic does.
//!
//! The model stands in the path, the API's version and the betas in the body, and what the host does not know it refuses by
//! name ("Extra inputs are not permitted"). So a beta goes on only if the host takes it, and what belongs to a beta that
//! does not go on goes with it.

use bytes::Bytes;
use hyper::http::HeaderMap;
use llm_protocol::{
    ir::Losses,
    json::Json,
    splice::{Edit, Members},
};

/// A host of Claude, as data.
#[derive(Debug)]
pub struct Host {
    /// The value of `anthropic_version`.
    pub version: &'static str,
    /// Betas that it takes, each with its name there.
    pub betas: &'static [(&'static str, &'static str)],
    /// Top-level fields that it refuses.
    pub refused: &'static [Field],
    /// Whether `stream` stays in the body; else the path says it.
    pub stream_in_body: bool,
}

/// A field that a host refuses.
#[derive(Debug)]
pub struct Field {
    pub name: &'static str,
    /// The beta with which it is taken after all.
    pub unless: Option<&'static str>,
    /// Whether the answer would mean something else without it, so that the request must not be sent.
    pub essential: bool,
}

impl Field {
    /// One that is left out without changing what the answer means.
    pub const fn optional(name: &'static str, unless: Option<&'static str>) -> Self {
        Self { name, unless, essential: false }
    }

    /// One without which the request must not be sent.
    pub const fn essential(name: &'static str) -> Self {
        Self { name, unless: None, essential: true }
    }
}

/// Fields that no such host takes.
pub const REFUSED: &[Field] = &[
    Field::optional("context_management", Some("context-management-2025-06-27")),
    Field::optional("diagnostics", None),
    Field::optional("inference_geo", None),
    Field::optional("service_tier", None),
    Field::optional("speed", None),
    Field::essential("container"),
    Field::essential("fallbacks"),
    Field::essential("mcp_servers"),
];

const BETA_HEADER: &str = "anthropic-beta";
const VERSION_HEADER: &str = "anthropic-version";
const BETA_FIELD: &str = "anthropic_beta";

impl Host {
    /// Makes a request for Anthropic's own API one for this host. A body that is no JSON object stays as it is.
    pub fn adapt(&self, headers: &mut HeaderMap, body: Bytes, losses: &mut Losses) -> Bytes {
        let Ok(members) = Members::read(&body) else { return body };
        let betas = self.betas(headers, &members);
        headers.remove(BETA_HEADER);
        headers.remove(VERSION_HEADER);
        let mut edits = vec![
            Edit::remove("model"),
            Edit::set("anthropic_version", Json::from(self.version).to_string()),
            match betas.is_empty() {
                true => Edit::remove(BETA_FIELD),
                false => {
                    Edit::set(BETA_FIELD, Json::Array(betas.iter().map(|beta| Json::from(*beta)).collect()).to_string())
                }
            },
        ];
        if !self.stream_in_body {
            edits.push(Edit::remove("stream"));
        }
        for field in self.refused.iter().filter(|field| members.contains(field.name)) {
            if field.unless.is_some_and(|beta| betas.contains(&beta)) {
                continue;
            }
            edits.push(Edit::remove(field.name));
            match field.essential {
                _ if members.get(field.name).is_none() => {}
                true => losses.refused(field.name, "this provider's Claude does not take it"),
                false => losses.dropped(field.name),
            }
        }
        members.edit(&edits).into()
    }

    /// The betas asked for that go on, by their names here: those of the headers and those that stood in the body already.
    fn betas(&self, headers: &HeaderMap, members: &Members<'_>) -> Vec<&'static str> {
        let in_headers = headers.get_all(BETA_HEADER).iter().filter_map(|value| value.to_str().ok());
        let mut asked: Vec<String> =
            in_headers.flat_map(|list| list.split(',')).map(|beta| beta.trim().to_owned()).collect();
        let in_body = members.get(BETA_FIELD).and_then(|list| Json::parse(list.as_bytes()).ok());
        let in_body = in_body.as_ref().and_then(Json::items).unwrap_or_default();
        asked.extend(in_body.iter().filter_map(|beta| beta.as_str().map(str::to_owned)));
        let mut taken: Vec<&'static str> = Vec::new();
        for (_, here) in self.betas.iter().filter(|(known, _)| asked.iter().any(|beta| beta == known)) {
            if !taken.contains(here) {
                taken.push(here);
            }
        }
        taken
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOST: Host = Host {
        version: "host-1",
        betas: &[
            ("context-management-1", "context-management-1"),
            ("advanced-1", "search-1"),
            ("tool-search-1", "search-1"),
        ],
        refused: &[
            Field::optional("context_management", Some("context-management-1")),
            Field::optional("speed", None),
            Field::essential("mcp_servers"),
        ],
        stream_in_body: true,
    };

    fn adapted(betas: &str, body: &str) -> (String, Losses) {
        let mut headers = HeaderMap::new();
        headers.insert("anthropic-version", "2023-06-01".parse().unwrap());
        headers.insert("anthropic-beta", betas.parse().unwrap());
        let mut losses = Losses::default();
        let body = HOST.adapt(&mut headers, Bytes::copy_from_slice(body.as_bytes()), &mut losses);
        assert!(headers.is_empty(), "{headers:?}");
        (String::from_utf8(body.to_vec()).unwrap(), losses)
    }

    #[test]
    fn model_goes_and_version_comes_and_the_rest_keeps_its_bytes() {
        let (body, losses) = adapted("unknown-1", r#"{"model":"claude-x", "max_tokens":1.0,"stream":true}"#);
        assert_eq!(body, r#"{ "max_tokens":1.0,"stream":true,"anthropic_version":"host-1"}"#);
        assert!(losses.is_empty());
    }

    #[test]
    fn only_betas_that_the_host_takes_go_on_under_their_names_there() {
        let (body, _) =
            adapted("claude-code-1, tool-search-1,advanced-1", r#"{"anthropic_beta":["context-management-1"]}"#);
        assert_eq!(body, r#"{"anthropic_beta":["context-management-1","search-1"],"anthropic_version":"host-1"}"#);
    }

    #[test]
    fn a_refused_field_goes_and_is_reported_unless_its_beta_goes_on() {
        let (body, losses) = adapted("", r#"{"context_management":{},"speed":"fast","a":1}"#);
        assert_eq!(body, r#"{"a":1,"anthropic_version":"host-1"}"#);
        assert_eq!(losses.paths(), "context_management,speed");
        let (body, losses) = adapted("context-management-1", r#"{"context_management":{}}"#);
        assert!(body.contains("context_management\":{}") && losses.is_empty(), "{body}");
    }

    #[test]
    fn what_the_answer_depends_on_is_refused_rather_than_dropped() {
        let (_, losses) = adapted("", r#"{"mcp_servers":[{}]}"#);
        assert_eq!(losses.refusals().next().unwrap().0, "mcp_servers");
        assert!(adapted("", r#"{"mcp_servers":null}"#).1.is_empty());
    }
}
