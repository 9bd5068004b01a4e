//! Reads one candidate, part by part, into events. A whole answer is read the same way and folded.

use super::{evidence, names, partial::Partial};
use crate::{
    ProtocolId, fnv,
    gemini::wire::{Blob, Candidate, FunctionCall, Part, PromptFeedback, compact},
    ir::{ApiError, Block, Delta, ErrorKind, Event, Finish, FinishReason, Signature},
};

/// Where the reader stands in one candidate.
#[derive(Debug)]
pub struct Reader {
    /// Tells the ids made up for this candidate's calls from all others.
    seed: u64,
    open: Open,
    calls: usize,
    /// What was said so far, which sources point into.
    text: String,
    media: bool,
    /// The newest metadata about sources; each replaces the one before.
    grounding: Option<String>,
    recited: Option<String>,
}

/// The block that is open.
#[derive(Debug)]
enum Open {
    Nothing,
    /// `signed`: nothing may be added to it, or its signature would cover what it does not.
    Text {
        signed: bool,
    },
    Reasoning,
    Call(Partial),
}

impl Reader {
    pub fn new(seed: u64) -> Self {
        Self { seed, open: Open::Nothing, calls: 0, text: String::new(), media: false, grounding: None, recited: None }
    }

    /// Reads what a frame holds of the candidate. `Some` once it tells why it ended; all blocks are closed then.
    pub fn candidate(&mut self, candidate: Candidate<'_>, out: &mut Vec<Event>) -> Result<Option<Finish>, ApiError> {
        for part in candidate.content.and_then(|content| content.parts).unwrap_or_default() {
            self.part(part, out)?;
        }
        if let Some(metadata) = candidate.grounding_metadata.filter(|raw| raw.get() != "{}") {
            self.grounding = Some(metadata.get().to_owned());
        }
        if let Some(metadata) = candidate.citation_metadata {
            self.recited = Some(metadata.get().to_owned());
        }
        let spoken = candidate.logprobs_result.filter(|_| !self.text.is_empty());
        if let Some(logprobs) = spoken.and_then(|raw| evidence::logprobs(raw.get())) {
            self.in_text(out);
            out.push(Event::Delta(Delta::Logprobs(logprobs)));
        }
        match candidate.finish_reason.map(|word| word.0) {
            Some(word) if !word.is_empty() && word != "FINISH_REASON_UNSPECIFIED" => {
                self.finish(word, candidate.finish_message, out).map(Some)
            }
            _ => Ok(None),
        }
    }

    /// Whether the model produced anything.
    fn has_content(&self) -> bool {
        self.calls > 0 || self.media || !self.text.is_empty()
    }

    /// Ends a candidate that `word` ended, or nothing did if it is empty.
    pub fn finish(&mut self, word: String, message: Option<String>, out: &mut Vec<Event>) -> Result<Finish, ApiError> {
        let reason = self.reason(&word, message.as_deref())?;
        self.cite(out);
        self.close(out);
        if reason == FinishReason::ContentFilter {
            let why = message.unwrap_or_else(|| format!("The provider withheld the answer ({word})."));
            refuse(why, out);
        }
        Ok(Finish { reason, raw: word, stop_sequence: None })
    }

    /// Answers a prompt that was blocked before the model saw it: a refusal, not an error, since another copy of the
    /// model would not answer it either. `None` if nothing was blocked.
    pub fn blocked(&mut self, feedback: Option<PromptFeedback>, out: &mut Vec<Event>) -> Option<Finish> {
        let feedback = feedback?;
        let word = feedback.block_reason?.0;
        self.close(out);
        let told = feedback.block_reason_message.filter(|message| !message.is_empty());
        refuse(told.unwrap_or_else(|| format!("The provider blocked the prompt ({word}).")), out);
        Some(Finish { reason: FinishReason::ContentFilter, raw: word, stop_sequence: None })
    }

