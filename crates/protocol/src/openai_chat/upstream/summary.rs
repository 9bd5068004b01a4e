//! What is counted of a whole answer that passes on as it is.

use super::counts::{self, End};
use crate::{
    ir::{Output, Response, Usage},
    scan::{self, Fault, Scan},
};

/// What is looked at in an answer of the usual shape: nothing that was said.
#[derive(Default)]
struct Answer {
    choices: Option<Vec<Output>>,
    usage: Option<Usage>,
}

/// The usage of an answer and why it ended; `None` where it takes a closer look to tell.
pub fn summary(body: &[u8]) -> Option<Response> {
    let text = simdutf8::basic::from_utf8(body).ok()?;
    let mut answer = Answer::default();
    scan::object(text, |key, scan| match &*key {
        "object" => usual(scan, |object| object != "\"error\"" && !object.contains('\\')),
        "error" => usual(scan, |error| error == "null"),
        "choices" => once(&mut answer.choices, scan, choices),
        "usage" => once(&mut answer.usage, scan, |scan| match counts::plain_usage(scan)? {
            Some(usage) => Ok(usage),
            None => scan.fault("counts"),
        }),
        _ => scan.value().map(drop),
    })
    .ok()?;
    let outputs = answer.choices.filter(|choices| !choices.is_empty())?;
    Some(Response { outputs, usage: Some(answer.usage?), ..Response::default() })
}

fn choices(scan: &mut Scan<'_>) -> Result<Vec<Output>, Fault> {
    let mut outputs = Vec::with_capacity(1);
    scan.array(|scan| {
        outputs.push(choice(scan)?);
        Ok(())
    })?;
    Ok(outputs)
}

fn choice(scan: &mut Scan<'_>) -> Result<Output, Fault> {
    let (mut message, mut reason) = (None, None);
    scan.object(|key, scan| match &*key {
        "error" => usual(scan, |error| error == "null"),
        "message" => once(&mut message, scan, |scan| scan.value().map(drop)),
        "finish_reason" => once(&mut reason, scan, Scan::value),
        _ => scan.value().map(drop),
    })?;
    let quoted = |text: &str| text.strip_prefix('"')?.strip_suffix('"').filter(|text| !text.contains('\\')).map(end);
    match message.and(reason).and_then(quoted) {
        Some(End::Finish(finish)) => Ok(Output { finish: Some(finish), ..Output::default() }),
        _ => scan.fault("a usual end"),
    }
}

fn end(reason: &str) -> End {
    counts::end(reason, ["tool_calls", "function_call"].contains(&reason), None)
}

/// A value that is as it usually is.
fn usual(scan: &mut Scan<'_>, is_usual: impl FnOnce(&str) -> bool) -> Result<(), Fault> {
    if is_usual(scan.value()?) { Ok(()) } else { scan.fault("what is usual") }
}

/// A member that does not stand twice.
fn once<'a, T>(
    place: &mut Option<T>,
    scan: &mut Scan<'a>,
    read: impl FnOnce(&mut Scan<'a>) -> Result<T, Fault>,
) -> Result<(), Fault> {
    match place.replace(read(scan)?) {
        None => Ok(()),
        Some(_) => scan.fault("a member once"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::openai_chat::upstream::response::decode_response;

    const USAGE: &str = r#""usage":{"prompt_tokens":3,"completion_tokens":4,"total_tokens":7}"#;

    #[test]
    fn an_answer_of_the_usual_shape_is_summed_up_as_the_full_reader_reads_it() {
        for reason in ["stop", "length", "tool_calls", "content_filter"] {
            let body = format!(
                r#"{{"id":"a","object":"chat.completion","choices":[{{"index":0,"message":{{"role":"assistant","content":"\u00e9 \"x\""}},"finish_reason":"{reason}"}}],{USAGE}}}"#
            );
            let (summed, read) = (summary(body.as_bytes()).unwrap(), decode_response(body.as_bytes()).unwrap());
            assert_eq!(summed.usage, read.usage);
            let complete = |response: &Response| {
                response.outputs.iter().map(|output| output.reason().is_complete()).collect::<Vec<_>>()
            };
            assert_eq!(complete(&summed), complete(&read), "{reason}");
        }
    }

    #[test]
    fn whatever_is_unusual_is_left_to_the_full_reader() {
        let message = r#""message":{"content":"a"}"#;
        for body in [
            r#"{"error":{"message":"no"}}"#.to_owned(),
            format!(r#"{{"choices":[],{USAGE}}}"#),
            format!(r#"{{"choices":[{{{message},"finish_reason":"stop"}}]}}"#),
            format!(r#"{{"choices":[{{{message},"finish_reason":null}}],{USAGE}}}"#),
            format!(r#"{{"choices":[{{{message},"finish_reason":"error"}}],{USAGE}}}"#),
            format!(r#"{{"choices":[{{{message},"finish_reason":"stop","error":{{"code":500}}}}],{USAGE}}}"#),
            format!(r#"{{"choices":[{{{message},"finish_reason":"stop"}}],"error":{{"code":500}},{USAGE}}}"#),
            format!(r#"{{"choices":{{}},{USAGE}}}"#),
            format!(r#"{{"choices":[{{}}],{USAGE}}}"#),
            format!(r#"{{"choices":[{{"finish_reason":"stop"}}],{USAGE}}}"#),
            format!(r#"{{"object":"error","choices":[{{{message},"finish_reason":"stop"}}],{USAGE}}}"#),
            format!(r#"{{"choices":[{{{message},"finish_reason":"stop"}}],"choices":[],{USAGE}}}"#),
            format!(r#"{{"choices":[{{{message},"finish_reason":"stop"}}],{USAGE},"usage":null}}"#),
            "<html>".to_owned(),
        ] {
            assert!(summary(body.as_bytes()).is_none(), "{body}");
        }
    }
}
