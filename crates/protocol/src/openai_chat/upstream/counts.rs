//! Token counts and reasons for stopping, as the dialects tell them.

use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{
    ir::{Finish, FinishReason, Usage},
    openai::lenient::{Num, Raw, Str, read},
    scan::{Fault, Scan},
};

#[derive(Default, Deserialize)]
#[serde(default)]
struct Counts<'a> {
    prompt_tokens: Num,
    completion_tokens: Num,
    total_tokens: Num,
    #[serde(borrow)]
    prompt_tokens_details: Raw<'a>,
    #[serde(borrow)]
    completion_tokens_details: Raw<'a>,
    /// DeepSeek's name for what came from the cache.
    prompt_cache_hit_tokens: Num,
    /// Together's.
    cached_tokens: Num,
    /// Anthropic's, which some servers repeat.
    cache_read_input_tokens: Num,
    cache_creation_input_tokens: Num,
    /// Copilot's.
    reasoning_tokens: Num,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Details {
    cached_tokens: Num,
    cache_write_tokens: Num,
    reasoning_tokens: Num,
}

/// The counts that `raw` holds, if it holds any.
pub fn usage(raw: Raw<'_>) -> Option<Usage> {
    let counts: Counts<'_> = read(raw)?;
    let prompt = read(counts.prompt_tokens_details).unwrap_or_default();
    let completion = read(counts.completion_tokens_details).unwrap_or_default();
    told(&counts, &prompt, &completion)
}

/// The same of counts that are whole numbers or `null`, and details that are objects of such; fails where something else stands,
/// which takes a closer look.
pub fn plain_usage(scan: &mut Scan<'_>) -> Result<Option<Usage>, Fault> {
    let (mut counts, mut prompt, mut completion) = (Counts::default(), Details::default(), Details::default());
    scan.object(|key, scan| {
        let count = match &*key {
            "prompt_tokens_details" => return details(scan, &mut prompt),
            "completion_tokens_details" => return details(scan, &mut completion),
            "prompt_tokens" => &mut counts.prompt_tokens,
            "completion_tokens" => &mut counts.completion_tokens,
            "total_tokens" => &mut counts.total_tokens,
            "prompt_cache_hit_tokens" => &mut counts.prompt_cache_hit_tokens,
            "cached_tokens" => &mut counts.cached_tokens,
            "cache_read_input_tokens" => &mut counts.cache_read_input_tokens,
            "cache_creation_input_tokens" => &mut counts.cache_creation_input_tokens,
            "reasoning_tokens" => &mut counts.reasoning_tokens,
            _ => return scan.value().map(drop),
        };
        plain_count(scan, count)
    })?;
    Ok(told(&counts, &prompt, &completion))
}

fn details(scan: &mut Scan<'_>, details: &mut Details) -> Result<(), Fault> {
    if scan.null() {
        return Ok(());
    }
    scan.object(|key, scan| {
        let count = match &*key {
            "cached_tokens" => &mut details.cached_tokens,
            "cache_write_tokens" => &mut details.cache_write_tokens,
            "reasoning_tokens" => &mut details.reasoning_tokens,
            _ => return scan.value().map(drop),
        };
        plain_count(scan, count)
    })
}

/// A count that stands there once, as a whole number or `null`.
fn plain_count(scan: &mut Scan<'_>, count: &mut Num) -> Result<(), Fault> {
    let text = scan.value()?;
    let once = count.0.is_none();
    if text != "null" {
        count.0 = text.parse().ok();
    }
    if once && (count.0.is_some() || text == "null") { Ok(()) } else { scan.fault("a count") }
}

fn told(counts: &Counts<'_>, prompt: &Details, completion: &Details) -> Option<Usage> {
    if counts.prompt_tokens.0.is_none() && counts.completion_tokens.0.is_none() {
        return None;
    }
    let cached =
        [prompt.cached_tokens, counts.prompt_cache_hit_tokens, counts.cached_tokens, counts.cache_read_input_tokens];
    let written = prompt.cache_write_tokens.0.or(counts.cache_creation_input_tokens.0);
    let reasoning = completion.reasoning_tokens.0.or(counts.reasoning_tokens.0);
    let input = counts.prompt_tokens.0.unwrap_or(0);
    let mut output = counts.completion_tokens.0.unwrap_or(0);
    // xAI counts reasoning beside the completion instead of inside it; the total gives it away.
    if let (Some(extra), Some(total)) = (reasoning, counts.total_tokens.0)
        && extra > 0
        && total == input.saturating_add(output).saturating_add(extra)
    {
        output += extra;
    }
    // Azure tells of more now and then; more than there are cannot have come from a cache, and others' counts must add up.
    let cache_read = cached.into_iter().find_map(|count| count.0).unwrap_or(0).min(input);
    Some(Usage {
        input,
        output,
        cache_read,
        cache_write: written.unwrap_or(0).min(input - cache_read),
        reasoning,
        ..Usage::default()
    })
}

