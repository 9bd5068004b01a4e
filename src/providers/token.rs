//! Tokens that are fetched with credentials and hold for a while.
//!
//! They are kept in memory only, by provider and credentials, so that a provider whose credentials change begins anew.
//! However many requests want one, it is fetched once, beside them all; it is renewed before it ends, while the old one
//! still serves.

use std::{
    sync::{Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::http::{HeaderValue, Method, Request, Uri, header};
use llm_protocol::ir::{ApiError, ErrorKind};
use secrecy::SecretString;
use serde::Deserialize;
use tokio::{
    sync::watch,
    time::{Instant, timeout},
};

use crate::{
    secret::KeyHash,
    upstream::{Client, read_whole},
};

/// The provider, and the hash of the credentials and all else that a token depends on.
pub type Key = (i64, KeyHash);

/// A token as it was given out.
pub struct Grant {
    pub token: SecretString,
    pub lifetime: Duration,
}

/// A fetch that is yet to begin.
pub type Fetch = BoxFuture<'static, Result<Grant, ApiError>>;

type Told = Option<Result<SecretString, ApiError>>;

struct Entry {
    key: Key,
    held: Option<Held>,
    fetching: Option<watch::Receiver<Told>>,
    /// A renewal that failed is not tried again before then.
    rests_until: Option<Instant>,
}

struct Held {
    token: SecretString,
    renew_at: Instant,
    ends_at: Instant,
}

/// A fetch may take so long.
pub const PATIENCE: Duration = Duration::from_secs(15);
/// After a renewal that failed, while the old token still serves.
const REST: Duration = Duration::from_secs(10);
/// How long before its end a token is renewed, and how long before it is used no more, if its lifetime is not short.
const RENEWED_BEFORE: Duration = Duration::from_secs(300);
const UNUSED_BEFORE: Duration = Duration::from_secs(20);
/// So many tokens are kept.
const MOST: usize = 512;
/// Bytes of an answer that holds a token.
pub const ANSWER_LIMIT: usize = 64 << 10;
/// Characters that are told of a refusal.
const LONGEST_REASON: usize = 300;

static TOKENS: Mutex<Vec<Entry>> = Mutex::new(Vec::new());

/// The token for `key`: the one that is kept, else the one that `fetch` brings. Fails as the fetch does, for all who wait.
pub async fn get(key: Key, fetch: impl FnOnce() -> Fetch) -> Result<SecretString, ApiError> {
    let mut fetching = match look(key, fetch) {
        Ok(token) => return Ok(token),
        Err(fetching) => fetching,
    };
    let told = fetching.wait_for(Option::is_some).await.ok().and_then(|told| told.clone());
    told.unwrap_or_else(|| Err(failed(ErrorKind::Upstream, "fetching an access token was broken off")))
}

/// Forgets a token that was refused.
pub fn forget(key: Key) {
    if let Some(entry) = tokens().iter_mut().find(|entry| entry.key == key) {
        entry.held = None;
    }
}

/// The token, or where it will be told.
fn look(key: Key, fetch: impl FnOnce() -> Fetch) -> Result<SecretString, watch::Receiver<Told>> {
    let mut tokens = tokens();
    let now = Instant::now();
    let at = tokens.iter().position(|entry| entry.key == key).unwrap_or_else(|| {
        make_room(&mut tokens, now);
        tokens.push(Entry { key, held: None, fetching: None, rests_until: None });
        tokens.len() - 1
    });
    let entry = &mut tokens[at];
    // Whoever fetched may have been stopped before it could tell.
    entry.fetching = entry.fetching.take().filter(|fetching| fetching.has_changed().is_ok());
    match entry.held.as_ref().filter(|held| held.ends_at > now) {
        None => Err(entry.fetching.get_or_insert_with(|| spawn(key, fetch())).clone()),
        Some(held) => {
            let rests = entry.rests_until.is_some_and(|until| until > now);
            if held.renew_at <= now && !rests {
                entry.fetching.get_or_insert_with(|| spawn(key, fetch()));
            }
            Ok(held.token.clone())
        }
    }
}

fn make_room(tokens: &mut Vec<Entry>, now: Instant) {
    if tokens.len() < MOST {
        return;
    }
    tokens.retain(|entry| entry.fetching.is_some() || entry.held.as_ref().is_some_and(|held| held.ends_at > now));
    if tokens.len() >= MOST {
        tokens.remove(0);
    }
}

/// Fetches beside whoever asked, so that their leaving does not matter to others.
fn spawn(key: Key, fetch: Fetch) -> watch::Receiver<Told> {
    let (tell, told) = watch::channel(None);
    tokio::spawn(async move {
        let outcome = timeout(PATIENCE, fetch).await;
        let outcome = outcome.unwrap_or_else(|_| Err(failed(ErrorKind::Timeout, "no access token came in time")));
        let outcome = keep(key, outcome);
        tell.send_replace(Some(outcome));
    });
    told
}

fn keep(key: Key, outcome: Result<Grant, ApiError>) -> Result<SecretString, ApiError> {
    let mut tokens = tokens();
    let now = Instant::now();
    let entry = tokens.iter_mut().find(|entry| entry.key == key);
    let outcome = outcome.map(|Grant { token, lifetime }| Held {
        token,
        renew_at: now + lifetime.saturating_sub(RENEWED_BEFORE.min(lifetime / 5)),
        ends_at: now + lifetime.saturating_sub(UNUSED_BEFORE.min(lifetime / 10)),
    });
    let told = outcome.as_ref().map(|held| held.token.clone()).map_err(Clone::clone);
    if let Some(entry) = entry {
        entry.fetching = None;
        entry.rests_until = outcome.is_err().then(|| now + REST);
        entry.held = outcome.ok().or(entry.held.take());
    }
    told
}

fn tokens() -> MutexGuard<'static, Vec<Entry>> {
    TOKENS.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A request for a token by a form (RFC 6749).
pub fn form(endpoint: &str, fields: &[(&str, &str)]) -> Result<Request<Full<Bytes>>, ApiError> {
    let mut form = form_urlencoded::Serializer::new(String::new());
    form.extend_pairs(fields);
    let mut request = Request::new(Full::new(Bytes::from(form.finish())));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = address(endpoint)?;
    let kind = HeaderValue::from_static("application/x-www-form-urlencoded");
    request.headers_mut().insert(header::CONTENT_TYPE, kind);
    Ok(request)
}

/// The address of a token endpoint.
pub fn address(endpoint: &str) -> Result<Uri, ApiError> {
    let uri = endpoint.parse::<Uri>().ok().filter(|uri| uri.scheme().is_some() && uri.host().is_some());
    uri.ok_or_else(|| failed(ErrorKind::UpstreamAuth, "the address that gives out access tokens is no URL"))
}

/// Sends a request for a token and reads the answer.
pub async fn ask(client: &Client, mut request: Request<Full<Bytes>>) -> Result<Grant, ApiError> {
    request.headers_mut().insert(header::ACCEPT, HeaderValue::from_static("application/json"));
    request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
    let unreachable = |error: ApiError| failed(error.kind, "the service that gives out access tokens did not answer");
    let (head, body) = client.send(request).await.map_err(unreachable)?.into_parts();
    let deadline = Instant::now() + PATIENCE;
    let body = read_whole(body, &head.headers, ANSWER_LIMIT, deadline).await.map_err(unreachable)?;
    let answer: Answer = serde_json::from_slice(&body).unwrap_or_default();
    match answer.access_token.filter(|token| head.status.is_success() && is_token(token)) {
        Some(token) => Ok(Grant {
            token: SecretString::from(token),
            lifetime: Duration::from_secs(answer.expires_in.map_or(0, Seconds::value)),
        }),
        None => {
            let kind = if head.status.is_server_error() { ErrorKind::Upstream } else { ErrorKind::UpstreamAuth };
            let why = [answer.error, answer.error_description].into_iter().flatten().collect::<Vec<_>>().join(": ");
            let why: String = why.chars().filter(|letter| !letter.is_control()).take(LONGEST_REASON).collect();
            let status = head.status.as_u16();
            Err(failed(kind, &format!("no access token was given for the provider's credentials ({status}): {why}")))
        }
    }
}

fn is_token(token: &str) -> bool {
    !token.is_empty() && token.bytes().all(|byte| byte.is_ascii_graphic())
}

/// An error on the way to a token.
pub fn failed(kind: ErrorKind, message: &str) -> ApiError {
    ApiError { reason: Some("token"), ..ApiError::new(kind, message.trim_end_matches(": ")) }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Answer {
    access_token: Option<String>,
    expires_in: Option<Seconds>,
    error: Option<String>,
    error_description: Option<String>,
}

/// Some services write numbers as strings.
#[derive(Deserialize)]
#[serde(untagged)]
enum Seconds {
    Number(u64),
    Text(String),
}

impl Seconds {
    fn value(self) -> u64 {
        match self {
            Self::Number(seconds) => seconds,
            Self::Text(text) => text.parse().unwrap_or(0),
        }
        .min(24 * 60 * 60)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    };

    use secrecy::ExposeSecret;

    use super::*;

    /// Counts fetches, and gives tokens that hold so long.
    #[derive(Clone)]
    struct Source {
        key: Key,
        fetched: Arc<AtomicUsize>,
    }

    impl Source {
        fn new(name: &str) -> Self {
            Self { key: (1, KeyHash::of(name)), fetched: Arc::default() }
        }

        async fn get(&self, lifetime: u64) -> Result<String, String> {
            let fetched = self.fetched.clone();
            let fetch = move || -> Fetch {
                Box::pin(async move {
                    tokio::task::yield_now().await;
                    let number = fetched.fetch_add(1, Ordering::SeqCst);
                    let lifetime = Duration::from_secs(lifetime);
                    Ok(Grant { token: SecretString::from(format!("t{number}")), lifetime })
                })
            };
            get(self.key, fetch).await.map(|token| token.expose_secret().to_owned()).map_err(|error| error.message)
        }
    }

    #[tokio::test]
    async fn a_token_is_fetched_once_however_many_want_it() {
        let source = Source::new("once");
        let all = futures_util::future::join_all((0..20).map(|_| source.get(3600))).await;
        assert!(all.iter().all(|token| token.as_deref() == Ok("t0")), "{all:?}");
        assert_eq!(source.get(3600).await.unwrap(), "t0");
        assert_eq!(source.fetched.load(Ordering::SeqCst), 1);
    }

    #[tokio::test]
    async fn a_token_that_ended_or_was_refused_is_fetched_anew() {
        let source = Source::new("anew");
        assert_eq!(source.get(0).await.unwrap(), "t0");
        assert_eq!(source.get(3600).await.unwrap(), "t1");
        forget(source.key);
        assert_eq!(source.get(3600).await.unwrap(), "t2");
    }

    #[tokio::test]
    async fn other_credentials_get_another_token() {
        let (one, other) = (Source::new("one"), Source::new("other"));
        one.get(3600).await.unwrap();
        other.get(3600).await.unwrap();
        assert_eq!((one.fetched.load(Ordering::SeqCst), other.fetched.load(Ordering::SeqCst)), (1, 1));
    }

    #[tokio::test]
    async fn whoever_leaves_takes_nothing_from_those_who_wait() {
        let source = Source::new("leaves");
        let (leaver, stayer) = (source.clone(), source.clone());
        let leaver = tokio::spawn(async move { leaver.get(3600).await });
        tokio::task::yield_now().await;
        leaver.abort();
        assert_eq!(stayer.get(3600).await.unwrap(), "t0");
    }

    #[tokio::test]
    async fn a_failure_is_told_and_not_kept() {
        let key = (1, KeyHash::of("failure"));
        let refused = || -> Fetch { Box::pin(async { Err(failed(ErrorKind::UpstreamAuth, "no: ")) }) };
        let error = get(key, refused).await.unwrap_err();
        assert_eq!((error.kind, error.reason, error.message.as_str()), (ErrorKind::UpstreamAuth, Some("token"), "no"));
        let granted = || -> Fetch {
            Box::pin(async { Ok(Grant { token: SecretString::from("t"), lifetime: Duration::from_secs(60) }) })
        };
        assert_eq!(get(key, granted).await.unwrap().expose_secret(), "t");
    }
}
