//! Amazon Bedrock: requests that are signed, or a bearer token; the model in the path; binary streams.
//!
//! All models are spoken to in Converse, and Claude in Anthropic's own protocol too, which goes into InvokeModel.

use std::{
    sync::LazyLock,
    time::{Duration, UNIX_EPOCH},
};

use aws_credential_types::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::{BodyExt, Full};
use hyper::http::{HeaderMap, HeaderValue, Request, header};
use llm_protocol::{
    Outbound, ProtocolId,
    bedrock_converse::model_path,
    ir::{ApiError, ErrorKind, Losses},
    splice::{Edit, Members},
};
use secrecy::{ExposeSecret, SecretString};
use serde_json::json;

use super::{
    Call, Fault, Options, Vendor, aws,
    claude_elsewhere::{Host, REFUSED},
    token,
    vendor::{only_texts, set_bearer, text},
};
use crate::{
    catalog::Provider,
    clock,
    secret::{self, KeyHash},
    upstream::{Client, Framing},
};

/// The name by which signatures know the service.
const SERVICE: &str = "bedrock";

/// Where neither the options, nor the address, nor the environment says it.
const REGION: &str = "us-east-1";

/// How the host that runs models is named; the one that lists them lacks the second word.
const RUNTIME: &str = "bedrock-runtime";

const OPTIONS: [&str; 4] = ["region", "guardrail", "guardrail_version", "guardrail_trace"];

/// By these headers InvokeModel is told of a guardrail, with the options that they come from.
const GUARDRAIL_HEADERS: [(&str, &str); 3] = [
    ("guardrail", "x-amzn-bedrock-guardrailidentifier"),
    ("guardrail_version", "x-amzn-bedrock-guardrailversion"),
    ("guardrail_trace", "x-amzn-bedrock-trace"),
];

/// What Bedrock takes of Anthropic's API, as of autumn 2026.
const CLAUDE: Host = Host {
    version: "bedrock-2023-05-31",
    betas: &[
        ("advanced-tool-use-2025-11-20", "tool-search-tool-2025-10-19"),
        ("compact-2026-01-12", "compact-2026-01-12"),
        ("computer-use-2024-10-22", "computer-use-2024-10-22"),
        ("computer-use-2025-01-24", "computer-use-2025-01-24"),
        ("computer-use-2025-11-24", "computer-use-2025-11-24"),
        ("context-1m-2025-08-07", "context-1m-2025-08-07"),
        ("context-management-2025-06-27", "context-management-2025-06-27"),
        ("effort-2025-11-24", "effort-2025-11-24"),
        ("fine-grained-tool-streaming-2025-05-14", "fine-grained-tool-streaming-2025-05-14"),
        ("interleaved-thinking-2025-05-14", "interleaved-thinking-2025-05-14"),
        ("output-128k-2025-02-19", "output-128k-2025-02-19"),
        ("token-efficient-tools-2025-02-19", "token-efficient-tools-2025-02-19"),
        ("tool-examples-2025-10-29", "tool-examples-2025-10-29"),
        ("tool-search-tool-2025-10-19", "tool-search-tool-2025-10-19"),
    ],
    refused: REFUSED,
    stream_in_body: false,
};

#[derive(Debug)]
pub struct Bedrock;

impl Vendor for Bedrock {
    fn address(&self, options: &Options) -> Option<String> {
        let region = text(options, "region").or(ENVIRONMENT.region.as_deref())?;
        let country = if region.starts_with("cn-") { ".cn" } else { "" };
        Some(format!("https://{RUNTIME}.{region}.amazonaws.com{country}"))
    }

    fn takes_credentials(&self) -> bool {
        true
    }

