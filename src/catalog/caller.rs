//! Who calls, and what for.

use std::net::IpAddr;

use llm_protocol::{
    ProtocolId,
    ir::{ApiError, ErrorKind},
    models::matches,
};
use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::Provider;
use crate::{
    fidelity::Fidelity,
    limits::{Allowance, Subject},
    network::Network,
    secret::KeyHash,
    store::{ApiKey, Text},
};

/// A client with a valid key, or without one where that is allowed.
#[derive(Debug, Clone, Default)]
pub struct Caller {
    pub key_id: Option<i64>,
    pub key_name: Option<Text>,
    /// How much of its requests may be lost; `None` leaves it to the configuration.
    pub fidelity: Option<Fidelity>,
    /// Patterns of models it may use; `None` is all.
    pub allowed_models: Option<Vec<String>>,
    /// Names and types of the providers that may be asked for it; `None` is all.
    pub allowed_providers: Option<Vec<String>>,
    /// `None` is all.
    pub allowed_endpoints: Option<Vec<Endpoint>>,
    /// Where it may come from; `None` is anywhere.
    pub allowed_addresses: Option<Vec<Network>>,
    /// Microseconds since the epoch.
    pub expires_at: Option<i64>,
    /// What its rate limit is counted by.
    pub subject: Option<Subject>,
    /// What it may do.
    pub allowance: Allowance,
    /// Whether its requests are logged with what was said in them, where the configuration allows that.
    pub log_content: bool,
    /// Whether the cache is on for it; `None` leaves it to the configuration.
    pub cache: Option<bool>,
}

/// A family of calls, as keys are for some of them. Every route belongs to one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "lowercase")]
pub enum Endpoint {
    /// OpenAI's Chat Completions.
    Chat,
    /// OpenAI's older completions.
    Completions,
    /// Anthropic's Messages, and counting their tokens.
    Messages,
    /// OpenAI's Responses: making, reading and counting them.
    Responses,
    /// Google's Gemini API but its list of models.
    Gemini,
    Embeddings,
    Images,
    /// Speech, transcription and translation.
    Audio,
    Moderations,
    Rerank,
    Files,
    Batches,
    /// The lists of models in all protocols.
    Models,
}

impl Endpoint {
    pub const ALL: [Self; 13] = [
        Self::Chat,
        Self::Completions,
        Self::Messages,
        Self::Responses,
        Self::Gemini,
        Self::Embeddings,
        Self::Images,
        Self::Audio,
        Self::Moderations,
        Self::Rerank,
        Self::Files,
        Self::Batches,
        Self::Models,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Messages => "messages",
            Self::Responses => "responses",
            Self::Gemini => "gemini",
            Self::Embeddings => "embeddings",
            Self::Images => "images",
            Self::Audio => "audio",
            Self::Moderations => "moderations",
            Self::Rerank => "rerank",
            Self::Files => "files",
            Self::Batches => "batches",
            Self::Models => "models",
        }
    }

    /// Reads the name that [`Endpoint::as_str`] writes.
    pub fn parse(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|endpoint| endpoint.as_str() == name)
    }

    /// Where answers of this protocol are asked for.
    pub fn generating(protocol: ProtocolId) -> Self {
        match protocol {
            ProtocolId::OpenAiChat => Self::Chat,
            ProtocolId::Anthropic => Self::Messages,
            ProtocolId::OpenAiResponses => Self::Responses,
            // Converse is spoken with providers only.
            ProtocolId::Gemini | ProtocolId::BedrockConverse => Self::Gemini,
        }
    }
}

impl Caller {
    /// Whom a stored key stands for, by each of the texts that it has now.
    ///
    /// Of what a newer version may have stored, what is not understood here is not allowed.
    pub fn of(key: ApiKey) -> impl Iterator<Item = (KeyHash, Self)> {
        let endpoints = |names: Vec<String>| names.iter().filter_map(|name| Endpoint::parse(name)).collect();
        let addresses = |ranges: Vec<String>| ranges.iter().filter_map(|range| range.parse().ok()).collect();
        let caller = Self {
            key_id: Some(key.id),
            key_name: Some(key.name.into()),
            fidelity: key.fidelity,
            allowed_models: key.allowed_models,
            allowed_providers: key.allowed_providers,
            allowed_endpoints: key.allowed_endpoints.map(endpoints),
            allowed_addresses: key.allowed_addresses.map(addresses),
            expires_at: key.expires_at,
            log_content: key.log_content,
            cache: key.cache,
            // Both texts are one caller's.
            subject: Some(Subject::Key(key.hash)),
            allowance: Allowance {
                requests_per_minute: key.requests_per_minute.map(saturated),
                tokens_per_minute: key.tokens_per_minute.map(i64::unsigned_abs),
                concurrent_requests: key.concurrent_requests.map(saturated),
            },
        };
        let until = [key.expires_at, key.previous_until].into_iter().flatten().min();
        let previous = key.previous_hash.map(|hash| (hash, Self { expires_at: until, ..caller.clone() }));
        previous.into_iter().chain([(key.hash, caller)])
    }

