//! What went wrong, in no protocol's words.

use std::time::Duration;

use crate::{ProtocolId, json::Json};

/// Longest error body that is kept as it came, in bytes.
const LONGEST_RAW: usize = 64 * 1024;

/// An error as every protocol can tell it.
#[derive(Clone, Debug, PartialEq)]
pub struct ApiError {
    pub kind: ErrorKind,
    /// For people. Never holds a key or an upstream's address.
    pub message: String,
    /// The upstream's own machine-readable code, such as `model_not_found`; else the kind's.
    pub code: Option<String>,
    /// The field that is to blame.
    pub param: Option<String>,
    /// How long to wait before asking again.
    pub retry_after: Option<Duration>,
    /// The status the upstream answered with; `None` where it never answered, or after its 200.
    pub upstream_status: Option<u16>,
    /// One word that says which of a kind's causes it was, such as `connect` or `auth`.
    pub reason: Option<&'static str>,
    /// The upstream's own words, for a client that speaks its protocol.
    pub raw: Option<Box<RawError>>,
}

/// An error body as the upstream sent it. Clients look for their provider's words in it, and for fields that no other
/// protocol has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RawError {
    pub protocol: ProtocolId,
    /// A JSON object. Never holds a key.
    pub body: String,
}

impl ApiError {
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
            code: None,
            param: None,
            retry_after: None,
            upstream_status: None,
            reason: None,
            raw: None,
        }
    }

    /// Keeps the body of an upstream's answer, if it is a short JSON object that speaks of the request: what it says of this
    /// gateway's account there is nobody's business.
    pub(crate) fn verbatim(mut self, protocol: ProtocolId, body: &[u8]) -> Self {
        let telling = self.kind.is_about_the_request() && body.len() <= LONGEST_RAW;
        let object = telling && Json::parse(body).is_ok_and(|parsed| parsed.members().is_some());
        if let (true, Ok(body)) = (object, std::str::from_utf8(body)) {
            self.raw = Some(Box::new(RawError { protocol, body: body.to_owned() }));
        }
        self
    }

    /// The upstream's own body, if it speaks `protocol`.
    pub(crate) fn raw_in(&self, protocol: ProtocolId) -> Option<&str> {
        self.raw.as_deref().filter(|raw| raw.protocol == protocol).map(|raw| raw.body.as_str())
    }

    /// An upstream's answer that makes no sense.
    pub(crate) fn malformed(message: impl Into<String>) -> Self {
        Self { reason: Some("malformed"), ..Self::new(ErrorKind::Upstream, message) }
    }

    /// What is said of an error answer that does not say it itself.
    pub(crate) fn unexplained(status: u16) -> String {
        format!("the provider answered {status} with no readable error")
    }

    /// The HTTP status to answer with.
    pub fn status(&self) -> u16 {
        self.kind.status()
    }
}

impl std::fmt::Display for ApiError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for ApiError {}

/// What sort of error it is. Each has one status; which of them may be tried elsewhere is the gateway's table.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ErrorKind {
    /// 400: the request is wrong, whoever reads it.
    InvalidRequest,
    /// 400: the prompt does not fit the model.
    ContextLength,
    /// 400: the provider's policy forbids the content.
    ContentPolicy,
    /// 401: the caller's key.
    Unauthorized,
    /// 402: the caller's budget is spent.
    BudgetExceeded,
    /// 403: the caller may not.
    Forbidden,
    /// 404: no such model, or no such thing.
    NotFound,
    /// 405.
    MethodNotAllowed,
    /// 408: the client was too slow to send its request.
    RequestTimeout,
    /// 409.
    Conflict,
    /// 413.
    TooLarge,
    /// 415.
    UnsupportedMediaType,
    /// 422: the upstream understood the request and will not process it.
    Unprocessable,
    /// 429: asked too often.
    RateLimited,
    /// 429: the provider account's quota or credit is spent; waiting does not help.
    QuotaExceeded,
    /// 500: a fault of this gateway.
    Internal,
    /// 502: the provider refused this gateway's own key.
    UpstreamAuth,
    /// 502: the provider failed, answered nonsense or broke off.
    Upstream,
    /// 503: nobody can serve this now.
    Unavailable,
    /// 503: the provider says that it is overloaded (503, and Anthropic's 529).
    Overloaded,
    /// 504: a deadline passed.
    Timeout,
}

