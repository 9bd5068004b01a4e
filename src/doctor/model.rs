//! Which model of a provider to ask where nobody names one.

use llm_protocol::{
    ProtocolId,
    ir::{ApiError, ErrorKind},
};

use super::Doctor;
use crate::{catalog::Provider, health::probe};

impl Doctor<'_> {
    /// The model to ask: one that is associated, else one from the provider's own list, else a well-known one.
    pub async fn choose_model(&self, provider: &Provider, mut associated: Vec<String>) -> Result<String, ApiError> {
        associated.sort();
        if let Some(model) = associated.into_iter().next() {
            return Ok(model);
        }
        let listed = match probe::models_of(self.client, provider, self.list_timeout).await {
            // Not every provider has such a list.
            Err(error) if matches!(error.kind, ErrorKind::NotFound | ErrorKind::MethodNotAllowed) => Vec::new(),
            other => other?,
        };
        let chats = |model: &&String| !NOT_FOR_CHAT.iter().any(|word| model.to_lowercase().contains(word));
        let own = listed.iter().filter(chats).find(|model| provider.kind.knows(model));
        own.or_else(|| listed.iter().find(chats))
            .cloned()
            .or_else(|| well_known(provider.protocol()).filter(|model| provider.kind.knows(model)).map(str::to_owned))
            .ok_or_else(|| ApiError {
                param: Some("model".to_owned()),
                ..ApiError::new(ErrorKind::InvalidRequest, "the provider lists no model: name one in `model`")
            })
    }
}

/// A small model of the vendor whose protocol it is, for where the list cannot be had.
fn well_known(protocol: ProtocolId) -> Option<&'static str> {
    match protocol {
        ProtocolId::OpenAiChat | ProtocolId::OpenAiResponses => Some("gpt-4o-mini"),
        ProtocolId::Anthropic | ProtocolId::BedrockConverse => Some("claude-haiku-4-5"),
        ProtocolId::Gemini => Some("gemini-2.5-flash"),
    }
}

/// Words in the names of models that do not chat.
const NOT_FOR_CHAT: [&str; 14] = [
    "embed",
    "whisper",
    "tts",
    "audio",
    "image",
    "dall-e",
    "moderation",
    "realtime",
    "transcribe",
    "rerank",
    "guard",
    "veo",
    "imagen",
    "sora",
];
