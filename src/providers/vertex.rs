//! Google's Vertex AI: a project and a location in the path, and Google's tokens beside keys.
//!
//! Each publisher's models are spoken to in the publisher's own protocol: Google's in Gemini's, Anthropic's in Anthropic's,
//! and all others (`publisher/model`) in OpenAI's.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::http::{HeaderMap, HeaderValue, Request, header::HeaderName};
use llm_protocol::{
    Outbound, ProtocolId,
    gemini::flat_count,
    ir::{ApiError, ErrorKind, Losses},
    json::Json,
    splice::{Edit, Members},
};
use secrecy::{ExposeSecret, SecretString};

use super::{
    Call, Fault, Options, Vendor,
    claude_elsewhere::{Host, REFUSED},
    google::{self, Credentials},
    token,
    vendor::{GOOGLE_KEY, only_texts, segment, set_bearer, set_secret, text},
};
use crate::{catalog::Provider, secret::KeyHash, upstream::Client};

/// Where the location is not said.
const LOCATION: &str = "global";

/// Ways to use a key that is no object of credentials. Tokens that begin as Google's do are known without.
const AUTH: [&str; 2] = ["api_key", "access_token"];

const OPTIONS: [&str; 4] = ["project", "location", "auth", "metadata_host"];

/// Whose quota a user's request counts against.
const QUOTA_PROJECT: HeaderName = HeaderName::from_static("x-goog-user-project");

/// What Vertex takes of Anthropic's API, as of autumn 2026.
const CLAUDE: Host = Host {
    version: "vertex-2023-10-16",
    betas: &[
        ("advanced-tool-use-2025-11-20", "tool-search-tool-2025-10-19"),
        ("compact-2026-01-12", "compact-2026-01-12"),
        ("compact-2026-09-04", "compact-2026-09-04"),
        ("computer-use-2025-01-24", "computer-use-2025-01-24"),
        ("computer-use-2025-11-24", "computer-use-2025-11-24"),
        ("context-1m-2025-08-07", "context-1m-2025-08-07"),
        ("context-management-2025-06-27", "context-management-2025-06-27"),
        ("interleaved-thinking-2025-05-14", "interleaved-thinking-2025-05-14"),
        ("per-turn-control-2026-07-01", "per-turn-control-2026-07-01"),
        ("thinking-binding-controls-2026-08-01", "thinking-binding-controls-2026-08-01"),
        ("thinking-display-updates-2026-08-18", "thinking-display-updates-2026-08-18"),
        ("tool-search-tool-2025-10-19", "tool-search-tool-2025-10-19"),
        ("web-search-2025-03-05", "web-search-2025-03-05"),
    ],
    refused: REFUSED,
    stream_in_body: true,
};

#[derive(Debug)]
pub struct Vertex;

impl Vendor for Vertex {
    fn address(&self, options: &Options) -> Option<String> {
        Some(match text(options, "location")? {
            "global" => "https://aiplatform.googleapis.com/v1".to_owned(),
            several @ ("us" | "eu") => format!("https://aiplatform.{several}.rep.googleapis.com/v1"),
            region => format!("https://{region}-aiplatform.googleapis.com/v1"),
        })
    }

    fn takes_credentials(&self) -> bool {
        true
    }

    fn check(&self, options: &Options, key: Option<&SecretString>) -> Result<(), Fault> {
        only_texts(options, &OPTIONS)?;
        if let Some(auth) = text(options, "auth").filter(|auth| !AUTH.contains(auth)) {
            return Err(("options", format!("`options.auth` must be {}, not `{auth}`", AUTH.join(" or "))));
        }
        for name in ["project", "location"] {
            let plain = |text: &str| text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-:.".contains(&byte));
            if text(options, name).is_some_and(|value| !plain(value)) {
                let message = format!("`options.{name}` must be letters, digits, `-`, `.` and `:`");
                return Err(("options", message));
            }
        }
        let proof = Proof::of(options, key).map_err(|message| ("api_key", message))?;
        if matches!(&proof, Proof::Credentials(credentials) if !credentials.can_sign()) {
            return Err(("api_key", "`api_key.private_key` must be an RSA key in PEM form".to_owned()));
        }
        if proof.project(options).is_none() && !matches!(proof, Proof::Key(_)) {
            return Err(("options", "`options.project` is required: the credentials name no project".to_owned()));
        }
        Ok(())
    }

    /// Its list is that of Google's own models.
    fn lists_all(&self) -> bool {
        false
    }

    fn generate(&self, provider: &Provider, outbound: &dyn Outbound, model: &str, stream: bool) -> String {
        let endpoint = outbound.endpoint(model, stream);
        match outbound.id() {
            ProtocolId::Gemini => format!("{}/publishers/google{endpoint}", home(provider)),
            ProtocolId::Anthropic => {
                let method = if stream { "streamRawPredict" } else { "rawPredict" };
                format!("{}/publishers/anthropic/models/{}:{method}", home(provider), segment(model))
            }
            ProtocolId::OpenAiChat | ProtocolId::OpenAiResponses | ProtocolId::BedrockConverse => {
                format!("{}/endpoints/openapi{endpoint}", home(provider))
            }
        }
    }

    /// Claude is not counted for at the global location, nor without a project.
    fn count(&self, provider: &Provider, outbound: &dyn Outbound, model: &str) -> Option<String> {
        let (home, counting) = (home(provider), outbound.counting()?);
        match outbound.id() {
            ProtocolId::Gemini => Some(format!("{home}/publishers/google{}", counting.endpoint(model))),
            ProtocolId::Anthropic if home != provider.base_url && location(provider) != LOCATION => {
                Some(format!("{home}/publishers/anthropic/models/count-tokens:rawPredict"))
            }
            _ => None,
        }
    }

