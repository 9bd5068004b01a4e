//! Recorded and documented traffic of real providers, decoded.

#[cfg(test)]
mod anthropic;
#[cfg(test)]
mod gemini;
//! Codecs against recorded and documented traffic.

mod openai_chat;
