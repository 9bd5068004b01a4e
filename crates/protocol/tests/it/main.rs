//! Codecs against recorded and documented traffic of real providers.

#[cfg(test)]
mod anthropic;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod gemini;
#[cfg(test)]
mod openai_chat;
#[cfg(test)]
mod properties;
