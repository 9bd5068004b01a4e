//! Writes a request for an upstream, when the client speaks another protocol.

use super::{input, tools};
use crate::{
    Target,
    ir::{Effort, Hint, Losses, Request},
    json::Json,
    openai::body::{Body, Format},
};

/// The API takes no smaller limit of output tokens.
const LEAST_OUTPUT: u64 = 16;

pub fn encode_request(request: &Request, target: Target<'_>, losses: &mut Losses) -> Vec<u8> {
    losses.name_as(&request.names);
    let mut body = Body::new(&[], target.rules, losses);
    body.put("model", target.model);
    let format = body.format(request.response_format.as_ref());
    let conversation = input::write(request, format.as_ref(), body.losses);
    body.put_some("instructions", conversation.instructions.map(Json::from));
    body.put("input", conversation.items);
    body.tools(request, tools::write, tools::named);
    let effort = body.effort(request);
    let reasons = body.reasons(effort);
    body.put_some("reasoning", reasoning(request, effort, reasons));
    body.sampling(request, reasons, &[]);
    output_limit(&mut body, request.max_output_tokens);
    body.user(request.user.as_deref());
    if request.stream {
        body.put("stream", true);
    }
    note_what_has_no_field(request, body.losses);
    let hints = hints(&mut body, request);
    let text: Vec<_> =
        format.as_ref().map(|format| ("format", text_format(format))).into_iter().chain(hints.text).collect();
    body.put_some("text", (!text.is_empty()).then(|| Json::object(text)));
    // Nothing is left with the provider unless the client asked for it: it may be another one's turn next time.
    body.put("store", hints.store);
    let mut include = Vec::new();
    if reasons && !hints.store {
        include.push(Json::from("reasoning.encrypted_content"));
    }
    if let Some(best) = request.logprobs {
        include.push(Json::from("message.output_text.logprobs"));
        body.put_some("top_logprobs", (best > 0).then(|| Json::from(u64::from(best))));
    }
    body.put_some("include", (!include.is_empty()).then_some(Json::Array(include)));
    body.finish()
}

fn reasoning(request: &Request, effort: Option<Effort>, reasons: bool) -> Option<Json> {
    let visible = reasons && request.reasoning.as_ref().is_some_and(|asked| asked.visible == Some(true));
    let effort = effort.map(|effort| ("effort", Json::from(effort.as_str())));
    let members: Vec<_> = effort.into_iter().chain(visible.then(|| ("summary", Json::from("auto")))).collect();
    (!members.is_empty()).then(|| Json::object(members))
}

fn output_limit(body: &mut Body<'_>, asked: Option<u64>) {
    let limit = body.output_limit(asked);
    if limit.is_some_and(|limit| limit < LEAST_OUTPUT) {
        body.losses.approximated("max_tokens");
    }
    body.put_some("max_output_tokens", limit.map(|limit| Json::from(limit.max(LEAST_OUTPUT))));
}

fn text_format(format: &Format<'_>) -> Json {
    match format {
        Format::Object { .. } => Json::object([("type", Json::from("json_object"))]),
        Format::Schema { name, description, schema, strict } => {
            let mut members = vec![("type", Json::from("json_schema")), ("name", Json::from(*name))];
            members.extend(description.map(|text| ("description", Json::from(text))));
            members.push(("schema", (*schema).clone()));
            members.extend(strict.map(|strict| ("strict", Json::Bool(strict))));
            Json::object(members)
        }
    }
}

fn note_what_has_no_field(request: &Request, losses: &mut Losses) {
    if request.candidates.is_some_and(|count| count > 1) {
        losses.refused("n", "this protocol gives one answer to a request");
    }
    for (field, asked) in [
        ("presence_penalty", request.sampling.presence_penalty.is_some()),
        ("frequency_penalty", request.sampling.frequency_penalty.is_some()),
        ("seed", request.sampling.seed.is_some()),
        ("stop", !request.stop.is_empty()),
    ] {
        if asked {
            losses.dropped(field);
        }
    }
}

/// What the hints say that do not stand for themselves.
#[derive(Default)]
struct Hints {
    text: Vec<(&'static str, Json)>,
    store: bool,
}

fn hints(body: &mut Body<'_>, request: &Request) -> Hints {
    let mut hints = Hints::default();
    body.rest(&request.rest, |body, hint, value| {
        match hint {
            Hint::Verbosity => hints.text.push((hint.as_str(), value.clone())),
            Hint::Store => hints.store = value.as_bool() == Some(true),
            Hint::TopLogprobs if request.logprobs.is_some() => {}
            Hint::TopLogprobs
            | Hint::ServiceTier
            | Hint::PromptCacheKey
            | Hint::PromptCacheRetention
            | Hint::Metadata => body.put(hint.as_str(), value.clone()),
        }
        true
    });
    hints
}
