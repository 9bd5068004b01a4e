//! Which kinds of provider there are: what each is reached by, and as whom.
//!
//! A kind is a row of data. What differs beyond data, such as signing a request, is a [`Vendor`] with a file of its own here.

mod aws;
mod azure;
mod bedrock;
mod claude_elsewhere;
mod compatible;
pub mod extras;
mod google;
mod outgoing;
mod token;
mod vendor;
mod vertex;

use bytes::Bytes;
use http_body_util::Full;
use hyper::http::{Request, Response, StatusCode};
use llm_protocol::{ProtocolId, ir::ApiError, models::matches};

use self::vendor::Key;
pub use self::{
    outgoing::{Operation, Outgoing},
    vendor::{Call, Fault, Options, Vendor},
};
use crate::{
    catalog::Provider,
    upstream::{Client, Incoming},
};

/// One protocol of a kind, and patterns of the models for which it is spoken there.
pub type Speaks = (ProtocolId, &'static [&'static str]);

/// All models.
const ANY: &[&str] = &["*"];

/// What all providers of one type have in common.
#[derive(Debug)]
pub struct Kind {
    /// The `type` in the admin API.
    pub name: &'static str,
    /// What its API speaks, the one to be preferred first, each with patterns of the models that it is spoken for.
    pub speaks: &'static [Speaks],
    /// Where it is, if it is one service; else the operator must say.
    pub base_url: Option<&'static str>,
    /// The path segment put behind a base URL that names no version.
    pub version: &'static str,
    pub vendor: &'static dyn Vendor,
    /// Patterns of the model names it is known for, for when its own list cannot be had.
    pub known_models: &'static [&'static str],
}

const OPENAI: Kind = Kind {
    name: "openai",
    speaks: &[(ProtocolId::OpenAiChat, ANY), (ProtocolId::OpenAiResponses, ANY)],
    base_url: Some("https://api.openai.com/v1"),
    version: "v1",
    vendor: &Key::Bearer,
    known_models: &[
        "gpt-*",
        "chatgpt-*",
        "o1*",
        "o3*",
        "o4*",
        "codex-*",
        "text-embedding-*",
        "ft:gpt-*",
        "babbage-002",
        "davinci-002",
        "dall-e-*",
        "tts-*",
        "whisper-*",
        "omni-moderation-*",
        "text-moderation-*",
    ],
};

const ANTHROPIC: Kind = Kind {
    name: "anthropic",
    speaks: &[(ProtocolId::Anthropic, ANY)],
    base_url: Some("https://api.anthropic.com/v1"),
    version: "v1",
    vendor: &Key::Anthropic,
    known_models: &["claude-*"],
};

const GEMINI: Kind = Kind {
    name: "gemini",
    speaks: &[(ProtocolId::Gemini, ANY)],
    base_url: Some("https://generativelanguage.googleapis.com/v1beta"),
    version: "v1beta",
    vendor: &Key::Google,
    known_models: &["gemini-*", "gemma-*"],
};

const AZURE: Kind = Kind {
    name: "azure",
    speaks: &[(ProtocolId::OpenAiChat, ANY), (ProtocolId::OpenAiResponses, ANY)],
    base_url: None,
    version: "",
    vendor: &azure::Azure,
    // Names of deployments are the operator's own.
    known_models: &[],
};

const VERTEX: Kind = Kind {
    name: "vertex",
    speaks: &[
        (ProtocolId::Gemini, &["gemini*"]),
        (ProtocolId::Anthropic, &["claude*"]),
        (ProtocolId::OpenAiChat, &["*/*"]),
    ],
    base_url: Some("https://aiplatform.googleapis.com/v1"),
    version: "v1",
    vendor: &vertex::Vertex,
    known_models: &["gemini-*", "claude-*", "*/*"],
};

