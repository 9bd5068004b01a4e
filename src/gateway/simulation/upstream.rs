//! A simulated provider: what it answers to whom, when, and who has asked it.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderValue};
use llm_protocol::ir::{ApiError, ErrorKind};
use rand::RngExt;
use tokio::time::{Instant, sleep};

use super::{client::Manner, scene::Setup, weather::Weather};
use crate::{
    catalog::{Provider, keyring::NamedKey},
    chance,
    health::Health,
    routing::{Target, tests::target},
};

pub struct Upstream {
    pub provider: Arc<Provider>,
    pub setup: Setup,
    /// When the world began.
    began: Instant,
    asked: Mutex<Vec<Asked>>,
    /// When it was found to be well by a question for its health.
    pub found_well: Mutex<Vec<Duration>>,
    /// By request, and by whether somebody has asked for it before, or asks somewhere else.
    running: Mutex<Vec<(u64, bool)>>,
    /// What is left of its limit, and since when.
    left: Mutex<(f64, Instant)>,
}

/// One attempt, as the provider saw it.
#[derive(Clone, Debug, PartialEq)]
pub struct Asked {
    pub request: u64,
    pub at: Duration,
    /// Somebody has asked for this request before, or is asking somewhere else.
    pub again: bool,
    /// Others have failed for this request, and nobody else is being asked.
    pub instead: bool,
    /// How many of both kinds ran here already.
    pub beside: usize,
    /// The name of the key that it was asked with, where it has several.
    pub key: Option<String>,
    /// How often the provider had been left out then.
    ejections: u64,
    /// Whether it was not left out since.
    pub is_news: bool,
    pub ended: Option<(Duration, Sent)>,
}

/// What came of an attempt.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Sent {
    Answered,
    Failed(ErrorKind),
    BrokenOff,
}

/// An attempt that runs. Dropped, its client has broken it off.
pub struct Running<'a> {
    upstream: &'a Upstream,
    at: usize,
    request: u64,
}

impl Upstream {
    pub fn new(id: usize, setup: &Setup, health: &Health, began: Instant) -> Self {
        let key = |number: usize| NamedKey {
            name: number.to_string(),
            key: format!("sk-{id}-{number}").into(),
            weight: 1,
            enabled: true,
        };
        let plain = Provider::clone(&target(id as i64, setup.priority, setup.weight).provider);
        let provider = Provider {
            timeout: setup.timeout,
            max_retries: setup.retries,
            rate_limit: setup.rate_limit,
            health: health.of(id as i64),
            ..plain
        };
        Self {
            provider: Arc::new(provider.with_keys((0..setup.keys).map(key).collect())),
            setup: setup.clone(),
            began,
            asked: Mutex::default(),
            found_well: Mutex::default(),
            running: Mutex::default(),
            left: Mutex::new((f64::from(setup.limit.unwrap_or(0)), began)),
        }
    }

    pub fn target(&self) -> Target {
        let provider = self.provider.clone();
        Target { weight: provider.weight, provider, model: "m".into(), configured: None }
    }

    pub fn asked(&self) -> MutexGuard<'_, Vec<Asked>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether this request is being asked for here.
    pub fn runs(&self, request: u64) -> bool {
        self.running().iter().any(|(running, _)| *running == request)
    }

    /// Whether this request was asked for here. Nobody asks for longer than so many others.
    pub fn has_seen(&self, request: u64) -> bool {
        self.asked().iter().rev().take(300).any(|asked| asked.request == request)
    }