/// The counts inside Groq's envelope.
pub fn groq_usage(raw: Raw<'_>) -> Option<Usage> {
    #[derive(Default, Deserialize)]
    #[serde(default)]
    struct Envelope<'a> {
        #[serde(borrow)]
        usage: Raw<'a>,
    }
    usage(read::<Envelope<'_>>(raw)?.usage)
}

/// What an upstream's word for the end means.
pub enum End {
    Finish(Finish),
    /// The word says that the answer failed.
    Failed,
}

/// Reads `finish_reason`. Servers say `stop` after tool calls, or nothing at all.
pub fn end(raw: &str, has_calls: bool, stop_sequence: Option<String>) -> End {
    let reason = match raw {
        "length" | "max_tokens" | "model_length" | "max_output_tokens" => FinishReason::Length,
        "content_filter" | "content_filtered" | "guardrail_intervened" | "safety" => FinishReason::ContentFilter,
        "error" | "insufficient_system_resource" | "abort" => return End::Failed,
        _ if has_calls => FinishReason::ToolCalls,
        _ => FinishReason::Stop,
    };
    End::Finish(Finish { reason, raw: raw.to_owned(), stop_sequence })
}

/// The stop sequence that was met, by this gateway's word or by vLLM's, whose `stop_reason` may also be a token's number.
pub fn stop_sequence(own: &Str<'_>, stop_reason: Raw<'_>) -> Option<String> {
    own.some().or_else(|| {
        let text = stop_reason.map(RawValue::get).filter(|text| text.starts_with('"'))?;
        serde_json::from_str::<String>(text).ok().filter(|text| !text.is_empty())
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scan;

    fn read_usage(text: &str) -> Usage {
        let raw = RawValue::from_string(text.to_owned()).unwrap();
        usage(Some(&raw)).unwrap()
    }

    #[test]
    fn counts_may_be_fractions_texts_and_nulls() {
        let usage = read_usage(
            r#"{"prompt_tokens":12.0,"completion_tokens":"3","prompt_tokens_details":null,"completion_tokens_details":7,"cost":{}}"#,
        );
        assert_eq!((usage.input, usage.output, usage.cache_read), (12, 3, 0));
    }

    fn fast(text: &str) -> Option<Usage> {
        let whole = format!(r#"{{"usage":{text}}}"#);
        let mut usage = None;
        scan::object(&whole, |_, scan| {
            usage = plain_usage(scan)?;
            Ok(())
        })
        .ok()?;
        usage
    }

    #[test]
    fn what_is_plain_is_read_the_same_in_the_fast_way_and_anything_else_is_left() {
        for plain in [
            r#"{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12,"prompt_tokens_details":{"cached_tokens":4,"audio_tokens":0}}"#,
            r#"{"prompt_tokens":9,"completion_tokens":3,"total_tokens":20,"completion_tokens_details":{"reasoning_tokens":8},"x":[1.5]}"#,
            r#"{"prompt_tokens":9,"cached_tokens":null,"prompt_cache_hit_tokens":2,"prompt_tokens_details":null}"#,
            r#"{"completion_tokens":9,"cache_read_input_tokens":2,"cache_creation_input_tokens":1,"reasoning_tokens":1}"#,
        ] {
            assert_eq!(fast(plain), Some(read_usage(plain)), "{plain}");
        }
        for odd in [
            r#"{"prompt_tokens":9.0}"#,
            r#"{"prompt_tokens":"9"}"#,
            r#"{"prompt_tokens":-9}"#,
            r#"{"prompt_tokens":9,"prompt_tokens":8}"#,
            r#"{"prompt_tokens":9,"prompt_tokens_details":7}"#,
            r#"{"prompt_tokens":9,"prompt_tokens_details":{"cached_tokens":1e1}}"#,
            r#"{"total_tokens":9}"#,
            "[]",
        ] {
            assert_eq!(fast(odd), None, "{odd}");
        }
    }

    #[test]
    fn each_name_for_cached_tokens_is_known() {
        for key in ["prompt_cache_hit_tokens", "cached_tokens", "cache_read_input_tokens"] {
            assert_eq!(read_usage(&format!(r#"{{"prompt_tokens":9,"{key}":4}}"#)).cache_read, 4, "{key}");
        }
    }

    #[test]
    fn no_more_tokens_are_cached_than_there_are() {
        let told =
            read_usage(r#"{"prompt_tokens":29,"prompt_tokens_details":{"cached_tokens":157,"cache_write_tokens":9}}"#);
        assert_eq!((told.input, told.cache_read, told.cache_write), (29, 29, 0));
    }

    #[test]
    fn reasoning_beside_the_completion_is_added_to_it() {
        let beside = r#"{"prompt_tokens":10,"completion_tokens":2,"total_tokens":20,"completion_tokens_details":{"reasoning_tokens":8}}"#;
        assert_eq!(read_usage(beside).output, 10);
        let inside = r#"{"prompt_tokens":10,"completion_tokens":10,"total_tokens":20,"completion_tokens_details":{"reasoning_tokens":8}}"#;
        assert_eq!(read_usage(inside).output, 10);
    }
}
