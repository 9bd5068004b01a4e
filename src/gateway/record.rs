//! The one outcome of one request: its row in the log, its line in the log file, its place in the metrics.

use std::{
    sync::{Arc, OnceLock},
    time::Duration,
};

use axum::http::{HeaderMap, HeaderValue};
use llm_protocol::{
    Envelope, ProtocolId, inbound,
    ir::{ApiError, Event, FinishReason, LossKind, Losses, Usage},
};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tracing::info;

use super::{
    prepare::Unsaid,
    spent::{self, CLIENT_CLOSED, Meter, Unanswered},
    transcript::Transcript,
};
use crate::{
    app::App,
    cache::Account,
    catalog::Caller,
    clock,
    http::middleware::RequestId,
    limits::Admission,
    metrics::TargetSeries,
    routing::Target,
    store::{LogRow, Text},
    traces::{Asked, RequestTrace},
};

/// What the log says of a request that was answered from the cache.
const HIT: &str = "hit";

/// A request that is under way. Dropped before it was settled, it is the record of a client that left. By default it is that
/// of no request, and forgets what it is told.
#[derive(Default)]
pub struct Record {
    inner: Option<Box<Inner>>,
}

struct Inner {
    app: Arc<App>,
    began: Instant,
    row: LogRow,
    /// What the answer's id is made of, where one is made.
    answer_id: RequestId,
    usage: Option<Usage>,
    price: Option<crate::pricing::Price>,
    /// Where the attempt that runs, or was the last, is counted.
    series: Option<Arc<TargetSeries>>,
    unanswered: Unanswered,
    trace: Option<Box<RequestTrace>>,
    manners: Manners,
    /// More than one provider was asked.
    several: bool,
    /// What it holds of its limits.
    admission: Option<Admission>,
    /// Why the model stopped.
    finish: Option<FinishReason>,
    /// Who wants to know that it ended well.
    account: Option<Arc<OnceLock<Account>>>,
    /// What is said, where the log is to have that.
    transcript: Option<Arc<Transcript>>,
}

/// What a client asked for that shapes every answer's wrapping.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manners {
    /// `stream_options.include_usage`.
    pub include_usage: bool,
    /// It knows `functions` and no `tools`.
    pub legacy_functions: bool,
    /// A stream is to be one JSON array.
    pub array: bool,
}

impl Inner {
    /// From now on the row is about this target.
    fn ask(&mut self, target: &Target, protocol: Option<ProtocolId>, series: Arc<TargetSeries>) {
        self.series = Some(series);
        self.row.upstream_protocol = protocol.map(|protocol| protocol.as_str().into());
        self.row.provider_id = Some(target.provider.id);
        self.row.provider_name = Some(target.provider.name.clone());
        self.row.provider_type = Some(target.provider.kind.name.into());
        self.row.provider_key = target.provider.key_name().map(Text::from);
        self.row.upstream_model = Some(target.model.as_str()).filter(|model| !model.is_empty()).map(Text::from);
        self.price = target.configured.as_ref().and_then(|model| model.price.clone());
    }

    fn count_loss(&self, kind: &'static str, upstream: Option<&str>) {
        self.app.metrics.loss(kind, self.row.protocol.as_deref().unwrap_or_default(), upstream.unwrap_or_default());
    }
}

impl Record {
    /// Begins the record of a request that has just come in with these headers.
    pub fn begin(app: Arc<App>, request_id: &RequestId, row: LogRow, headers: &HeaderMap) -> Self {
        let row = LogRow { request_id: request_id.shared(), ..row };
        app.metrics.began();
        let trace = app.traces.begin(&row.method, &row.endpoint, headers);
        let inner = Inner {
            began: Instant::now(),
            row,
            answer_id: request_id.unchosen(),
            usage: None,
            price: None,
            series: None,
            unanswered: Unanswered::default(),
            trace,
            manners: Manners::default(),
            several: false,
            admission: None,
            finish: None,
            account: None,
            transcript: None,
            app,
        };
        Self { inner: Some(Box::new(inner)) }
    }