    fn operation(&self, provider: &Provider, path: &str, _model: Option<&str>) -> String {
        match path.split('?').next() {
            // Publishers' models are listed by the version beside the one that serves them.
            Some("/models") => {
                let base = provider.base_url.strip_suffix("/v1").map(|root| format!("{root}/v1beta1"));
                format!("{}/publishers/google{path}", base.as_deref().unwrap_or(&provider.base_url))
            }
            Some(model) if model.starts_with("/models/") => format!("{}/publishers/google{path}", home(provider)),
            _ => format!("{}/endpoints/openapi{path}", home(provider)),
        }
    }

    fn adapt(&self, call: &Call<'_>, headers: &mut HeaderMap, body: Bytes, losses: &mut Losses) -> Bytes {
        match call.outbound.id() {
            ProtocolId::Anthropic => CLAUDE.adapt(headers, body, losses),
            _ => body,
        }
    }

    /// Claude's name stands in the body here, without its version.
    fn adapt_count(&self, call: &Call<'_>, headers: &mut HeaderMap, body: Bytes) -> Bytes {
        if call.outbound.id() != ProtocolId::Anthropic {
            return flat_count(&body).into();
        }
        let name = call.model.split('@').next().unwrap_or(call.model);
        let body = CLAUDE.adapt(headers, body, &mut Losses::default());
        match Members::read(&body) {
            Ok(members) => members.edit(&[Edit::set("model", Json::from(name).to_string())]).into(),
            Err(_) => body,
        }
    }

    fn authenticate(&self, key: Option<&SecretString>, headers: &mut HeaderMap) {
        match Proof::of(&Options::new(), key) {
            Ok(Proof::Key(key)) => set_secret(headers, GOOGLE_KEY, key.expose_secret()),
            Ok(Proof::Token(token)) => set_bearer(headers, token),
            Ok(Proof::Credentials(_) | Proof::Machine) | Err(_) => {}
        }
    }

    fn authorize<'a>(
        &'a self,
        provider: &'a Provider,
        client: &'a Client,
        request: &'a mut Request<Full<Bytes>>,
    ) -> Option<BoxFuture<'a, Result<(), ApiError>>> {
        let key = provider.key.as_ref();
        let credentials = match Proof::of(&provider.options, key) {
            Ok(Proof::Key(_)) => return None,
            Ok(Proof::Token(token)) => {
                request.headers_mut().remove(GOOGLE_KEY);
                set_bearer(request.headers_mut(), token);
                return None;
            }
            Ok(Proof::Credentials(credentials)) => credentials,
            Ok(Proof::Machine) => Credentials::machine(text(&provider.options, "metadata_host")),
            Err(message) => {
                let error = token::failed(ErrorKind::UpstreamAuth, &message);
                return Some(Box::pin(async move { Err(error) }));
            }
        };
        if let Some(project) = credentials.quota_project()
            && let Ok(project) = HeaderValue::from_str(project)
        {
            request.headers_mut().insert(QUOTA_PROJECT, project);
        }
        let client = client.clone();
        Some(Box::pin(async move {
            let fetch = || -> token::Fetch { Box::pin(async move { credentials.fetch(&client).await }) };
            set_bearer(request.headers_mut(), &token::get(token_key(provider), fetch).await?);
            Ok(())
        }))
    }

    fn refused(&self, provider: &Provider) {
        token::forget(token_key(provider));
    }
}

fn token_key(provider: &Provider) -> token::Key {
    let key = provider.key.as_ref().map_or("", |key| key.expose_secret());
    let host = text(&provider.options, "metadata_host").unwrap_or_default();
    (provider.id, KeyHash::of(&format!("{key}\n{host}")))
}

/// What a provider's models are below: its project, or nothing for a key that implies one.
fn home(provider: &Provider) -> String {
    let proof = Proof::of(&provider.options, provider.key.as_ref());
    let project = proof.ok().and_then(|proof| proof.project(&provider.options));
    match project {
        None => provider.base_url.clone(),
        Some(project) => {
            format!("{}/projects/{project}/locations/{}", provider.base_url, location(provider))
        }
    }
}

fn location(provider: &Provider) -> &str {
    text(&provider.options, "location").unwrap_or(LOCATION)
}

/// How it is proved who asks.
enum Proof<'a> {
    /// A key goes with the request.
    Key(&'a SecretString),
    /// A token that somebody else fetched.
    Token(&'a SecretString),
    /// Tokens are fetched with these.
    Credentials(Credentials),
    /// Tokens come from the machine that the gateway runs on.
    Machine,
}

impl<'a> Proof<'a> {
    /// The error says what is wrong with the key.
    fn of(options: &Options, key: Option<&'a SecretString>) -> Result<Self, String> {
        let Some(key) = key else { return Ok(Self::Machine) };
        if key.expose_secret().starts_with('{') {
            return Credentials::read(key).map(Self::Credentials);
        }
        let is_token = match text(options, "auth") {
            Some(auth) => auth == "access_token",
            None => key.expose_secret().starts_with(google::TOKEN_PREFIX),
        };
        Ok(if is_token { Self::Token(key) } else { Self::Key(key) })
    }

    fn project(&self, options: &Options) -> Option<String> {
        let told = text(options, "project");
        let implied = match self {
            Self::Credentials(credentials) => credentials.project(),
            _ => None,
        };
        told.or(implied).map(str::to_owned)
    }
}