    fn check(&self, options: &Options, key: Option<&SecretString>) -> Result<(), Fault> {
        only_texts(options, &OPTIONS)?;
        let plain = |region: &str| region.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'-');
        if text(options, "region").is_some_and(|region| !plain(region)) {
            return Err(("options", "`options.region` must be letters, digits and `-`, such as eu-west-1".to_owned()));
        }
        if text(options, "guardrail").is_some() != text(options, "guardrail_version").is_some() {
            let message = "`options.guardrail` and `options.guardrail_version` must be set together";
            return Err(("options", message.to_owned()));
        }
        if text(options, "guardrail_trace")
            .is_some_and(|trace| !["enabled", "disabled", "enabled_full"].contains(&trace))
        {
            return Err(("options", "`options.guardrail_trace` must be enabled, disabled or enabled_full".to_owned()));
        }
        match key.map(Proof::read) {
            Some(None) => {
                let forms = "a Bedrock API key, `ACCESS_KEY_ID:SECRET_ACCESS_KEY`, the same with `:SESSION_TOKEN`, or an \
                             object of `access_key_id`, `secret_access_key` and perhaps `session_token`";
                Err(("api_key", format!("`api_key` must be {forms}")))
            }
            _ => Ok(()),
        }
    }

    /// Profiles that others share, and models that were brought along, are not in its list.
    fn lists_all(&self) -> bool {
        false
    }

    fn generate(&self, provider: &Provider, outbound: &dyn Outbound, model: &str, stream: bool) -> String {
        let base = &provider.base_url;
        match outbound.id() {
            ProtocolId::Anthropic if stream => format!("{base}{}/invoke-with-response-stream", model_path(model)),
            ProtocolId::Anthropic => format!("{base}{}/invoke", model_path(model)),
            _ => format!("{base}{}", outbound.endpoint(model, stream)),
        }
    }

    /// In Converse, and by a model's own name: a profile is not counted for.
    fn count(&self, provider: &Provider, outbound: &dyn Outbound, model: &str) -> Option<String> {
        let counting = outbound.counting().filter(|_| outbound.id() == ProtocolId::BedrockConverse)?;
        Some(format!("{}{}", provider.base_url, counting.endpoint(foundation(model)?)))
    }

    /// Models are listed at another host, and profiles apart from models.
    fn operation(&self, provider: &Provider, path: &str, _model: Option<&str>) -> String {
        match path {
            "/models" => format!("{}/foundation-models", control(&provider.base_url)),
            "/models?profiles" => format!("{}/inference-profiles?maxResults=1000", control(&provider.base_url)),
            _ => format!("{}{path}", provider.base_url),
        }
    }

    fn adapt(&self, call: &Call<'_>, headers: &mut HeaderMap, body: Bytes, losses: &mut Losses) -> Bytes {
        let options = &call.provider.options;
        if call.outbound.id() == ProtocolId::Anthropic {
            headers.insert(header::ACCEPT, HeaderValue::from_static("application/json"));
            for (option, name) in GUARDRAIL_HEADERS {
                let upper =
                    |text: &str| if option == "guardrail_trace" { text.to_uppercase() } else { text.to_owned() };
                if let Some(Ok(value)) = text(options, option).map(|text| HeaderValue::from_str(&upper(text))) {
                    headers.insert(name, value);
                }
            }
            return CLAUDE.adapt(headers, body, losses);
        }
        if call.stream {
            headers.insert(header::ACCEPT, HeaderValue::from_static("application/vnd.amazon.eventstream"));
        }
        match (guardrail(options), Members::read(&body)) {
            (Some(guardrail), Ok(members)) => members.edit(&[Edit::set("guardrailConfig", guardrail)]).into(),
            _ => body,
        }
    }

    fn framing(&self, outbound: &dyn Outbound) -> Framing {
        match outbound.id() {
            ProtocolId::Anthropic => Framing::AwsWrapped,
            _ => Framing::AwsEvents,
        }
    }

    fn authenticate(&self, key: Option<&SecretString>, headers: &mut HeaderMap) {
        if let Some(Proof::Token(token)) = Proof::of(key) {
            set_bearer(headers, &token);
        }
    }

    fn authorize<'a>(
        &'a self,
        provider: &'a Provider,
        client: &'a Client,
        request: &'a mut Request<Full<Bytes>>,
    ) -> Option<BoxFuture<'a, Result<(), ApiError>>> {
        let known = match Proof::of(provider.key.as_ref()) {
            Some(Proof::Token(_)) => return None,
            Some(Proof::Keys(keys)) => Some(keys),
            None => None,
        };
        Some(Box::pin(async move {
            let keys = match known {
                Some(keys) => keys,
                None => machines_keys(provider, client).await?,
            };
            let body = request.body().clone().collect().await.map(|body| body.to_bytes()).unwrap_or_default();
            let region = region(provider);
            signed(request, &body, keys, &region, clock::now_micros())
                .ok_or_else(|| ApiError::new(ErrorKind::Internal, "the request to the provider could not be signed"))
        }))
    }

    fn refused(&self, provider: &Provider) {
        token::forget(token_key(provider));
    }
}

