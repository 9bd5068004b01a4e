//! Writes the response object, which a whole answer is and a stream shows at its beginning and its end.

use serde::Serialize;

use super::{encoder::Encoder, item::Item};
use crate::{
    Envelope, ProtocolId, fnv,
    ir::{
        ApiError, Block, Delta, ErrorKind, Event, FinishReason, Media, MediaKind, MediaSource, Output, Part, Request,
        Response, Signature, Usage,
    },
    json::Json,
};

/// Longest part of an id that comes from the request's, in bytes: OpenAI takes ids of 64.
const LONGEST_SEED: usize = 48;

/// What stays the same all through an answer.
#[derive(Debug)]
pub struct Head {
    /// What makes ids this answer's own.
    seed: String,
    created: u64,
    model: String,
    /// The members that repeat the request, as JSON without its braces.
    echo: String,
}

/// What changes while an answer comes.
#[derive(Clone, Copy, Debug, Default)]
pub struct State<'a> {
    pub status: &'static str,
    pub output: &'a [Item],
    pub usage: Option<&'a Usage>,
    pub error: Option<&'a ApiError>,
    /// Why it is incomplete.
    pub reason: Option<&'static str>,
}

#[derive(Serialize)]
struct Object<'a> {
    id: String,
    object: &'static str,
    created_at: u64,
    status: &'static str,
    error: Option<Failure<'a>>,
    incomplete_details: Option<Incomplete>,
    model: &'a str,
    output: &'a [Item],
    usage: Option<Counts>,
}

#[derive(Serialize)]
struct Failure<'a> {
    code: &'a str,
    message: &'a str,
}

#[derive(Serialize)]
struct Incomplete {
    reason: &'static str,
}

#[derive(Serialize)]
struct Counts {
    input_tokens: u64,
    input_tokens_details: InputDetails,
    output_tokens: u64,
    output_tokens_details: OutputDetails,
    total_tokens: u64,
}

#[derive(Serialize)]
struct InputDetails {
    cached_tokens: u64,
    cache_write_tokens: u64,
}

#[derive(Serialize)]
struct OutputDetails {
    reasoning_tokens: u64,
}

impl From<&Usage> for Counts {
    fn from(usage: &Usage) -> Self {
        Self {
            input_tokens: usage.input,
            input_tokens_details: InputDetails {
                cached_tokens: usage.cache_read,
                cache_write_tokens: usage.cache_write,
            },
            output_tokens: usage.output,
            output_tokens_details: OutputDetails { reasoning_tokens: usage.reasoning.unwrap_or(0) },
            total_tokens: usage.total(),
        }
    }
}

impl Head {
    pub fn new(request: &Request, envelope: Envelope) -> Self {
        let echo = Json::Object(request.echo.clone()).to_string();
        Self {
            seed: seed(&envelope.request_id),
            created: envelope.created,
            model: envelope.model,
            echo: echo[1..echo.len() - 1].to_owned(),
        }
    }

    /// The upstream tells by which name it knows the model that answers.
    pub fn answered_by(&mut self, model: &str) {
        if !model.is_empty() {
            model.clone_into(&mut self.model);
        }
    }

    /// The id of the item at `index`.
    pub fn item_id(&self, prefix: &str, index: usize) -> String {
        format!("{prefix}_{}_{index}", self.seed)
    }

    /// The whole object, as JSON.
    pub fn object(&self, state: State<'_>) -> String {
        let object = Object {
            id: format!("resp_{}", self.seed),
            object: "response",
            created_at: self.created,
            status: state.status,
            error: state.error.map(|error| Failure { code: code(error), message: &error.message }),
            incomplete_details: state.reason.map(|reason| Incomplete { reason }),
            model: &self.model,
            output: state.output,
            usage: state.usage.map(Counts::from),
        };
        let mut json = serde_json::to_string(&object).expect("keys are strings, and numbers finite");
        if !self.echo.is_empty() {
            json.truncate(json.len() - 1);
            json = format!("{json},{}}}", self.echo);
        }
        json
    }
}

/// The id of the answer that an item belongs to, where both ids were made here.
pub fn answer_of(item_id: &str) -> Option<String> {
    let (_, rest) = item_id.split_once('_')?;
    let (seed, index) = rest.rsplit_once('_')?;
    index.parse::<usize>().is_ok().then(|| format!("resp_{seed}"))
}

/// The request's id in letters that an id of OpenAI's may have; of a long one its hash.
fn seed(request_id: &str) -> String {
    let id = request_id.trim_start_matches("req_");
    if id.len() > LONGEST_SEED {
        let hash = fnv::hash(0, id.as_bytes());
        return format!("{hash:016x}{:016x}", fnv::hash(hash, id.as_bytes()));
    }
    id.chars().map(|letter| if letter.is_ascii_alphanumeric() || letter == '-' { letter } else { '_' }).collect()
}