const BEDROCK: Kind = Kind {
    name: "bedrock",
    speaks: &[(ProtocolId::BedrockConverse, ANY), (ProtocolId::Anthropic, &["*claude*"])],
    base_url: Some("https://bedrock-runtime.us-east-1.amazonaws.com"),
    version: "",
    vendor: &bedrock::Bedrock,
    // Makers' names, those of profiles that span regions, and ARNs.
    known_models: &[
        "anthropic.*",
        "amazon.*",
        "meta.*",
        "mistral.*",
        "cohere.*",
        "ai21.*",
        "deepseek.*",
        "openai.*",
        "qwen.*",
        "writer.*",
        "us.*",
        "us-gov.*",
        "eu.*",
        "apac.*",
        "jp.*",
        "au.*",
        "global.*",
        "arn:aws*:bedrock:*",
    ],
};

static NATIVE: &[Kind] = &[OPENAI, ANTHROPIC, GEMINI, AZURE, VERTEX, BEDROCK];

/// Every kind there is, the native ones first.
pub fn all() -> impl Iterator<Item = &'static Kind> {
    NATIVE.iter().chain(compatible::TABLE)
}

/// The kind named `name`.
pub fn find(name: &str) -> Option<&'static Kind> {
    all().find(|kind| kind.name == name)
}

/// Sends a request to a provider, the way and as whom the operator and the provider want it. The caller sets the deadline.
pub async fn send(
    client: &Client,
    provider: &Provider,
    mut request: Request<Full<Bytes>>,
) -> Result<Response<Incoming>, ApiError> {
    let (client, vendor) = (client.via(provider.proxy.as_ref()), provider.kind.vendor);
    for (name, value) in &provider.headers {
        request.headers_mut().insert(name, value.clone());
    }
    if let Some(proof) = vendor.authorize(provider, &client, &mut request) {
        proof.await?;
    }
    let answer = client.send(request).await?;
    if answer.status() == StatusCode::UNAUTHORIZED {
        vendor.refused(provider);
    }
    Ok(answer)
}

impl Kind {
    /// Whether a model of this name is probably one of its own.
    pub fn knows(&self, model: &str) -> bool {
        self.known_models.iter().any(|pattern| matches(pattern, model))
    }

    /// The base URL to append paths to: `given` or the kind's own, without a trailing slash and with a version segment.
    /// `None` if there is neither.
    pub fn base(&self, given: Option<&str>) -> Option<String> {
        let base = given.or(self.base_url)?.trim().trim_end_matches('/');
        let path = base.split_once("://").map_or(base, |(_, rest)| rest);
        let versioned =
            self.version.is_empty() || path.split('/').skip(1).any(is_version) || Some(base) == self.base_url;
        Some(if versioned { base.to_owned() } else { format!("{base}/{}", self.version) })
    }
}

/// `v1`, `v4`, `v1beta`, `v1beta1`, …
fn is_version(segment: &str) -> bool {
    let Some(rest) = segment.strip_prefix('v') else { return false };
    let digits = rest.trim_end_matches(|c: char| c.is_ascii_digit()).trim_end_matches("alpha").trim_end_matches("beta");
    rest.starts_with(|c: char| c.is_ascii_digit()) && digits.chars().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base_urls_work_with_and_without_slash_and_version() {
        for given in ["http://h:1", "http://h:1/", "http://h:1/v1", "http://h:1/v1/"] {
            assert_eq!(OPENAI.base(Some(given)).unwrap(), "http://h:1/v1", "{given}");
        }
        assert_eq!(GEMINI.base(Some("http://h/fx/a")).unwrap(), "http://h/fx/a/v1beta");
        assert_eq!(GEMINI.base(Some("http://h/v1beta/")).unwrap(), "http://h/v1beta");
        let compatible = find("openai_compatible").unwrap();
        assert_eq!(compatible.base(Some("https://h/v1beta/openai")).unwrap(), "https://h/v1beta/openai");
        assert_eq!(compatible.base(Some("https://h/api/paas/v4")).unwrap(), "https://h/api/paas/v4");
        assert_eq!(compatible.base(None), None);
        assert_eq!(find("perplexity").unwrap().base(None).unwrap(), "https://api.perplexity.ai");
    }

    #[test]
    fn every_kind_has_a_name_of_its_own() {
        let names: Vec<_> = all().map(|kind| kind.name).collect();
        for (at, name) in names.iter().enumerate() {
            assert!(!names[..at].contains(name), "{name}");
        }
    }
}
