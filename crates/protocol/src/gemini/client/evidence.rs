//! What an answer tells about itself: the sources it rests on, and how likely its tokens were.

use crate::{ir::Citation, json::Json};

/// Sources as grounding metadata: each once, with the stretches of `text` that it supports, in bytes.
pub fn grounding(citations: &[Citation], text: &str) -> Option<Json> {
    if citations.is_empty() {
        return None;
    }
    let starts: Vec<usize> = text.char_indices().map(|(at, _)| at).chain([text.len()]).collect();
    let byte = |character: u64| usize::try_from(character).ok().and_then(|at| starts.get(at)).copied();
    let (mut sources, mut supports): (Vec<&Citation>, Vec<Json>) = (Vec::new(), Vec::new());
    for citation in citations {
        let at = sources.iter().position(|known| is_same(known, citation)).unwrap_or_else(|| {
            sources.push(citation);
            sources.len() - 1
        });
        let stretch = citation.span.and_then(|(from, to)| Some((byte(from)?, byte(to)?)));
        if let Some((from, to)) = stretch.filter(|(from, to)| from <= to) {
            let segment = Json::object([
                ("startIndex", Json::from(from as u64)),
                ("endIndex", Json::from(to as u64)),
                ("text", Json::from(&text[from..to])),
            ]);
            let indices = Json::Array(vec![Json::from(at as u64)]);
            supports.push(Json::object([("segment", segment), ("groundingChunkIndices", indices)]));
        }
    }
    let chunks = sources.into_iter().map(chunk).collect();
    Some(Json::object([("groundingChunks", Json::Array(chunks)), ("groundingSupports", Json::Array(supports))]))
}

fn is_same(a: &Citation, b: &Citation) -> bool {
    (&a.url, &a.title, &a.quote) == (&b.url, &b.title, &b.quote)
}

/// A page of the web has no words of its own in Google's shape; a retrieved text has.
fn chunk(citation: &Citation) -> Json {
    let mut source: Vec<(&str, Json)> = Vec::new();
    source.extend(citation.url.as_deref().map(|url| ("uri", Json::from(url))));
    source.extend(citation.title.as_deref().map(|title| ("title", Json::from(title))));
    source.extend(citation.quote.as_deref().map(|quote| ("text", Json::from(quote))));
    let kind = if citation.quote.is_some() { "retrievedContext" } else { "web" };
    Json::object([(kind, Json::object(source))])
}

/// OpenAI's `logprobs` object as a `logprobsResult`.
pub fn logprobs(logprobs: &Json) -> Option<Json> {
    let tokens = logprobs.get("content")?.items()?;
    let chosen = tokens.iter().map(token).collect();
    let alternatives = |token: &Json| {
        let top = token.get("top_logprobs").and_then(Json::items).unwrap_or_default();
        Json::object([("candidates", Json::Array(top.iter().map(self::token).collect()))])
    };
    let top = tokens.iter().map(alternatives).collect();
    Some(Json::object([("chosenCandidates", Json::Array(chosen)), ("topCandidates", Json::Array(top))]))
}

fn token(entry: &Json) -> Json {
    let member = |key: &str| entry.get(key).cloned().unwrap_or_default();
    Json::object([("token", member("token")), ("logProbability", member("logprob"))])
}
