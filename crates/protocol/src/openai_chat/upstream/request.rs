//! Writes a request for an upstream, when the client speaks another protocol.

use super::messages::Writer;
use crate::{
    ProtocolId, Target,
    ir::{Hint, Losses, Request, Tool},
    json::Json,
    models::OutputLimit,
    openai::body::{Body, ELSEWHERE, Format, nested_format, parameters},
};

/// OpenAI takes no more stop sequences than this.
const MOST_STOPS: usize = 4;

pub fn encode_request(request: &Request, target: Target<'_>, losses: &mut Losses) -> Vec<u8> {
    losses.name_as(&request.names);
    let mut body = Body::new(&target.rules.refused_fields, target.rules, losses);
    body.put("model", target.model);
    let format = body.format(request.response_format.as_ref());
    let instruction = match &format {
        Some(Format::Object { instruction }) => Some(instruction.as_str()),
        Some(Format::Schema { .. }) | None => None,
    };
    let messages = Writer::new(target.rules, body.losses).write(request, instruction);
    body.put("messages", messages);
    body.tools(request, tool, named);
    let effort = body.effort(request);
    body.put_some("reasoning_effort", effort.map(|effort| Json::from(effort.as_str())));
    let reasons = body.reasons(effort);
    let penalties = [
        ("presence_penalty", request.sampling.presence_penalty),
        ("frequency_penalty", request.sampling.frequency_penalty),
    ];
    body.sampling(request, reasons, &penalties);
    body.put_some("seed", request.sampling.seed.map(|seed| Json::Number(seed.into())));
    output_limit(&mut body, request.max_output_tokens);
    body.put_some("response_format", format.as_ref().map(response_format));
    body.put_some("n", request.candidates.map(|n| Json::from(u64::from(n))));
    if let Some(best) = request.logprobs {
        body.put("logprobs", true);
        body.put_some("top_logprobs", (best > 0).then(|| Json::from(u64::from(best))));
    }
    stop(&mut body, &request.stop);
    body.user(request.user.as_deref());
    if request.stream {
        body.put("stream", true);
        // Who refuses to be asked for the usage sends it unasked.
        if !target.rules.refuses("stream_options") {
            body.put("stream_options", Json::object([("include_usage", Json::Bool(true))]));
        }
    }
    body.rest(&request.rest, |body, hint, value| {
        // `top_logprobs` is refused where `logprobs` was not asked for, and that has been written above.
        let taken = body.rules.takes_hints && hint != Hint::TopLogprobs;
        if taken {
            body.put(hint.as_str(), value.clone());
        }
        taken
    });
    body.finish()
}

fn output_limit(body: &mut Body<'_>, asked: Option<u64>) {
    let key = match body.rules.output_limit {
        OutputLimit::AsAsked | OutputLimit::MaxTokens => "max_tokens",
        OutputLimit::MaxCompletionTokens => "max_completion_tokens",
    };
    let limit = body.output_limit(asked);
    body.put_some(key, limit.map(Json::from));
}

fn stop(body: &mut Body<'_>, stop: &[String]) {
    if stop.is_empty() {
        return;
    }
    if !body.rules.stop {
        return body.losses.dropped("stop");
    }
    if stop.len() > MOST_STOPS {
        body.losses.approximated("stop");
    }
    let kept: Vec<Json> = stop.iter().take(MOST_STOPS).map(|text| Json::from(text.as_str())).collect();
    body.put("stop", kept);
}

fn response_format(format: &Format<'_>) -> Json {
    match format {
        Format::Object { .. } => Json::object([("type", Json::from("json_object"))]),
        Format::Schema { name, description, schema, strict } => {
            let mut inner = vec![("name", Json::from(*name))];
            inner.extend(description.map(|text| ("description", Json::from(text))));
            inner.push(("schema", (*schema).clone()));
            inner.extend(strict.map(|strict| ("strict", Json::Bool(strict))));
            Json::object([("type", Json::from("json_schema")), ("json_schema", Json::object(inner))])
        }
    }
}

fn tool(tool: &Tool) -> Result<Json, &'static str> {
    let describe = |text: &Option<String>| text.as_deref().map(|text| ("description", Json::from(text)));
    let (kind, inner) = match tool {
        Tool::Function(function) => {
            let mut inner = vec![("name", Json::from(function.name.as_str()))];
            inner.extend(describe(&function.description));
            inner.push(("parameters", parameters(function.parameters.as_ref())));
            inner.extend(function.strict.map(|strict| ("strict", Json::Bool(strict))));
            ("function", inner)
        }
        Tool::Custom { name, description, format, .. } => {
            let mut inner = vec![("name", Json::from(name.as_str()))];
            inner.extend(describe(description));
            inner.extend(format.as_ref().map(|format| ("format", nested_format(format))));
            ("custom", inner)
        }
        Tool::Hosted { origin: ProtocolId::OpenAiChat, raw, .. } => return Ok(raw.clone()),
        Tool::Hosted { .. } => return Err(ELSEWHERE),
    };
    Ok(Json::object([("type", Json::from(kind)), (kind, Json::object(inner))]))
}

fn named(name: &str, kind: &'static str) -> Json {
    let inner = Json::object([("name", Json::from(name))]);
    Json::object([("type", Json::from(kind)), (kind, inner)])
}
