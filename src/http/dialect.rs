//! Whose words a client understands, told by what it asked before it is known whether there is such a thing.

use axum::http::{HeaderMap, Uri};
use llm_protocol::{Inbound, ProtocolId, inbound, openai_chat::OpenAiChat};

/// Ends the paths of Gemini's calls.
const GEMINI_VERBS: [&str; 5] =
    [":generateContent", ":streamGenerateContent", ":countTokens", ":embedContent", ":batchEmbedContents"];

/// The protocol of a request: its path's, else the one that its headers belong to.
pub fn protocol(uri: &Uri, headers: &HeaderMap) -> ProtocolId {
    let path = uri.path();
    let has = |segment: &str| path.split('/').any(|part| part == segment);
    if has("admin") || has("chat") {
        ProtocolId::OpenAiChat
    } else if path.starts_with("/v1beta") || GEMINI_VERBS.iter().any(|verb| path.ends_with(verb)) {
        ProtocolId::Gemini
    } else if has("messages") {
        ProtocolId::Anthropic
    } else if has("responses") {
        ProtocolId::OpenAiResponses
    } else if headers.contains_key("anthropic-version") {
        ProtocolId::Anthropic
    } else if headers.contains_key("x-goog-api-key") || has_key(uri) {
        ProtocolId::Gemini
    } else {
        ProtocolId::OpenAiChat
    }
}

/// Who writes a request's errors.
pub fn dialect(uri: &Uri, headers: &HeaderMap) -> &'static dyn Inbound {
    inbound(protocol(uri, headers)).unwrap_or(&OpenAiChat)
}

/// Google's older clients put their key into the query.
fn has_key(uri: &Uri) -> bool {
    uri.query().is_some_and(|query| query.split('&').any(|pair| pair.starts_with("key=")))
}

#[cfg(test)]
mod tests {
    use axum::http::{HeaderName, HeaderValue};

    use super::*;

    #[test]
    fn the_path_tells_first_and_then_the_headers() {
        use ProtocolId::{Anthropic, Gemini, OpenAiChat, OpenAiResponses};
        for (uri, header, expected) in [
            ("/v1/chat/completions", "", OpenAiChat),
            ("/v1/chat/completions", "anthropic-version", OpenAiChat),
            ("/admin/providers", "anthropic-version", OpenAiChat),
            ("/v1/messages?beta=true", "", Anthropic),
            ("/messages/count_tokens", "x-goog-api-key", Anthropic),
            ("/v1/responses", "", OpenAiResponses),
            ("/responses/resp_1/cancel", "", OpenAiResponses),
            ("/v1beta/models", "anthropic-version", Gemini),
            ("/v1/models/gemini-x:generateContent", "", Gemini),
            ("/v1/models", "", OpenAiChat),
            ("/v1/models", "anthropic-version", Anthropic),
            ("/v1/models", "x-goog-api-key", Gemini),
            ("/v1/models?pageSize=5&key=k", "", Gemini),
            ("/v1/nowhere?monkey=1", "", OpenAiChat),
        ] {
            let mut headers = HeaderMap::new();
            if !header.is_empty() {
                headers.insert(HeaderName::from_static(header), HeaderValue::from_static("1"));
            }
            assert_eq!(protocol(&Uri::from_static(uri), &headers), expected, "{uri} {header}");
        }
    }
}