    /// Takes the request over to somebody else, who settles it.
    pub fn hand_over(&mut self) -> Self {
        Self { inner: self.inner.take() }
    }

    pub fn asked(&mut self, model: &str, stream: bool, manners: Manners) {
        self.with(|inner| {
            inner.row.model = Some(model.into());
            inner.row.stream = stream;
            inner.manners = manners;
        });
    }

    pub fn called_by(&mut self, caller: &Caller) {
        self.with(|inner| {
            inner.row.key_id = caller.key_id;
            inner.row.key_name.clone_from(&caller.key_name);
        });
    }

    /// What is said is taken down.
    pub fn taken_down(&mut self, transcript: &Arc<Transcript>) {
        self.with(|inner| inner.transcript = Some(transcript.clone()));
    }

    /// Its limits admit it. What it holds of them it gives back when it is settled.
    pub fn admitted(&mut self, admission: Admission) {
        self.with(|inner| inner.admission = Some(admission));
    }

    /// An attempt at `target` begins, in this protocol where the call has one. `again` says that it was asked before.
    pub fn attempt(&mut self, target: &Target, protocol: Option<ProtocolId>, again: bool) {
        self.with(|inner| {
            let metrics = &inner.app.metrics;
            let series = metrics.target(target, &inner.app.prices);
            if again {
                metrics.retried(&series);
            } else if inner.row.attempts > 0 {
                metrics.failed_over(&series);
            }
            if let Some(trace) = &mut inner.trace {
                trace.attempt(&Asked { target, endpoint: &inner.row.endpoint, before: inner.row.attempts });
            }
            inner.row.attempts += 1;
            inner.several |= inner.row.provider_id.is_some_and(|asked| asked != target.provider.id);
            inner.ask(target, protocol, series);
        });
    }

    /// A second target is asked while the first attempt still runs.
    pub fn hedged(&mut self, target: &Target) {
        self.with(|inner| {
            inner.row.attempts += 1;
            inner.several |= inner.row.provider_id.is_some_and(|asked| asked != target.provider.id);
        });
    }

    /// The second target was asked with this outcome: it has `won`, `lost` or `failed`.
    pub fn hedge_ended(&mut self, target: &Target, protocol: Option<ProtocolId>, outcome: &'static str) {
        self.with(|inner| {
            inner.app.metrics.hedged(target, outcome);
            if outcome == "won" {
                let series = inner.app.metrics.target(target, &inner.app.prices);
                inner.ask(target, protocol, series);
                if let Some(trace) = &mut inner.trace {
                    trace.attempt(&Asked { target, endpoint: &inner.row.endpoint, before: inner.row.attempts - 1 });
                }
            }
        });
    }

    /// An attempt was broken off for another one's answer.
    pub fn broken_off(&mut self, target: &Target) {
        self.with(|inner| inner.unanswered.broken_off(target));
    }

    /// The tokens of the attempt that begins are counted here until its answer is there.
    pub fn metered(&mut self, target: &Target, meter: &Meter) {
        self.with(|inner| inner.unanswered.metered(target, meter));
    }

    /// The attempt at this target has failed before its client got anything; `None` where it was not asked at all.
    pub fn attempt_failed(&mut self, target: Option<&Target>, error: &ApiError) {
        self.with(|inner| {
            let metrics = &inner.app.metrics;
            let series = target.map(|target| metrics.target(target, &inner.app.prices)).or(inner.series.clone());
            if let Some(series) = &series {
                metrics.attempt_failed(series, error);
            }
            if let Some(trace) = &mut inner.trace {
                trace.attempt_failed(error);
            }
        });
    }

    /// The `traceparent` of the answer, where requests are traced.
    pub fn traceparent(&self) -> Option<HeaderValue> {
        self.inner.as_ref()?.trace.as_ref()?.traceparent()
    }