impl ErrorKind {
    /// What an upstream's status means where its body says no more.
    pub(crate) fn of_upstream(status: u16) -> Self {
        match status {
            401 | 403 => Self::UpstreamAuth,
            402 => Self::QuotaExceeded,
            404 => Self::NotFound,
            408 | 504 => Self::Timeout,
            409 => Self::Conflict,
            413 => Self::TooLarge,
            422 => Self::Unprocessable,
            429 => Self::RateLimited,
            503 | 529 => Self::Overloaded,
            // "Failed dependency": Bedrock's word for a model that failed.
            424 => Self::Upstream,
            400..=499 => Self::InvalidRequest,
            _ => Self::Upstream,
        }
    }

    /// Whether the request is at fault, rather than this gateway's account or the provider.
    fn is_about_the_request(self) -> bool {
        matches!(
            self,
            Self::InvalidRequest
                | Self::ContextLength
                | Self::ContentPolicy
                | Self::NotFound
                | Self::Conflict
                | Self::TooLarge
                | Self::UnsupportedMediaType
                | Self::Unprocessable
        )
    }

    /// The [`ApiError::reason`] of an upstream's error that has none of its own.
    pub(crate) fn upstream_reason(self) -> Option<&'static str> {
        match self {
            Self::UpstreamAuth => Some("auth"),
            Self::Upstream => Some("server_error"),
            _ => None,
        }
    }

    /// The HTTP status that this gateway answers with.
    pub fn status(self) -> u16 {
        match self {
            Self::InvalidRequest | Self::ContextLength | Self::ContentPolicy => 400,
            Self::Unauthorized => 401,
            Self::BudgetExceeded => 402,
            Self::Forbidden => 403,
            Self::NotFound => 404,
            Self::MethodNotAllowed => 405,
            Self::RequestTimeout => 408,
            Self::Conflict => 409,
            Self::TooLarge => 413,
            Self::UnsupportedMediaType => 415,
            Self::Unprocessable => 422,
            Self::RateLimited | Self::QuotaExceeded => 429,
            Self::Internal => 500,
            Self::UpstreamAuth | Self::Upstream => 502,
            Self::Unavailable | Self::Overloaded => 503,
            Self::Timeout => 504,
        }
    }

    /// This gateway's own code for it, used where the upstream gave none.
    pub fn code(self) -> &'static str {
        match self {
            Self::InvalidRequest | Self::Unprocessable | Self::UnsupportedMediaType | Self::Conflict => {
                "invalid_request"
            }
            Self::ContextLength => "context_length_exceeded",
            Self::ContentPolicy => "content_policy_violation",
            Self::Unauthorized => "unauthorized",
            Self::BudgetExceeded => "budget_exceeded",
            Self::Forbidden => "forbidden",
            Self::NotFound => "not_found",
            Self::MethodNotAllowed => "method_not_allowed",
            Self::RequestTimeout => "request_timeout",
            Self::TooLarge => "payload_too_large",
            Self::RateLimited => "rate_limit_exceeded",
            Self::QuotaExceeded => "insufficient_quota",
            Self::Internal => "internal_error",
            Self::UpstreamAuth | Self::Upstream => "upstream_error",
            Self::Unavailable | Self::Overloaded => "service_unavailable",
            Self::Timeout => "upstream_timeout",
        }
    }
}

/// A request body that breaks its protocol's rules.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Malformed {
    /// The field's path, such as `messages[0].role`; empty if the body as a whole is wrong.
    pub param: String,
    /// What was expected, naming the field.
    pub message: String,
}

impl Malformed {
    pub fn new(param: impl Into<String>, message: impl Into<String>) -> Self {
        Self { param: param.into(), message: message.into() }
    }
}

impl From<Malformed> for ApiError {
    fn from(malformed: Malformed) -> Self {
        Self {
            param: Some(malformed.param).filter(|param| !param.is_empty()),
            ..Self::new(ErrorKind::InvalidRequest, malformed.message)
        }
    }
}
