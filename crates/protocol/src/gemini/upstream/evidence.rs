//! What an answer tells about itself: the sources it rests on, and how likely its tokens were.

use serde::Deserialize;

use crate::{ir::Citation, json::Json};

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Grounding {
    grounding_chunks: Option<Vec<Chunk>>,
    grounding_supports: Option<Vec<Support>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Chunk {
    web: Option<Source>,
    retrieved_context: Option<Source>,
    maps: Option<Source>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default)]
struct Source {
    uri: Option<String>,
    title: Option<String>,
    text: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Support {
    segment: Option<Segment>,
    grounding_chunk_indices: Option<Vec<usize>>,
}

/// A stretch of the answer, in bytes of UTF-8.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Segment {
    start_index: Option<usize>,
    end_index: Option<usize>,
    text: Option<String>,
}

/// The sources of `text` by its grounding metadata, in the order of the text they support; then those that were found
/// and support no stretch of it. Metadata of an unknown shape has none.
pub fn grounded(metadata: &str, text: &str) -> Vec<Citation> {
    let Grounding { grounding_chunks, grounding_supports } = serde_json::from_str(metadata).unwrap_or_default();
    let sources: Vec<Citation> = grounding_chunks.unwrap_or_default().into_iter().map(citation).collect();
    let mut used = vec![false; sources.len()];
    let mut out = Vec::new();
    for support in grounding_supports.unwrap_or_default() {
        let span = support.segment.and_then(|segment| span(text, &segment));
        for at in support.grounding_chunk_indices.unwrap_or_default() {
            if let Some(source) = sources.get(at) {
                used[at] = true;
                out.push(Citation { span, ..source.clone() });
            }
        }
    }
    out.extend(sources.into_iter().zip(used).filter(|(_, used)| !used).map(|(source, _)| source));
    out
}

fn citation(chunk: Chunk) -> Citation {
    let source = chunk.web.or(chunk.retrieved_context).or(chunk.maps).unwrap_or_default();
    Citation { url: source.uri, title: source.title, quote: source.text, span: None }
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Recited {
    #[serde(alias = "citationSources")]
    citations: Option<Vec<Quotation>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Quotation {
    start_index: Option<usize>,
    end_index: Option<usize>,
    uri: Option<String>,
    title: Option<String>,
}

/// The works that `text` quotes at length, by its citation metadata.
pub fn recited(metadata: &str, text: &str) -> Vec<Citation> {
    let Recited { citations } = serde_json::from_str(metadata).unwrap_or_default();
    let cite = |quotation: Quotation| {
        let segment = Segment { start_index: quotation.start_index, end_index: quotation.end_index, text: None };
        Citation { url: quotation.uri, title: quotation.title, quote: None, span: span(text, &segment) }
    };
    citations.unwrap_or_default().into_iter().map(cite).collect()
}

/// A segment in characters. Where its indexes do not lead to the words that it repeats, the words are looked for.
fn span(text: &str, segment: &Segment) -> Option<(u64, u64)> {
    let start = segment.start_index.unwrap_or(0);
    let indexed = segment.end_index.and_then(|end| text.get(start..end)).map(|words| (start, words));
    let (start, words) = match &segment.text {
        Some(said) => match indexed.filter(|(_, words)| words == said) {
            Some(found) => found,
            None => (text.find(said.as_str())?, said.as_str()),
        },
        None => indexed?,
    };
    let from = text[..start].chars().count() as u64;
    Some((from, from + words.chars().count() as u64))
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Logprobs {
    chosen_candidates: Option<Vec<Token>>,
    top_candidates: Option<Vec<Alternatives>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Alternatives {
    candidates: Option<Vec<Token>>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct Token {
    token: Option<String>,
    log_probability: Option<f64>,
}

/// A `logprobsResult` as OpenAI's `logprobs` object; `None` if it tells of no token.
pub fn logprobs(result: &str) -> Option<Json> {
    let Logprobs { chosen_candidates, top_candidates } = serde_json::from_str(result).unwrap_or_default();
    let mut alternatives = top_candidates.unwrap_or_default().into_iter();
    let chosen = chosen_candidates.filter(|chosen| !chosen.is_empty())?;
    let content = chosen.into_iter().map(|token| {
        let top = alternatives.next().and_then(|step| step.candidates).unwrap_or_default();
        let mut entry = entry(token);
        entry.set("top_logprobs", Json::Array(top.into_iter().map(self::entry).collect()));
        entry
    });
    Some(Json::object([("content", Json::Array(content.collect())), ("refusal", Json::Null)]))
}

fn entry(token: Token) -> Json {
    let text = token.token.unwrap_or_default();
    let bytes = text.bytes().map(|byte| Json::from(u64::from(byte))).collect();
    let logprob = token.log_probability.map_or(Json::Null, Json::from);
    Json::object([("token", Json::String(text)), ("logprob", logprob), ("bytes", Json::Array(bytes))])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stretches_are_told_in_characters_and_found_by_their_words_where_the_bytes_are_off() {
        let metadata = r#"{"groundingChunks":[{"web":{"uri":"u","title":"t"}},{"retrievedContext":{"text":"q"}},{"maps":{"uri":"m"}}],
            "groundingSupports":[{"segment":{"startIndex":3,"endIndex":5,"text":"b"},"groundingChunkIndices":[0,9]},
                {"segment":{"endIndex":3},"groundingChunkIndices":[1]}]}"#;
        let found = grounded(metadata, "é b");
        assert_eq!(found.len(), 3);
        assert_eq!((found[0].url.as_deref(), found[0].span), (Some("u"), Some((2, 3))));
        assert_eq!((found[1].quote.as_deref(), found[1].span), (Some("q"), Some((0, 2))));
        assert_eq!((found[2].url.as_deref(), found[2].span), (Some("m"), None));
    }

    #[test]
    fn metadata_of_another_shape_names_no_source() {
        assert!(grounded(r#"{"groundingChunks":3}"#, "").is_empty() && recited("[]", "").is_empty());
        let metadata = r#"{"citationSources":[{"startIndex":1,"endIndex":2,"uri":"u"}]}"#;
        assert_eq!(recited(metadata, "abc")[0].span, Some((1, 2)));
    }

    #[test]
    fn log_probabilities_take_openais_shape() {
        let result = r#"{"chosenCandidates":[{"token":"é","tokenId":1,"logProbability":-0.5}],
            "topCandidates":[{"candidates":[{"token":"a","logProbability":-1.5}]}]}"#;
        assert_eq!(
            logprobs(result).unwrap().to_string(),
            r#"{"content":[{"token":"é","logprob":-0.5,"bytes":[195,169],"top_logprobs":[{"token":"a","logprob":-1.5,"bytes":[97]}]}],"refusal":null}"#
        );
        assert_eq!(logprobs("{}"), None);
    }
}
