//! Asking providers how they are, at no cost: by listing their models.
//!
//! The same answer tells which models a provider has, so that one call a probe does both.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::http::{HeaderMap, Method, Request, header};
use llm_protocol::{
    ProtocolId,
    ir::{ApiError, ErrorKind},
    outbound,
};
use serde::Deserialize;
use tokio::time::{Instant, timeout_at};

use super::{Admission, Outcome, Permit, State};
use crate::{
    app::App,
    catalog::Provider,
    chance, clock, providers,
    upstream::{Client, late, malformed, read_whole},
};

/// A list of models is at most so long.
const LIST_LIMIT: usize = 16 << 20;
/// Pages of a list that are read at most.
const PAGES: usize = 20;
/// How often the loop looks whether somebody is due.
pub(crate) const TICK: Duration = Duration::from_millis(250);

/// An operator who adds a provider waits at most so long for its list of models.
const PATIENCE: Duration = Duration::from_secs(2);

/// Starts the loop that probes providers and keeps their model lists fresh, until the gateway stops.
pub fn spawn(app: &Arc<App>) {
    let (watched, stopping) = (Arc::downgrade(app), app.stopping.clone());
    app.tasks.spawn(async move {
        let mut due = Due::default();
        while stopping.run_until_cancelled(tokio::time::sleep(TICK)).await.is_some() {
            let Some(app) = watched.upgrade() else { return };
            let catalog = app.catalog();
            due.forget(|id| catalog.providers.iter().any(|provider| provider.id == id));
            for provider in &catalog.providers {
                if due.is_due(&app, provider) {
                    let (app, provider) = (app.clone(), provider.clone());
                    app.tasks.clone().spawn(async move { refresh(&app, &provider).await });
                }
            }
        }
    });
}

/// When each provider is to be asked next.
#[derive(Default)]
pub(crate) struct Due(std::collections::HashMap<i64, (Instant, Instant)>);

impl Due {
    fn forget(&mut self, known: impl Fn(i64) -> bool) {
        self.0.retain(|id, _| known(*id));
    }

    /// A provider on probation is asked as soon as its ejection ends; others at the configured interval.
    pub(crate) fn is_due(&mut self, app: &App, provider: &Provider) -> bool {
        let now = Instant::now();
        let config = &app.config;
        let next = (now + config.health.interval, now + config.routing.model_list_interval);
        let Some((probe, list)) = self.0.get_mut(&provider.id) else {
            self.0.insert(provider.id, next);
            let known = provider.health.view().last_check.is_some();
            return !known && (provider.listed.is_none() || config.health.enabled);
        };
        let on_probation = provider.health.view().state == State::Unhealthy
            && matches!(provider.health.admission(), Admission::Yes)
            && config.health.enabled;
        let due = on_probation || (config.health.enabled && *probe <= now) || *list <= now;
        if due {
            (*probe, *list) = next;
        }
        due
    }
}

/// Asks a provider that is new or has moved, so that what it serves is known when the operator's next request comes. An
/// operator does not wait for a slow one: it is asked on in the background.
pub async fn introduce(app: &Arc<App>, id: i64) {
    let Some(provider) = app.catalog().providers.iter().find(|provider| provider.id == id).cloned() else { return };
    let background = app.clone();
    let asked = app.tasks.spawn(async move { refresh(&background, &provider).await });
    if tokio::time::timeout(PATIENCE, asked).await.is_err() {
        tracing::debug!(provider = id, "A new provider has not listed its models yet");
    }
}

/// Asks a provider for its models; notes how it is, and what it has.
async fn refresh(app: &App, whole: &Arc<Provider>) {
    let Some(_checking) = whole.health.begin_check() else { return };
    let provider = &whole.choose_key("", 0, &mut chance::lots());
    let Some(permit) = provider.admit(false) else { return };
    let began = Instant::now();
    let listed = list_models(app, provider).await;
    note(whole, provider, permit, began.elapsed(), listed.as_ref().err());
    if let Ok(models) = listed {
        keep(app, provider, models).await;
    }
}

/// Notes how a provider is, by what became of the question for its models. `whole` is the provider with all its keys.
pub(crate) fn note(whole: &Provider, provider: &Provider, permit: Permit, latency: Duration, error: Option<&ApiError>) {
    let is_well = Outcome::Success { latency };
    let Some(error) = error else { return permit.settle(&is_well) };
    match error.kind {
        // It answers, and has no such list: that is no fault.
        ErrorKind::NotFound | ErrorKind::MethodNotAllowed | ErrorKind::InvalidRequest | ErrorKind::RateLimited => {
            permit.settle(&is_well);
        }
        ErrorKind::UpstreamAuth => provider.refused(whole, permit, &error.message),
        _ if error.reason == Some("malformed") => permit.settle(&is_well),
        _ => permit.settle(&Outcome::Failure(error.message.clone())),
    }
}

async fn keep(app: &App, provider: &Provider, models: Vec<String>) {
    let same = provider
        .listed
        .as_ref()
        .is_some_and(|known| known.len() == models.len() && models.iter().all(|model| known.contains(model)));
    if same {
        return;
    }
    let stored = app.store.put_listed_models(provider.id, &models, clock::now_micros()).await;
    let reloaded = match stored {
        Ok(_) => app.reload().await,
        Err(error) => Err(error),
    };
    if let Err(error) = reloaded {
        tracing::warn!(provider = %provider.name, "The model list of {} could not be stored: {error}", provider.name);
    }
}

