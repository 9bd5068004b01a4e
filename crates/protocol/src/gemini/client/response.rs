//! Writes a whole answer.

use super::{
    answer::{Answer, Candidate, Content, Counts, finish_reason, model_version, response_id},
    evidence,
    parts::Parts,
};
use crate::{
    Envelope,
    gemini::part::Part,
    ir::{self, Output, Request, Response},
};

pub fn encode_response(request: &Request, response: &Response, envelope: &Envelope) -> Vec<u8> {
    let answer = Answer {
        candidates: response.outputs.iter().enumerate().map(|(at, output)| candidate(at, output, request)).collect(),
        usage_metadata: response.usage.as_ref().map(Counts::from),
        model_version: model_version(&response.model, envelope),
        response_id: &response_id(&response.id, envelope),
    };
    serde_json::to_vec(&answer).expect("keys are strings, and numbers finite")
}

fn candidate<'a>(index: usize, output: &'a Output, request: &Request) -> Candidate<'a> {
    let (parts, text) = parts(output, request);
    Candidate {
        content: Content::from(parts),
        finish_reason: Some(finish_reason(output.reason())),
        index,
        grounding_metadata: evidence::grounding(&output.citations, &text),
        logprobs_result: output.logprobs.as_ref().and_then(evidence::logprobs),
    }
}

/// The parts, and the text that citations point into.
fn parts<'a>(output: &'a Output, request: &Request) -> (Vec<Part<'a>>, String) {
    let mut writer = Parts::new(request);
    let (mut parts, mut said) = (Vec::with_capacity(output.parts.len()), String::new());
    for part in &output.parts {
        match part {
            ir::Part::Text(text) => {
                said.push_str(&text.text);
                parts.extend(writer.text(&text.text, text.signature.clone()));
            }
            ir::Part::Refusal(text) => parts.extend(writer.text(text, None)),
            ir::Part::Reasoning(reasoning) => {
                parts.extend(writer.shown(&reasoning.text));
                writer.thought(reasoning.clone());
            }
            ir::Part::ToolCall(call) => parts.push(writer.call(call.clone())),
            ir::Part::Media(media) => parts.extend(writer.medium(media)),
            ir::Part::ToolResult(_) | ir::Part::Opaque { .. } => {}
        }
    }
    (parts, said)
}
