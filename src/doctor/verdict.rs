//! What an answer proves.

use llm_protocol::ir::{ApiError, ErrorKind, FinishReason, Part, Response, ToolCall};
use serde_json::Value;

use super::{
    questions::TOOL,
    report::{Finding, Verdict},
};

/// What came of one question.
pub type Answer = Result<Response, ApiError>;

/// So much of what was seen is kept, in characters.
const LONGEST_SEEN: usize = 160;

/// A short line of what a provider sent.
pub fn glimpse(text: &str) -> String {
    let line = text.split(|c: char| c.is_whitespace() || c.is_control()).filter(|word| !word.is_empty());
    line.collect::<Vec<_>>().join(" ").chars().take(LONGEST_SEEN).collect()
}

/// What an error proves about what was asked for: only a refusal of the request itself proves a lack.
pub fn failed(error: &ApiError) -> Finding {
    let status = error.upstream_status.map(|status| format!("{status}: ")).unwrap_or_default();
    let seen = glimpse(&format!("{status}{}", error.message));
    let refused = matches!(
        error.kind,
        ErrorKind::InvalidRequest
            | ErrorKind::Unprocessable
            | ErrorKind::NotFound
            | ErrorKind::MethodNotAllowed
            | ErrorKind::UnsupportedMediaType
    );
    let nonsense = error.reason == Some("malformed");
    Finding::new(if refused || nonsense { Verdict::No } else { Verdict::Unknown }, seen)
}

/// Whether an error says that the provider has no such path, rather than no such model.
pub fn is_absent(error: &ApiError, model: &str) -> bool {
    if !matches!(error.upstream_status, Some(404 | 405 | 501)) {
        return false;
    }
    // The path may be repeated in the message, and hold the model.
    let words = error.message.split_whitespace().filter(|word| !word.starts_with('/') && !word.contains("://"));
    let words = words.collect::<Vec<_>>().join(" ");
    let of_model = error.code.as_deref().is_some_and(|code| code.contains("model"))
        || words.to_lowercase().contains("model")
        || words.contains(model);
    !of_model
}

pub fn text(response: &Response) -> String {
    let parts = response.outputs.iter().flat_map(|output| &output.parts);
    parts.filter_map(|part| if let Part::Text(text) = part { Some(text.text.as_str()) } else { None }).collect()
}

fn calls(response: &Response) -> Vec<&ToolCall> {
    let parts = response.outputs.iter().flat_map(|output| &output.parts);
    let calls = parts.filter_map(|part| if let Part::ToolCall(call) = part { Some(call) } else { None });
    calls.filter(|call| call.name == TOOL && cities(call)).collect()
}

/// Whether a call's arguments are what the tool takes.
fn cities(call: &ToolCall) -> bool {
    serde_json::from_str::<Value>(&call.arguments).is_ok_and(|arguments| arguments["city"].is_string())
}

/// Whether an answer was cut before it could prove anything.
fn cut(response: &Response) -> bool {
    response.outputs.iter().any(|output| output.reason() == FinishReason::Length)
}

/// The finding on an answer that did not come, was cut, or that `judge` knows to judge.
fn on(answer: &Answer, judge: impl FnOnce(&Response) -> Finding) -> Finding {
    match answer {
        Err(error) => failed(error),
        Ok(response) => match judge(response) {
            Finding { verdict: Verdict::No, .. } if cut(response) => {
                Finding::unknown("the answer was cut at its limit")
            }
            finding => finding,
        },
    }
}

fn quoted(response: &Response) -> String {
    match glimpse(&text(response)) {
        nothing if nothing.is_empty() => "an answer without text".to_owned(),
        text => text,
    }
}

pub fn chat(answer: &Answer) -> Finding {
    on(answer, |response| Finding::yes(quoted(response)))
}

pub fn stream_usage(answer: &Answer) -> Finding {
    on(answer, |response| match &response.usage {
        Some(usage) if usage.output > 0 => Finding::yes(format!("{} in, {} out", usage.input, usage.output)),
        Some(_) => Finding::no("counts of zero"),
        None => Finding::no("no counts"),
    })
}

/// On tools and on the choice of a tool, from an answer to a free and one to a forced question. One call shows that there are
/// tools; that there are none takes two answers without.
pub fn tools(free: &Answer, forced: Option<&Answer>) -> (Finding, Option<Finding>) {
    let called = |response: &Response| match calls(response).first() {
        Some(call) => Finding::yes(format!("called with {}", glimpse(&call.arguments))),
        None => Finding::no(format!("no call, but: {}", quoted(response))),
    };
    let chosen = forced.map(|forced| on(forced, called));
    let tools = match (on(free, called), chosen.as_ref()) {
        (yes @ Finding { verdict: Verdict::Yes, .. }, _) => yes,
        (_, Some(Finding { verdict: Verdict::Yes, .. })) => Finding::yes("called when it had to"),
        (no, _) if free.is_err() => no,
        (no, Some(Finding { verdict: Verdict::No, .. })) => no,
        (no, _) => Finding::unknown(no.seen),
    };
    (tools, chosen)
}

pub fn parallel_tools(answer: &Answer) -> Finding {
    on(answer, |response| match calls(response).len() {
        0 => Finding::unknown(format!("no call, but: {}", quoted(response))),
        1 => Finding::unknown("one call at a time"),
        several => Finding::yes(format!("{several} calls")),
    })
}

pub fn image(answer: &Answer) -> Finding {
    on(answer, |response| {
        let seen = quoted(response);
        if seen.to_lowercase().contains("red") { Finding::yes(seen) } else { Finding::unknown(seen) }
    })
}

