//! What is counted of a whole answer that passes on as it is.

use std::borrow::Cow;

use serde::{Deserialize, de::IgnoredAny};

use super::counts::{self, End};
use crate::{
    ir::{Output, Response},
    openai::lenient::{Raw, Str},
};

/// An answer of the usual shape, in which nothing is looked at that was said.
#[derive(Deserialize)]
struct Usual<'a> {
    #[serde(borrow, default)]
    object: Str<'a>,
    #[serde(borrow)]
    choices: Vec<Choice<'a>>,
    #[serde(borrow, default)]
    usage: Raw<'a>,
    #[serde(borrow, default)]
    error: Raw<'a>,
}

#[derive(Deserialize)]
struct Choice<'a> {
    #[serde(rename = "message")]
    _message: IgnoredAny,
    #[serde(borrow)]
    finish_reason: Cow<'a, str>,
    #[serde(borrow, default)]
    error: Raw<'a>,
}

/// The usage of an answer and why it ended; `None` where it takes a closer look to tell.
pub fn summary(body: &[u8]) -> Option<Response> {
    let text = simdutf8::basic::from_utf8(body).ok()?;
    let answer: Usual<'_> = serde_json::from_str(text).ok()?;
    if answer.choices.is_empty() || answer.error.is_some() || answer.object.as_str() == "error" {
        return None;
    }
    let outputs = answer.choices.iter().map(output).collect::<Option<Vec<_>>>()?;
    Some(Response { outputs, usage: Some(counts::usage(answer.usage)?), ..Response::default() })
}

fn output(choice: &Choice<'_>) -> Option<Output> {
    let has_calls = ["tool_calls", "function_call"].contains(&&*choice.finish_reason);
    match counts::end(&choice.finish_reason, has_calls, None) {
        End::Finish(finish) if choice.error.is_none() => Some(Output { finish: Some(finish), ..Output::default() }),
        _ => None,
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
            "<html>".to_owned(),
        ] {
            assert!(summary(body.as_bytes()).is_none(), "{body}");
        }
    }
}
