//! Operations beside the generating ones (`/completions`, `/embeddings`, `/images/…`, `/audio/…`, `/rerank`, …): what is read of
//! an answer whose bytes otherwise pass, and what is put into other words.

pub mod embeddings;
mod stream;

pub use self::stream::{Decoder, Filter};

use crate::{
    ir::{ApiError, Usage},
    json::Json,
    openai::error::inside_200,
    splice::Members,
};

/// Reads a whole answer: what it took, where it tells. Fails if it is no JSON, or an error inside a good status.
pub fn read_answer(body: &[u8]) -> Result<Option<Usage>, ApiError> {
    let Ok(members) = Members::read(body) else {
        let is_json = serde_json::from_slice::<serde::de::IgnoredAny>(body).is_ok();
        return if is_json { Ok(None) } else { Err(ApiError::malformed("the provider's answer could not be read")) };
    };
    match members.get("error") {
        // A batch that failed tells its errors under another name, and is an answer.
        Some(_) => Err(inside_200(body)),
        None => Ok(usage(&members)),
    }
}

/// The counts that an answer or an event holds, by any of the names in use: OpenAI's older and newer ones, Google's, and those
/// of Cohere's and Jina's rankings.
fn usage(members: &Members<'_>) -> Option<Usage> {
    let parse = |text: &str| Json::parse(text.as_bytes()).ok();
    if let Some(usage) = ["usage", "usageMetadata"].iter().find_map(|key| parse(members.get(key)?)) {
        return counts(&usage);
    }
    let meta = members.get("meta").and_then(parse)?;
    ["tokens", "billed_units"].iter().find_map(|key| counts(meta.get(key)?))
}

fn counts(told: &Json) -> Option<Usage> {
    let count = |path: &[&str]| told.at(path).and_then(Json::as_f64).map(|number| number as u64);
    let output = count(&["completion_tokens"]).or_else(|| count(&["output_tokens"]));
    let input = ["prompt_tokens", "input_tokens", "promptTokenCount"].iter().find_map(|key| count(&[key]));
    // A ranking takes tokens and makes none.
    let input = input.or_else(|| Some(count(&["total_tokens"])?.saturating_sub(output.unwrap_or(0))))?;
    Some(Usage {
        input,
        output: output.unwrap_or(0),
        cache_read: count(&["prompt_tokens_details", "cached_tokens"])
            .or_else(|| count(&["input_tokens_details", "cached_tokens"]))
            .unwrap_or(0),
        reasoning: count(&["completion_tokens_details", "reasoning_tokens"]),
        ..Usage::default()
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::ErrorKind;

    fn read(body: &str) -> (u64, u64) {
        let usage = read_answer(body.as_bytes()).unwrap().unwrap();
        (usage.input, usage.output)
    }

    #[test]
    fn each_operations_counts_are_understood() {
        for (body, counts) in [
            (r#"{"data":[],"usage":{"prompt_tokens":7,"total_tokens":7}}"#, (7, 0)),
            (r#"{"usage":{"prompt_tokens":7,"completion_tokens":2,"total_tokens":9}}"#, (7, 2)),
            (r#"{"usage":{"type":"tokens","input_tokens":14,"output_tokens":45,"total_tokens":59}}"#, (14, 45)),
            (r#"{"embedding":{"values":[1]},"usageMetadata":{"promptTokenCount":3,"totalTokenCount":3}}"#, (3, 0)),
            (r#"{"results":[],"usage":{"total_tokens":815}}"#, (815, 0)),
            (r#"{"results":[],"meta":{"tokens":{"input_tokens":28,"output_tokens":1}}}"#, (28, 1)),
            (r#"{"results":[],"meta":{"billed_units":{"input_tokens":5}}}"#, (5, 0)),
        ] {
            assert_eq!(read(body), counts, "{body}");
        }
    }

    #[test]
    fn an_answer_without_counts_is_an_answer() {
        let without = [
            r#"{"text":"hi","usage":{"type":"duration","seconds":9}}"#,
            r#"{"id":"file-1"}"#,
            r#"{"results":[],"meta":{"billed_units":{"search_units":1}}}"#,
            "[1]",
            r#"{"error":null,"usage":null}"#,
        ];
        for body in without {
            assert_eq!(read_answer(body.as_bytes()).unwrap(), None, "{body}");
        }
    }

    #[test]
    fn nonsense_and_errors_inside_a_good_status_are_no_answers() {
        for body in ["", "<html>", r#"{"error":{"message":"Oops","type":"server_error"}}"#] {
            assert_eq!(read_answer(body.as_bytes()).unwrap_err().kind, ErrorKind::Upstream, "{body}");
        }
    }
}