    pub fn may_use(&self, model: &str) -> bool {
        self.allowed_models.as_ref().is_none_or(|patterns| patterns.iter().any(|pattern| matches(pattern, model)))
    }

    /// Whether a provider may be asked on its behalf.
    pub fn may_ask(&self, provider: &Provider) -> bool {
        let is_meant = |selector: &String| **selector == *provider.name || selector == provider.kind.name;
        self.allowed_providers.as_ref().is_none_or(|selectors| selectors.iter().any(is_meant))
    }

    /// Fails with 403 unless it may call `endpoint` from `address`, as far as that is known.
    pub fn permit(&self, endpoint: Endpoint, address: Option<IpAddr>) -> Result<(), ApiError> {
        if let Some(ranges) = &self.allowed_addresses
            && !address.is_some_and(|address| ranges.iter().any(|range| range.contains(address)))
        {
            let from = address.map_or_else(|| "here".to_owned(), |address| address.to_string());
            return Err(forbidden(format!("this API key may not be used from {from}")));
        }
        if self.allowed_endpoints.as_ref().is_some_and(|allowed| !allowed.contains(&endpoint)) {
            return Err(forbidden(format!("this API key may not use the endpoint `{}`", endpoint.as_str())));
        }
        Ok(())
    }
}

fn saturated(limit: i64) -> u32 {
    u32::try_from(limit.max(0)).unwrap_or(u32::MAX)
}

/// 403: the key is known and not for this.
pub fn forbidden(message: impl Into<String>) -> ApiError {
    ApiError::new(ErrorKind::Forbidden, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_endpoint_is_read_by_the_name_that_it_is_written_with() {
        for endpoint in Endpoint::ALL {
            assert_eq!(Endpoint::parse(endpoint.as_str()), Some(endpoint));
            assert_eq!(serde_json::to_value(endpoint).unwrap(), endpoint.as_str());
        }
        assert_eq!(Endpoint::parse("everything"), None);
    }

    #[test]
    fn a_rotated_key_is_one_caller_by_two_texts_of_which_the_older_ends_first() {
        let mut key = ApiKey { expires_at: Some(900), ..ApiKey::new(7, "team", "first", 0) };
        key.rotate("second", 100, 50);
        let callers: Vec<_> = Caller::of(key).collect();
        let ends: Vec<_> = callers.iter().map(|(hash, caller)| (*hash, caller.expires_at)).collect();
        assert_eq!(ends, [(KeyHash::of("first"), Some(150)), (KeyHash::of("second"), Some(900))]);
        assert_eq!(callers[0].1.subject, callers[1].1.subject);
    }

    #[test]
    fn an_older_text_does_not_outlive_its_key_and_without_an_overlap_there_is_none() {
        let mut key = ApiKey { expires_at: Some(120), ..ApiKey::new(7, "team", "first", 0) };
        key.rotate("second", 100, 50);
        assert!(Caller::of(key.clone()).all(|(_, caller)| caller.expires_at == Some(120)));
        key.rotate("third", 100, 0);
        let hashes: Vec<_> = Caller::of(key).map(|(hash, _)| hash).collect();
        assert_eq!(hashes, [KeyHash::of("third")]);
    }

    #[test]
    fn what_is_not_understood_is_not_allowed() {
        let key = ApiKey {
            allowed_endpoints: Some(vec!["telepathy".into()]),
            allowed_addresses: Some(vec!["somewhere".into()]),
            ..ApiKey::new(1, "new", "text", 0)
        };
        let (_, caller) = Caller::of(key).next().unwrap();
        let endless = Caller { allowed_addresses: None, ..caller.clone() };
        assert!(Endpoint::ALL.iter().all(|endpoint| endless.permit(*endpoint, None).is_err()));
        let anywhere = Caller { allowed_endpoints: None, ..caller };
        assert!(anywhere.permit(Endpoint::Chat, Some([127, 0, 0, 1].into())).is_err());
    }
}