    fn reason(&self, word: &str, message: Option<&str>) -> Result<FinishReason, ApiError> {
        Ok(match word {
            // Gemini has no word for an answer that ends in calls.
            "STOP" if self.calls > 0 => FinishReason::ToolCalls,
            "STOP" => FinishReason::Stop,
            "MAX_TOKENS" => FinishReason::Length,
            "CONTINUATION" => FinishReason::Pause,
            "SAFETY"
            | "RECITATION"
            | "LANGUAGE"
            | "BLOCKLIST"
            | "PROHIBITED_CONTENT"
            | "SPII"
            | "MODEL_ARMOR"
            | "IMAGE_SAFETY"
            | "IMAGE_PROHIBITED_CONTENT"
            | "IMAGE_RECITATION" => FinishReason::ContentFilter,
            _ => match broken(word) {
                // A word that nobody knows yet, or that says nothing: what was said stands.
                None if self.calls > 0 => FinishReason::ToolCalls,
                None if self.has_content() => FinishReason::Stop,
                None if word.is_empty() => return Err(ApiError::malformed("the model gave no answer and no reason")),
                known => return Err(no_answer(word, message, known.unwrap_or("no_answer"))),
            },
        })
    }

    fn part(&mut self, part: Part<'_>, out: &mut Vec<Event>) -> Result<(), ApiError> {
        let signature = part.thought_signature.as_deref().filter(|value| !value.is_empty()).map(signed);
        if part.is_hosted() {
            self.alone(Block::Opaque, out);
        } else if let Some(call) = part.function_call {
            return self.call(call, signature, out);
        } else if let Some(blob) = part.inline_data {
            self.media(blob, part.thought == Some(true), out);
        } else if part.thought == Some(true) {
            self.thought(part.text.unwrap_or_default(), signature, out);
        } else if let Some(text) = part.text {
            self.said(text, signature, out);
        } else if signature.is_some() {
            self.said(String::new(), signature, out);
        }
        Ok(())
    }

    /// Neighbouring unsigned texts are one; a signed one stands alone, even if it is empty.
    fn said(&mut self, text: String, signature: Option<Signature>, out: &mut Vec<Event>) {
        if text.is_empty() && signature.is_none() {
            return;
        }
        if signature.is_some() || !matches!(self.open, Open::Text { signed: false }) {
            self.switch(Open::Text { signed: signature.is_some() }, Block::Text, out);
        }
        if !text.is_empty() {
            self.text.push_str(&text);
            out.push(Event::Delta(Delta::Text(text)));
        }
        out.extend(signature.map(|signature| Event::Delta(Delta::Signature(signature))));
    }

    fn thought(&mut self, text: String, signature: Option<Signature>, out: &mut Vec<Event>) {
        if text.is_empty() && signature.is_none() {
            return;
        }
        if !matches!(self.open, Open::Reasoning) {
            self.switch(Open::Reasoning, Block::Reasoning, out);
        }
        if !text.is_empty() {
            out.push(Event::Delta(Delta::Text(text)));
        }
        if let Some(signature) = signature {
            out.push(Event::Delta(Delta::Signature(signature)));
            self.close(out);
        }
    }

    /// A picture drawn while thinking is no part of the answer.
    fn media(&mut self, blob: Blob, thought: bool, out: &mut Vec<Event>) {
        if thought {
            return self.alone(Block::Opaque, out);
        }
        let mime = blob.mime_type.unwrap_or_else(|| "application/octet-stream".into());
        self.media = true;
        self.alone(Block::Media { mime, data: blob.data.unwrap_or_default() }, out);
    }