    /// The `traceparent` of the attempt that runs, where providers are to be told of traces.
    pub fn upstream_traceparent(&self) -> Option<HeaderValue> {
        self.inner.as_ref()?.trace.as_ref()?.upstream_traceparent()
    }

    pub fn attempts(&self) -> i64 {
        self.inner.as_ref().map_or(0, |inner| inner.row.attempts)
    }

    /// Whom the last attempt asked, and for which model; an empty one where none was meant.
    pub fn asked_last(&self) -> Option<(&str, &str)> {
        let row = &self.inner.as_ref()?.row;
        Some((row.provider_name.as_deref()?, row.upstream_model.as_deref().unwrap_or_default()))
    }

    /// Whether more than one provider was asked.
    pub fn asked_several(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.several)
    }

    /// What the target that answers was told only in part.
    pub fn lost(&mut self, losses: &Losses) {
        self.with(|inner| {
            let told = |paths: String| Some(paths).filter(|paths| !paths.is_empty()).map(Text::from);
            inner.row.dropped = told(losses.left_out());
            inner.row.approximated = told(losses.approximations());
            for loss in losses.iter() {
                let kind = if loss.kind == LossKind::Approximated { "approximated" } else { "dropped" };
                inner.count_loss(kind, inner.row.upstream_protocol.as_deref());
            }
        });
    }

    /// A target was not asked, because it cannot be told what matters.
    pub fn refused(&mut self, unsaid: &Unsaid) {
        let Some((protocol, losses)) = unsaid.untold.as_deref() else { return };
        self.with(|inner| losses.iter().for_each(|_| inner.count_loss("refused", Some(protocol.as_str()))));
    }

    /// Notes what an event tells about tokens, and about the end.
    pub fn observe(&mut self, event: &Event) {
        match event {
            Event::Usage(usage) => self.used(usage.clone()),
            Event::Finish(finish) => self.finished(finish.reason),
            _ => {}
        }
    }

    pub fn finished(&mut self, reason: FinishReason) {
        self.with(|inner| inner.finish = Some(reason));
    }

    /// What came of a look into the cache.
    pub fn looked(&mut self, found: &str) {
        self.with(|inner| inner.row.cache_status = Some(found.into()));
    }

    /// Whom to tell when it has ended well.
    pub fn tells(&mut self, account: &Arc<OnceLock<Account>>) {
        self.with(|inner| inner.account = Some(account.clone()));
    }

    /// It is answered from the cache, and so costs nothing of what the answer had cost.
    pub fn answered_again(&mut self, saved: Option<i64>) {
        self.looked(HIT);
        self.used(Usage::default());
        self.with(|inner| inner.row.saved_cost = saved);
    }

    pub fn used(&mut self, usage: Usage) {
        self.with(|inner| inner.usage = Some(usage.at_most(MOST_TOKENS)));
    }

    /// The first content is on its way to the client.
    pub fn first_content(&mut self) {
        self.with(|inner| inner.row.ttft_ms = Some(inner.began.elapsed().as_millis() as i64));
    }

    pub fn elapsed(&self) -> Duration {
        self.inner.as_ref().map_or(Duration::ZERO, |inner| inner.began.elapsed())
    }

    pub fn elapsed_ms(&self) -> u64 {
        self.elapsed().as_millis() as u64
    }

    pub fn began(&self) -> Instant {
        self.inner.as_ref().map_or_else(Instant::now, |inner| inner.began)
    }

    /// Cancelled when the request has to end, finished or not.
    pub fn last_call(&self) -> CancellationToken {
        self.inner.as_ref().map_or_else(CancellationToken::new, |inner| inner.app.last_call.clone())
    }

    pub fn request_id(&self) -> &str {
        self.inner.as_ref().map_or("", |inner| &inner.row.request_id)
    }

    /// What an answer is wrapped in.
    pub fn envelope(&self) -> Envelope {
        let inner = self.inner.as_ref();
        let manners = inner.map(|inner| inner.manners).unwrap_or_default();
        Envelope {
            request_id: inner.map_or_else(String::new, |inner| inner.answer_id.to_string()),
            created: (clock::now_micros() / 1_000_000).unsigned_abs(),
            model: inner.and_then(|inner| inner.row.model.as_deref()).unwrap_or_default().to_owned(),
            include_usage: manners.include_usage,
            legacy_functions: manners.legacy_functions,
            array: manners.array,
        }
    }

    /// The client got, or is about to get, a complete answer.
    pub fn succeed(&mut self) {
        self.settle(200, None);
    }

    /// The client got an error, as its answer or in its stream.
    pub fn fail(&mut self, error: &ApiError) {
        self.settle(self.status(error), Some((error.reason.unwrap_or(error.kind.code()), &error.message)));
    }

    /// What the client's protocol makes of an error.
    fn status(&self, error: &ApiError) -> u16 {
        let spoken = self.inner.as_ref().and_then(|inner| ProtocolId::parse(inner.row.protocol.as_deref()?));
        spoken.and_then(inbound).map_or(error.status(), |inbound| inbound.status(error))
    }

    fn settle(&mut self, status: u16, error: Option<(&str, &str)>) {
        let Some(inner) = self.inner.take() else { return };
        let Inner { app, began, mut row, usage, unanswered, price, series, trace, admission, .. } = *inner;
        let Inner { finish, account, transcript, .. } = *inner;
        let usage = usage.or_else(|| unanswered.of(&row).map(|usage| usage.at_most(MOST_TOKENS)));
        let beside = unanswered.cost(&app, usage.as_ref());
        if let Some(admission) = admission {
            admission.settle(spent::of_limits(status, row.attempts, usage.as_ref()));
        }
        row.status_code = i64::from(status);
        row.latency_ms = began.elapsed().as_millis() as i64;
        if let Some((code, message)) = error {
            row.error_code = Some(code.into());
            row.error_message = Some(message.chars().take(500).collect::<String>().into());
        }
        if let Some(usage) = usage {
            let model = row.upstream_model.as_deref().unwrap_or_default();
            let kind = row.provider_type.as_deref().unwrap_or_default();
            row.cost = match row.cache_status.as_deref() {
                Some(HIT) => Some(0),
                _ => app.prices.cost_at(kind, model, price.as_ref(), &usage),
            };
            row.count(&usage);
        }
        if let Some(account) = account.filter(|_| status == 200) {
            account.get_or_init(|| Account { cost: row.cost, finish });
        }
        row.cost = spent::add(row.cost, beside);
        app.metrics.ended(&row, series.as_ref());
        if let Some(trace) = trace {
            trace.end(&row);
        }
        info!(
            request_id = &*row.request_id,
            status,
            method = &*row.method,
            path = &*row.endpoint,
            model = row.model.as_deref(),
            provider = row.provider_name.as_deref(),
            provider_key = row.provider_key.as_deref(),
            stream = row.stream,
            attempts = row.attempts,
            latency_ms = row.latency_ms,
            ttft_ms = row.ttft_ms,
            prompt_tokens = row.prompt_tokens,
            completion_tokens = row.completion_tokens,
            key = row.key_name.as_deref(),
            error = row.error_code.as_deref(),
            "{} {} {status} {} ms",
            row.method,
            row.endpoint,
            row.latency_ms,
        );
        match transcript {
            Some(transcript) => transcript.ended(row),
            None => app.journal.record(row),
        }
    }

    fn with(&mut self, change: impl FnOnce(&mut Inner)) {
        if let Some(inner) = &mut self.inner {
            change(inner);
        }
    }
}

/// No request takes more tokens of a kind. Whoever reports more is wrong, and sums over rows must not overflow for it.
const MOST_TOKENS: u64 = 1_000_000_000;

impl Drop for Record {
    fn drop(&mut self) {
        self.settle(CLIENT_CLOSED, Some(("client_closed", "the client closed the connection")));
    }
}