    fn running(&self) -> MutexGuard<'_, Vec<(u64, bool)>> {
        self.running.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// `before` says whether others were asked for it, `elsewhere` whether one of them still is.
    pub fn begin(&self, request: u64, key: Option<&str>, before: bool, elsewhere: bool) -> Running<'_> {
        let again = elsewhere || self.has_seen(request);
        let instead = before && !again;
        let (mut asked, mut running) = (self.asked(), self.running());
        let beside = running.iter().filter(|(_, extra)| *extra).count();
        running.push((request, again || instead));
        let ejections = self.provider.health.view().ejections;
        asked.push(Asked {
            ejections,
            is_news: true,
            request,
            at: self.began.elapsed(),
            again,
            instead,
            beside,
            key: key.map(str::to_owned),
            ended: None,
        });
        Running { upstream: self, at: asked.len() - 1, request }
    }

    /// What comes back, and when. What the headers of an answer tell is learned from it, as from a real one.
    pub async fn answer(&self, target: &Target, manner: Manner) -> Result<(), ApiError> {
        let weather = self.setup.forecast.at(self.began.elapsed());
        let latency = self.setup.latency.mul_f64(chance::lots().random_range(0.6..1.4));
        let quickly = Duration::from_millis(5);
        sleep(match weather {
            Weather::Fine => latency,
            Weather::Slow => latency * 20,
            Weather::Silent => return std::future::pending().await,
            _ => quickly,
        })
        .await;
        let error = |kind| ApiError::new(kind, "as foretold");
        match weather {
            Weather::Away => return Err(error(ErrorKind::Unavailable)),
            Weather::Failing => return Err(error(ErrorKind::Upstream)),
            Weather::Overloaded => return Err(error(ErrorKind::Overloaded)),
            Weather::Busy(wait) => {
                return Err(ApiError { retry_after: wait.map(Duration::from_secs), ..error(ErrorKind::RateLimited) });
            }
            Weather::Closed => return Err(error(ErrorKind::UpstreamAuth)),
            Weather::Fine | Weather::Slow | Weather::Silent => {}
        }
        if self.refuses(target) {
            return Err(error(ErrorKind::UpstreamAuth));
        }
        self.take(target)?;
        if manner == Manner::Wrong { Err(error(ErrorKind::InvalidRequest)) } else { Ok(()) }
    }

    fn refuses(&self, target: &Target) -> bool {
        let now = self.began.elapsed();
        let is_first = target.provider.key_name() == Some("0");
        is_first && self.setup.refused.is_some_and(|(from, until)| (from..until).contains(&now))
    }

    /// Takes one of what is left of its limit, and tells of it.
    fn take(&self, target: &Target) -> Result<(), ApiError> {
        let Some(limit) = self.setup.limit.map(f64::from) else { return Ok(()) };
        let mut left = self.left.lock().unwrap_or_else(PoisonError::into_inner);
        let now = Instant::now();
        let a_second = limit / 60.0;
        let level = (left.0 + (now - left.1).as_secs_f64() * a_second).min(limit);
        let taken = if level >= 1.0 { 1.0 } else { 0.0 };
        *left = (level - taken, now);
        let told = [
            ("x-ratelimit-limit-requests", format!("{limit}")),
            ("x-ratelimit-remaining-requests", format!("{}", (level - taken).floor())),
            ("x-ratelimit-reset-requests", format!("{:.3}s", (limit - level + taken) / a_second)),
        ];
        let value = |text: &str| HeaderValue::from_str(text).expect("a number stands in a header");
        let headers: HeaderMap =
            told.iter().map(|(name, text)| (axum::http::HeaderName::from_static(name), value(text))).collect();
        target.provider.learn(&target.model, &headers);
        if taken > 0.0 {
            return Ok(());
        }
        let wait = Duration::from_secs_f64((1.0 - level) / a_second);
        Err(ApiError { retry_after: Some(wait), ..ApiError::new(ErrorKind::RateLimited, "too many") })
    }
}

impl Running<'_> {
    pub fn ended(self, sent: &Result<(), ApiError>) {
        self.note(sent.as_ref().map_or_else(|error| Sent::Failed(error.kind), |()| Sent::Answered));
    }

    fn note(&self, sent: Sent) {
        let now = self.upstream.began.elapsed();
        let ejections = self.upstream.provider.health.view().ejections;
        let asked = &mut self.upstream.asked()[self.at];
        if asked.ended.is_none() {
            asked.is_news = asked.ejections == ejections;
            asked.ended = Some((now, sent));
        }
    }
}

impl Drop for Running<'_> {
    fn drop(&mut self) {
        self.note(Sent::BrokenOff);
        let mut running = self.upstream.running();
        if let Some(at) = running.iter().position(|(request, _)| *request == self.request) {
            running.swap_remove(at);
        }
    }
}