/// The word for what went wrong after the answer began. Clients of this protocol branch on these.
pub fn code(error: &ApiError) -> &str {
    match error.kind {
        ErrorKind::ContextLength | ErrorKind::RateLimited | ErrorKind::QuotaExceeded => error.kind.code(),
        ErrorKind::Internal
        | ErrorKind::UpstreamAuth
        | ErrorKind::Upstream
        | ErrorKind::Unavailable
        | ErrorKind::Overloaded
        | ErrorKind::Timeout => "server_error",
        _ => error.code.as_deref().unwrap_or("invalid_prompt"),
    }
}

/// The event that ends a stream, the status that it tells, and why the answer is incomplete.
pub fn ending(reason: FinishReason) -> (&'static str, &'static str, Option<&'static str>) {
    let incomplete = |reason| ("response.incomplete", "incomplete", Some(reason));
    match reason {
        FinishReason::Stop | FinishReason::ToolCalls | FinishReason::Pause => ("response.completed", "completed", None),
        FinishReason::Length => incomplete("max_output_tokens"),
        FinishReason::ContentFilter => incomplete("content_filter"),
    }
}

/// Writes a whole answer: what a stream of it would show at its end.
pub fn encode_response(request: &Request, response: &Response, envelope: &Envelope) -> Vec<u8> {
    let mut encoder = Encoder::new(request, envelope.clone());
    let mut told = Vec::new();
    let mut tell = |event: Event| encoder.take(&event, &mut told);
    tell(Event::Start { id: response.id.clone(), model: response.model.clone() });
    if let Some(output) = response.outputs.first() {
        unfold(output, &mut tell);
    }
    response.usage.iter().for_each(|usage| tell(Event::Usage(usage.clone())));
    encoder.result().into_bytes()
}

/// Tells an answer as the events that fold into it. Where a text's sources and probabilities stand is not known any
/// more: they follow the last text.
fn unfold(output: &Output, tell: &mut impl FnMut(Event)) {
    let last_text = output.parts.iter().rposition(|part| matches!(part, Part::Text(_)));
    for (at, part) in output.parts.iter().enumerate() {
        let (block, deltas) = match part {
            Part::Text(text) => {
                // A message says from its beginning on which part of the answer it is.
                let phase = text.signature.as_ref().is_some_and(|known| known.origin == ProtocolId::OpenAiResponses);
                let mut deltas = Vec::from_iter(signed(&text.signature).filter(|_| phase));
                deltas.push(Delta::Text(text.text.clone()));
                if Some(at) == last_text {
                    deltas.extend(output.citations.iter().cloned().map(Delta::Citation));
                    deltas.extend(output.logprobs.clone().map(Delta::Logprobs));
                }
                deltas.extend(signed(&text.signature).filter(|_| !phase));
                (Block::Text, deltas)
            }
            Part::Refusal(text) => (Block::Refusal, vec![Delta::Text(text.clone())]),
            Part::Reasoning(part) => match (&part.signature, part.redacted) {
                (Some(signature), true) => (Block::Redacted(signature.clone()), Vec::new()),
                (signature, _) => {
                    let text = Delta::Text(part.text.clone());
                    (Block::Reasoning, [text].into_iter().chain(signed(signature)).collect())
                }
            },
            Part::ToolCall(call) => {
                let block = Block::ToolCall { id: call.id.clone(), name: call.name.clone(), custom: call.custom };
                let arguments = Delta::Arguments(call.arguments.clone());
                (block, signed(&call.signature).into_iter().chain([arguments]).collect())
            }
            Part::Media(Media { kind: MediaKind::Image, source: MediaSource::Base64(data), mime, .. }) => {
                let mime = mime.clone().unwrap_or_else(|| "image/png".to_owned());
                (Block::Media { mime, data: data.clone() }, Vec::new())
            }
            Part::Media(_) | Part::ToolResult(_) | Part::Opaque { .. } => continue,
        };
        tell(Event::Open(block));
        deltas.into_iter().for_each(|delta| tell(Event::Delta(delta)));
        tell(Event::Close);
    }
    output.finish.iter().cloned().for_each(|finish| tell(Event::Finish(finish)));
}

fn signed(signature: &Option<Signature>) -> Option<Delta> {
    signature.clone().map(Delta::Signature)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_tells_which_answer_it_belongs_to() {
        let envelope = Envelope {
            request_id: "req_a.b".to_owned(),
            created: 0,
            model: "m".to_owned(),
            include_usage: false,
            legacy_functions: false,
            array: false,
        };
        let head = Head::new(&Request::default(), envelope);
        let answer = answer_of(&head.item_id("msg", 10)).unwrap();
        assert!(head.object(State::default()).contains(&format!("\"id\":\"{answer}\"")));
        for elsewhere in ["msg_68fbbe9a2b18545dafc7", "rs_1", "item", "", "msg_a_b"] {
            assert_eq!(answer_of(elsewhere), None);
        }
    }
}
