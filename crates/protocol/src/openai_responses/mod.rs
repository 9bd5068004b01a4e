//! OpenAI's Responses, the newer of its two protocols: an answer is a list of items, a stream tells how each comes about.

mod upstream;

/// `POST /v1/responses`.
#[derive(Clone, Copy, Debug)]
pub struct OpenAiResponses;
