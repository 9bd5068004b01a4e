//! Codecs against recorded and documented traffic of real providers.

#[cfg(test)]
mod anthropic;
#[cfg(test)]
mod anthropic_client;
#[cfg(test)]
mod embeddings;
#[cfg(test)]
mod fidelity_table;
#[cfg(test)]
mod fixtures;
#[cfg(test)]
mod gemini;
mod gemini_client;
#[cfg(test)]
mod losses;
#[cfg(test)]
mod messages_stream;
#[cfg(test)]
mod openai_chat;
#[cfg(test)]
mod openai_responses;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod responses_client;
#[cfg(test)]
mod responses_grammar;
#[cfg(test)]
mod toy;