    /// A call comes whole, or as one that says that it continues, followed by nameless pieces of it.
    fn call(
        &mut self,
        call: FunctionCall<'_>,
        signature: Option<Signature>,
        out: &mut Vec<Event>,
    ) -> Result<(), ApiError> {
        let pieces = call.partial_args.unwrap_or_default();
        match call.name.filter(|name| !name.is_empty()) {
            Some(name) => {
                let id = call.id.filter(|id| !id.is_empty());
                let id = id.unwrap_or_else(|| names::call_id(fnv::hash(self.seed, name.as_bytes()), self.calls));
                let block = Block::ToolCall { id, name: names::plain(&name).to_owned(), custom: false };
                self.calls += 1;
                let continues = call.will_continue == Some(true) || !pieces.is_empty();
                if !continues {
                    self.switch(Open::Nothing, block, out);
                    out.extend(signature.map(|signature| Event::Delta(Delta::Signature(signature))));
                    let arguments = call.args.map(|raw| raw.get()).filter(|raw| *raw != "null").unwrap_or("{}");
                    out.push(Event::Delta(Delta::Arguments(compact(arguments))));
                    out.push(Event::Close);
                    return Ok(());
                }
                let begun = call.args.map_or_else(Partial::default, |raw| Partial::from_whole(raw.get()));
                self.switch(Open::Call(begun), block, out);
                out.extend(signature.map(|signature| Event::Delta(Delta::Signature(signature))));
            }
            None if matches!(self.open, Open::Call(_)) => {}
            // The end of a call that had ended already.
            None if pieces.is_empty() && call.args.is_none() => return Ok(()),
            None => return Err(ApiError::malformed("the provider sent arguments of no function")),
        }
        if let Open::Call(partial) = &mut self.open {
            for piece in pieces {
                partial.add(piece).map_err(|_| {
                    ApiError::malformed("the provider sent an argument for a place that does not exist")
                })?;
            }
        }
        if call.will_continue != Some(true) {
            self.close(out);
        }
        Ok(())
    }

    /// Names the sources, in a text block.
    fn cite(&mut self, out: &mut Vec<Event>) {
        let mut citations = self.grounding.take().map(|raw| evidence::grounded(&raw, &self.text)).unwrap_or_default();
        citations.extend(self.recited.take().map(|raw| evidence::recited(&raw, &self.text)).unwrap_or_default());
        if !citations.is_empty() {
            self.in_text(out);
        }
        out.extend(citations.into_iter().map(|citation| Event::Delta(Delta::Citation(citation))));
    }

    /// Sees to it that a text block is open, whichever.
    fn in_text(&mut self, out: &mut Vec<Event>) {
        if !matches!(self.open, Open::Text { .. }) {
            self.switch(Open::Text { signed: false }, Block::Text, out);
        }
    }

    fn alone(&mut self, block: Block, out: &mut Vec<Event>) {
        self.switch(Open::Nothing, block, out);
        out.push(Event::Close);
    }

    fn switch(&mut self, to: Open, block: Block, out: &mut Vec<Event>) {
        self.close(out);
        out.push(Event::Open(block));
        self.open = to;
    }

    fn close(&mut self, out: &mut Vec<Event>) {
        match std::mem::replace(&mut self.open, Open::Nothing) {
            Open::Nothing => return,
            Open::Call(partial) => out.push(Event::Delta(Delta::Arguments(partial.into_text()))),
            Open::Text { .. } | Open::Reasoning => {}
        }
        out.push(Event::Close);
    }
}

fn refuse(why: String, out: &mut Vec<Event>) {
    out.extend([Event::Open(Block::Refusal), Event::Delta(Delta::Text(why)), Event::Close]);
}

fn signed(value: &str) -> Signature {
    Signature { origin: ProtocolId::Gemini, value: value.to_owned() }
}

/// The reasons that mean that the model failed, in lower case.
fn broken(word: &str) -> Option<&'static str> {
    Some(match word {
        "MALFORMED_FUNCTION_CALL" => "malformed_function_call",
        "UNEXPECTED_TOOL_CALL" => "unexpected_tool_call",
        "TOO_MANY_TOOL_CALLS" => "too_many_tool_calls",
        "MISSING_THOUGHT_SIGNATURE" => "missing_thought_signature",
        "MALFORMED_RESPONSE" => "malformed_response",
        _ => return None,
    })
}

fn no_answer(word: &str, message: Option<&str>, reason: &'static str) -> ApiError {
    let message = match message.filter(|message| !message.is_empty()) {
        Some(message) => format!("the model gave no usable answer ({word}): {message}"),
        None => format!("the model gave no usable answer ({word})"),
    };
    ApiError { code: Some(word.to_owned()), reason: Some(reason), ..ApiError::new(ErrorKind::Upstream, message) }
}