pub fn json_schema(answer: &Answer) -> Finding {
    on(answer, |response| {
        let obeys = serde_json::from_str::<Value>(&text(response)).is_ok_and(|value| value["sum"].is_i64());
        Finding::new(if obeys { Verdict::Yes } else { Verdict::No }, quoted(response))
    })
}

/// On the answer to a request that makes no sense.
pub fn errors(status: u16, body: &[u8], error: &ApiError) -> Finding {
    let seen = glimpse(&format!("{status}: {}", error.message));
    let readable = serde_json::from_slice::<Value>(body).is_ok_and(|body| tells(&body, &error.message));
    Finding::new(if (400..500).contains(&status) && readable { Verdict::Yes } else { Verdict::No }, seen)
}

/// Whether `message` stands somewhere in a JSON body, so that it is the provider's own.
fn tells(body: &Value, message: &str) -> bool {
    match body {
        Value::String(text) => text.trim() == message,
        Value::Array(items) => items.iter().any(|item| tells(item, message)),
        Value::Object(members) => members.values().any(|member| tells(member, message)),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use llm_protocol::ir::{Finish, Output};

    use super::*;

    fn error(status: u16, code: Option<&str>, message: &str) -> ApiError {
        ApiError {
            upstream_status: Some(status),
            code: code.map(str::to_owned),
            ..ApiError::new(ErrorKind::NotFound, message)
        }
    }

    fn said(text: &str, reason: FinishReason) -> Answer {
        let finish = Some(Finish { reason, raw: String::new(), stop_sequence: None });
        let output = Output { parts: vec![Part::text(text)], finish, ..Output::default() };
        Ok(Response { outputs: vec![output], ..Response::default() })
    }

    fn called(arguments: &str) -> Answer {
        let call = ToolCall { name: TOOL.into(), arguments: arguments.into(), ..ToolCall::default() };
        let output = Output { parts: vec![Part::ToolCall(call)], ..Output::default() };
        Ok(Response { outputs: vec![output], ..Response::default() })
    }

    #[test]
    fn a_missing_path_is_told_from_a_missing_model() {
        for (absent, status, code, message) in [
            (true, 404, None, "404 page not found"),
            (true, 404, None, "Not Found"),
            (true, 404, None, "Cannot POST /v1/models/gpt-x:generateContent"),
            (true, 404, None, "Invalid URL (POST /v1/messages)"),
            (true, 405, None, "Method Not Allowed"),
            (false, 404, Some("model_not_found"), "No access"),
            (false, 404, None, "The model `gpt-x` does not exist"),
            (false, 404, None, "models/gpt-x is not found for API version v1beta"),
            (false, 400, None, "Not Found"),
            (false, 500, None, "Not Found"),
        ] {
            assert_eq!(is_absent(&error(status, code, message), "gpt-x"), absent, "{status} {message}");
        }
    }

    #[test]
    fn tools_are_missing_only_if_two_answers_or_a_refusal_say_so() {
        let (words, cut) = (said("sunny", FinishReason::Stop), said("sun", FinishReason::Length));
        let (call, refusal) = (called(r#"{"city":"Paris"}"#), Err(error(400, None, "tools are not supported")));
        let verdicts = |free: &Answer, forced: Option<&Answer>| {
            let (tools, chosen) = tools(free, forced);
            (tools.verdict, chosen.map(|finding| finding.verdict))
        };
        use Verdict::{No, Unknown, Yes};
        assert_eq!(verdicts(&call, Some(&call)), (Yes, Some(Yes)));
        assert_eq!(verdicts(&words, Some(&call)), (Yes, Some(Yes)));
        assert_eq!(verdicts(&call, Some(&words)), (Yes, Some(No)));
        assert_eq!(verdicts(&words, Some(&words)), (No, Some(No)));
        assert_eq!(verdicts(&words, None), (Unknown, None));
        assert_eq!(verdicts(&words, Some(&cut)), (Unknown, Some(Unknown)));
        assert_eq!(verdicts(&refusal, Some(&refusal)), (No, Some(No)));
        assert_eq!(verdicts(&called("{"), Some(&called("[]"))), (No, Some(No)));
    }

    #[test]
    fn a_schema_is_obeyed_or_not_but_a_cut_answer_proves_nothing() {
        let verdict = |text: &str, reason| json_schema(&said(text, reason)).verdict;
        assert_eq!(verdict(r#"{"sum": 4}"#, FinishReason::Stop), Verdict::Yes);
        assert_eq!(verdict("It is 4.", FinishReason::Stop), Verdict::No);
        assert_eq!(verdict(r#"{"su"#, FinishReason::Length), Verdict::Unknown);
    }

    #[test]
    fn what_hangs_on_the_moment_proves_nothing() {
        for kind in [ErrorKind::RateLimited, ErrorKind::UpstreamAuth, ErrorKind::Timeout, ErrorKind::Upstream] {
            assert_eq!(failed(&ApiError::new(kind, "later")).verdict, Verdict::Unknown, "{kind:?}");
        }
        assert_eq!(failed(&ApiError::new(ErrorKind::InvalidRequest, "no")).verdict, Verdict::No);
    }

    #[test]
    fn an_error_is_readable_if_its_words_are_the_providers_own() {
        let verdict = |status, body: &str, message: &str| {
            errors(status, body.as_bytes(), &ApiError::new(ErrorKind::InvalidRequest, message)).verdict
        };
        assert_eq!(verdict(400, r#"{"error":{"message":"model is required"}}"#, "model is required"), Verdict::Yes);
        assert_eq!(verdict(400, "<html>", "the provider answered with status 400"), Verdict::No);
        assert_eq!(verdict(500, r#"{"error":"boom"}"#, "boom"), Verdict::No);
    }
}
