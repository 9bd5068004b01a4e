//! Reads `generationConfig`: sampling, limits, thinking, format.

use super::{fields::Fields, schema};
use crate::{
    ir::{Effort, Malformed, ReasoningRequest, Request, ResponseFormat, Sampling, Unmapped},
    json::Json,
};

/// Reads all of it into the request.
pub fn read(mut config: Fields, request: &mut Request) -> Result<(), Malformed> {
    request.sampling = Sampling {
        temperature: within(&mut config, "temperature", 0.0, 2.0)?,
        top_p: within(&mut config, "topP", 0.0, 1.0)?,
        top_k: config.count("topK", 0)?,
        presence_penalty: within(&mut config, "presencePenalty", -2.0, 2.0)?,
        frequency_penalty: within(&mut config, "frequencyPenalty", -2.0, 2.0)?,
        seed: config.whole("seed")?,
    };
    request.candidates = config.count("candidateCount", 1)?.map(small);
    request.max_output_tokens = config.count("maxOutputTokens", 1)?;
    request.stop = config.strings("stopSequences")?;
    let alternatives = config.count("logprobs", 0)?;
    if config.boolean("responseLogprobs")? == Some(true) {
        request.logprobs = Some(alternatives.map_or(0, small));
    }
    request.response_format = format(&mut config, &mut request.rest)?;
    if let Some(thinking) = config.object("thinkingConfig")? {
        request.reasoning = reasoning(thinking, &mut request.rest)?;
    }
    modalities(&mut config, &mut request.rest)?;
    config.leave(&mut request.rest);
    Ok(())
}

fn small(count: u64) -> u32 {
    u32::try_from(count).unwrap_or(u32::MAX)
}

fn within(config: &mut Fields, key: &str, least: f64, most: f64) -> Result<Option<f64>, Malformed> {
    match config.number(key)? {
        Some(value) if !(least..=most).contains(&value) => {
            Err(config.must_be(key, &format!("a number between {least} and {most}")))
        }
        value => Ok(value),
    }
}

/// JSON where a schema or JSON's type is given. A schema without the type counts too: Google's own clients forget it.
fn format(config: &mut Fields, rest: &mut Vec<Unmapped>) -> Result<Option<ResponseFormat>, Malformed> {
    let schema = match (config.take("responseJsonSchema"), config.take("responseSchema")) {
        (None, None) => None,
        (Some(schema @ Json::Object(_)), _) | (None, Some(schema @ Json::Object(_))) => Some(schema::plain(schema)),
        _ => return Err(config.must_be("responseSchema", "a schema object")),
    };
    let mime = config.string("responseMimeType")?.unwrap_or_default();
    Ok(match (mime.as_str(), schema) {
        ("" | "application/json", Some(schema)) => {
            Some(ResponseFormat::JsonSchema { name: None, description: None, schema, strict: None })
        }
        ("application/json", None) => Some(ResponseFormat::JsonObject),
        ("" | "text/plain", None) => None,
        _ => {
            let refusal = Some("answers of this type exist in Gemini's own protocol only");
            rest.push(Unmapped { path: config.path("responseMimeType"), refusal, ..Unmapped::default() });
            None
        }
    })
}

/// A level, or a budget of which -1 leaves it to the model.
fn reasoning(mut thinking: Fields, rest: &mut Vec<Unmapped>) -> Result<Option<ReasoningRequest>, Malformed> {
    const LEVELS: &str = "one of MINIMAL, LOW, MEDIUM, HIGH, XHIGH";
    let level = thinking.string("thinkingLevel")?.unwrap_or_default().to_ascii_lowercase();
    let effort = match level.as_str() {
        "" | "thinking_level_unspecified" => None,
        "none" | "max" => return Err(thinking.must_be("thinkingLevel", LEVELS)),
        level => Some(Effort::parse(level).ok_or_else(|| thinking.must_be("thinkingLevel", LEVELS))?),
    };
    let budget = match thinking.whole("thinkingBudget")? {
        None | Some(-1) => None,
        Some(budget) => {
            let tokens = u64::try_from(budget).ok();
            Some(tokens.ok_or_else(|| thinking.must_be("thinkingBudget", "-1, or a number of tokens"))?)
        }
    };
    let visible = thinking.boolean("includeThoughts")?;
    thinking.leave(rest);
    Ok(Some(ReasoningRequest { effort, budget, visible }))
}

/// Answers in pictures and sound are drawn by models that speak Gemini's protocol.
fn modalities(config: &mut Fields, rest: &mut Vec<Unmapped>) -> Result<(), Malformed> {
    let wanted = config.strings("responseModalities")?;
    if wanted.iter().any(|modality| !modality.eq_ignore_ascii_case("text")) {
        let refusal = Some("this model's protocol gives text only to Gemini clients");
        rest.push(Unmapped { path: config.path("responseModalities"), refusal, ..Unmapped::default() });
    }
    Ok(())
}