/// What the names of profiles begin with that span a geography's regions.
const GEOGRAPHIES: [&str; 9] = ["us.", "us-gov.", "eu.", "apac.", "jp.", "au.", "ca.", "sa.", "global."];

/// The model that a profile stands for. `None` for an ARN, which does not tell.
fn foundation(model: &str) -> Option<&str> {
    let named = GEOGRAPHIES.iter().find_map(|geography| model.strip_prefix(geography)).unwrap_or(model);
    (!named.starts_with("arn:")).then_some(named)
}

/// What Converse is told of a guardrail, as JSON.
fn guardrail(options: &Options) -> Option<String> {
    let config = json!({
        "guardrailIdentifier": text(options, "guardrail")?,
        "guardrailVersion": text(options, "guardrail_version")?,
        "trace": text(options, "guardrail_trace").unwrap_or("disabled"),
    });
    Some(config.to_string())
}

/// The credentials of the machine, fetched where none are kept that still hold.
async fn machines_keys(provider: &Provider, client: &Client) -> Result<Credentials, ApiError> {
    let client = client.clone();
    let fetch = || -> token::Fetch { Box::pin(async move { aws::fetch(&client).await }) };
    match Proof::read(&token::get(token_key(provider), fetch).await?) {
        Some(Proof::Keys(keys)) => Ok(keys),
        _ => Err(token::failed(ErrorKind::UpstreamAuth, "this machine's credentials for the provider lack something")),
    }
}

fn token_key(provider: &Provider) -> token::Key {
    (provider.id, KeyHash::of("machine"))
}

/// The host that lists models, beside the one that runs them. An address of the operator's own does both.
fn control(base: &str) -> String {
    base.replacen(&format!("://{RUNTIME}"), "://bedrock", 1)
}

/// As whom a provider is asked.
enum Proof {
    Token(SecretString),
    Keys(Credentials),
}

impl Proof {
    /// The key's proof, or that of the environment where there is no key.
    fn of(key: Option<&SecretString>) -> Option<Self> {
        match key {
            Some(key) => Self::read(key),
            None => ENVIRONMENT.proof(),
        }
    }

    /// A token; an id and a secret, and perhaps the token of a session, behind colons; or the same as an object. `None` for an
    /// object or a list that lacks something.
    fn read(key: &SecretString) -> Option<Self> {
        let key = key.expose_secret();
        if let Some(object) = secret::credentials(key) {
            let field = |name: &str| object.get(name)?.as_str().filter(|text| !text.is_empty());
            return Some(keys(field("access_key_id")?, field("secret_access_key")?, field("session_token")));
        }
        if key.starts_with('{') {
            return None;
        }
        let Some((id, rest)) = key.split_once(':') else { return Some(Self::Token(SecretString::from(key))) };
        let (secret, session) = rest.split_once(':').map_or((rest, None), |(secret, session)| (secret, Some(session)));
        let whole = !id.is_empty() && !secret.is_empty() && session != Some("");
        whole.then(|| keys(id, secret, session))
    }
}

fn keys(id: &str, secret: &str, session: Option<&str>) -> Proof {
    Proof::Keys(Credentials::new(id, secret, session.map(str::to_owned), None, "provider"))
}

/// What Amazon's own programs read from the environment, as it was at the start.
#[derive(Debug, Default)]
struct Environment {
    token: Option<SecretString>,
    id: Option<String>,
    secret: Option<SecretString>,
    session: Option<SecretString>,
    region: Option<String>,
}

static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Environment {
        token: variable("AWS_BEARER_TOKEN_BEDROCK").map(SecretString::from),
        id: variable("AWS_ACCESS_KEY_ID"),
        secret: variable("AWS_SECRET_ACCESS_KEY").map(SecretString::from),
        session: variable("AWS_SESSION_TOKEN").map(SecretString::from),
        region: variable("AWS_REGION").or_else(|| variable("AWS_DEFAULT_REGION")),
    }
});