/// The names of the models that a provider says it has, without duplicates, in its order.
pub async fn list_models(app: &App, provider: &Provider) -> Result<Vec<String>, ApiError> {
    models_of(&app.upstream, provider, app.config.health.probe_timeout).await
}

/// The same for those who have no running gateway; fails when `timeout` is over.
pub async fn models_of(client: &Client, provider: &Provider, timeout: Duration) -> Result<Vec<String>, ApiError> {
    let deadline = Instant::now() + timeout;
    let mut models: Vec<String> = Vec::new();
    let mut after: Option<String> = None;
    for _ in 0..PAGES {
        let page = page(client, provider, after.as_deref(), deadline).await.map_err(|error| provider.conceal(error))?;
        for model in page.models {
            if !models.contains(&model) {
                models.push(model);
            }
        }
        match page.next {
            Some(next) if Some(&next) != after.as_ref() => after = Some(next),
            _ => break,
        }
    }
    Ok(models)
}

struct Page {
    models: Vec<String>,
    /// What to ask the next page by.
    next: Option<String>,
}

/// What the three protocols' lists have in common, and what each has of its own.
#[derive(Deserialize)]
struct Listing {
    /// OpenAI's and Anthropic's.
    #[serde(default)]
    data: Option<Vec<Listed>>,
    /// Gemini's; Vertex names the same thing otherwise.
    #[serde(default, alias = "publisherModels")]
    models: Option<Vec<Listed>>,
    /// Bedrock's, and those of its profiles, which are a list of their own.
    #[serde(default, rename = "modelSummaries")]
    foundation: Option<Vec<Listed>>,
    #[serde(default, rename = "inferenceProfileSummaries")]
    profiles: Option<Vec<Listed>>,
    #[serde(default, rename = "nextPageToken")]
    next_page_token: Option<String>,
    #[serde(default)]
    has_more: Option<bool>,
    #[serde(default)]
    last_id: Option<String>,
}

#[derive(Deserialize)]
struct Listed {
    #[serde(default, alias = "modelId", alias = "inferenceProfileId")]
    id: Option<String>,
    #[serde(default)]
    name: Option<String>,
}

async fn page(client: &Client, provider: &Provider, after: Option<&str>, deadline: Instant) -> Result<Page, ApiError> {
    let query = match (provider.protocol(), after) {
        (ProtocolId::Anthropic, None) => "?limit=1000".to_owned(),
        (ProtocolId::Anthropic, Some(after)) => format!("?limit=1000&after_id={after}"),
        (ProtocolId::Gemini, None) => "?pageSize=1000".to_owned(),
        (ProtocolId::Gemini, Some(after)) => format!("?pageSize=1000&pageToken={after}"),
        (ProtocolId::BedrockConverse, Some(after)) => format!("?{after}"),
        (ProtocolId::OpenAiChat | ProtocolId::OpenAiResponses, _) | (ProtocolId::BedrockConverse, None) => {
            String::new()
        }
    };
    let uri = provider
        .kind
        .vendor
        .operation(provider, &format!("/models{query}"), None)
        .parse::<hyper::Uri>()
        .map_err(|_| malformed("the provider's list of models cannot be asked for"))?;
    let mut headers = HeaderMap::new();
    headers.insert(header::ACCEPT, header::HeaderValue::from_static("application/json"));
    headers.insert(header::ACCEPT_ENCODING, header::HeaderValue::from_static("identity"));
    provider.kind.vendor.authenticate(provider.key.as_ref(), &mut headers);
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.method_mut() = Method::GET;
    *request.uri_mut() = uri;
    *request.headers_mut() = headers;

    let answer = timeout_at(deadline, providers::send(client, provider, request)).await.map_err(|_| late())??;
    let (head, body) = answer.into_parts();
    let body = read_whole(body, &head.headers, LIST_LIMIT, deadline).await?;
    if !head.status.is_success() {
        return Err(match outbound(provider.protocol()) {
            Some(protocol) => protocol.decode_error(head.status.as_u16(), &body),
            None => malformed("the provider refused to list its models"),
        });
    }
    let listing: Listing =
        serde_json::from_slice(&body).map_err(|_| malformed("the provider's list of models cannot be read"))?;
    let gemini = listing.models.is_some();
    let more = listing.foundation.is_some().then(|| "profiles".to_owned());
    let lists = [listing.data, listing.models, listing.foundation, listing.profiles];
    if lists.iter().all(Option::is_none) {
        return Err(malformed("the provider's list of models is no list"));
    }
    let listed = lists.into_iter().flatten().flatten();
    let name = |model: Listed| {
        let name = model.id.or(model.name)?;
        Some(if gemini { name.rsplit_once("models/").map_or(&*name, |(_, name)| name).to_owned() } else { name })
    };
    let next = listing.next_page_token.filter(|token| !token.is_empty());
    let next = next.or(listing.last_id.filter(|_| listing.has_more == Some(true))).or(more);
    Ok(Page { models: listed.filter_map(name).collect(), next })
}