impl Environment {
    fn proof(&self) -> Option<Proof> {
        if let Some(token) = &self.token {
            return Some(Proof::Token(token.clone()));
        }
        let session = self.session.as_ref().map(ExposeSecret::expose_secret);
        Some(keys(self.id.as_deref()?, self.secret.as_ref()?.expose_secret(), session))
    }
}

/// The region that a signature names: the one set, else the one in the address.
fn region(provider: &Provider) -> String {
    let host = provider.base_url.split("://").nth(1).unwrap_or_default();
    let in_host = || {
        let (name, rest) = host.split_once('.')?;
        let (region, domain) = rest.split_once('.')?;
        (name.starts_with(RUNTIME) && domain.starts_with("amazonaws.com")).then(|| region.to_owned())
    };
    text(&provider.options, "region")
        .map(str::to_owned)
        .or_else(in_host)
        .or_else(|| ENVIRONMENT.region.clone())
        .unwrap_or_else(|| REGION.to_owned())
}

/// Signs by Signature Version 4, at `now` in microseconds since the epoch. `None` where a request is no request.
fn signed(request: &mut Request<Full<Bytes>>, body: &[u8], keys: Credentials, region: &str, now: i64) -> Option<()> {
    let identity = keys.into();
    let params = v4::SigningParams::builder()
        .identity(&identity)
        .region(region)
        .name(SERVICE)
        .time(UNIX_EPOCH + Duration::from_micros(now.unsigned_abs()))
        .settings(SigningSettings::default())
        .build()
        .ok()?
        .into();
    // Other headers may change on the way.
    let content_type = request.headers().get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok());
    let headers = content_type.map(|value| (header::CONTENT_TYPE.as_str(), value));
    let uri = request.uri().to_string();
    let signable =
        SignableRequest::new(request.method().as_str(), uri, headers.into_iter(), SignableBody::Bytes(body)).ok()?;
    let (instructions, _) = sign(signable, &params).ok()?.into_parts();
    for (name, value) in instructions.headers() {
        let mut value = HeaderValue::from_str(value).ok()?;
        value.set_sensitive(true);
        request.headers_mut().insert(header::HeaderName::from_bytes(name.as_bytes()).ok()?, value);
    }
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2026-01-01T00:00:00Z.
    const NOW: i64 = 1_767_225_600_000_000;

    const BODY: &[u8] = br#"{"messages":[]}"#;

    fn authorization(method: &str, uri: &str, session: Option<&str>, body: &'static [u8]) -> HeaderMap {
        let mut request = Request::new(Full::new(Bytes::from_static(body)));
        *request.method_mut() = method.parse().unwrap();
        *request.uri_mut() = uri.parse().unwrap();
        if !body.is_empty() {
            request.headers_mut().insert(header::CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        let secret = "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY";
        let keys = Credentials::new("AKIDEXAMPLE", secret, session.map(str::to_owned), None, "test");
        signed(&mut request, body, keys, "eu-west-1", NOW).unwrap();
        request.headers().clone()
    }

    /// The signatures were computed with botocore.
    #[test]
    fn signatures_are_those_of_amazons_own_program() {
        let host = "https://bedrock-runtime.eu-west-1.amazonaws.com";
        let scope = "AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/eu-west-1/bedrock/aws4_request, SignedHeaders=";
        let uri = format!("{host}/model/eu.anthropic.claude-haiku-4-5-20251001-v1%3A0/converse");
        let headers = authorization("POST", &uri, None, BODY);
        let signature = "03c2c9d4cbfb15b5ffc102ba095d30e7cfa976f4f87e45c10e5f2c02b4012a37";
        assert_eq!(
            headers["authorization"],
            format!("{scope}content-type;host;x-amz-date, Signature={signature}").as_str()
        );
        assert_eq!(headers["x-amz-date"], "20260101T000000Z");
        assert!(headers["authorization"].is_sensitive());

        let uri = format!("{host}/model/arn%3Aaws%3Abedrock%3Aeu-west-1%3A1%3Ainference-profile%2Fx/invoke");
        let headers = authorization("POST", &uri, Some("session/token+="), BODY);
        let signature = "7d002238df9cc19d2c067f526a0dfd11eb3c7c48ec1be5e6887e14f6c7de9a2b";
        let signed = format!("{scope}content-type;host;x-amz-date;x-amz-security-token, Signature={signature}");
        assert_eq!(headers["authorization"], signed.as_str());
        assert_eq!(headers["x-amz-security-token"], "session/token+=");

        let uri = "https://bedrock.eu-west-1.amazonaws.com/inference-profiles?maxResults=1000";
        let signature = "3f4070c91832998303f535f033abd984e9b0079e491870b7aba2754b9b0a2bdd";
        let signed = format!("{scope}host;x-amz-date, Signature={signature}");
        assert_eq!(authorization("GET", uri, None, b"")["authorization"], signed.as_str());
    }

    #[test]
    fn a_key_is_a_token_or_an_id_and_a_secret_in_either_form() {
        let read = |key: &str| match Proof::read(&SecretString::from(key)) {
            None => "nothing".to_owned(),
            Some(Proof::Token(token)) => format!("token {}", token.expose_secret()),
            Some(Proof::Keys(keys)) => {
                let session = keys.session_token().unwrap_or("-");
                format!("{} {} {session}", keys.access_key_id(), keys.secret_access_key())
            }
        };
        assert_eq!(read("ABSKabc="), "token ABSKabc=");
        assert_eq!(read("AKID:se/cret"), "AKID se/cret -");
        assert_eq!(read("AKID:secret:ses:sion"), "AKID secret ses:sion");
        assert_eq!(read(r#"{"access_key_id":"a","secret_access_key":"b"}"#), "a b -");
        assert_eq!(read(r#"{"access_key_id":"a","secret_access_key":"b","session_token":"c"}"#), "a b c");
        for half in [r#"{"access_key_id":"a"}"#, "AKID:", ":secret", "a:b:", "{"] {
            assert_eq!(read(half), "nothing", "{half}");
        }
    }

    #[test]
    fn models_are_listed_by_the_host_beside() {
        let host = "https://bedrock-runtime.eu-west-1.amazonaws.com";
        assert_eq!(control(host), "https://bedrock.eu-west-1.amazonaws.com");
        assert_eq!(control("http://127.0.0.1:1/proxy"), "http://127.0.0.1:1/proxy");
    }

    #[test]
    fn tokens_are_counted_for_the_model_that_a_profile_stands_for() {
        for (model, counted) in [
            ("amazon.nova-lite-v1:0", Some("amazon.nova-lite-v1:0")),
            ("us.anthropic.claude-haiku-4-5-20251001-v1:0", Some("anthropic.claude-haiku-4-5-20251001-v1:0")),
            ("global.anthropic.claude-opus-5", Some("anthropic.claude-opus-5")),
            ("arn:aws:bedrock:eu-west-1:1:application-inference-profile/x", None),
        ] {
            assert_eq!(foundation(model), counted);
        }
    }

    #[test]
    fn options_and_keys_are_checked_when_they_are_set() {
        let options = |region: &str| Options::from_iter([("region".to_owned(), region.into())]);
        assert_eq!(Bedrock.check(&options("eu-west-1"), None), Ok(()));
        assert!(Bedrock.check(&options("evil.example/"), None).unwrap_err().1.contains("eu-west-1"));
        assert!(Bedrock.check(&Options::new(), Some(&SecretString::from("AKID:"))).unwrap_err().1.contains("SESSION"));
        let host = "https://bedrock-runtime.cn-north-1.amazonaws.com.cn";
        assert_eq!(Bedrock.address(&options("cn-north-1")).as_deref(), Some(host));
    }

    #[test]
    fn claudes_own_protocol_goes_without_model_and_stream_and_with_known_betas() {
        let mut headers = HeaderMap::new();
        headers.insert("anthropic-beta", "claude-code-20250219,context-1m-2025-08-07".parse().unwrap());
        let body = Bytes::from_static(br#"{"model":"m","stream":true,"max_tokens":1,"speed":"fast"}"#);
        let mut losses = Losses::default();
        let body = CLAUDE.adapt(&mut headers, body, &mut losses);
        let expected =
            r#"{"max_tokens":1,"anthropic_version":"bedrock-2023-05-31","anthropic_beta":["context-1m-2025-08-07"]}"#;
        assert_eq!(&body[..], expected.as_bytes());
        assert_eq!(losses.paths(), "speed");
        assert!(headers.is_empty());
    }
}
