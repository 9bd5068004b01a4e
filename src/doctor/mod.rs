//! Finds out, by small real requests, which protocols a provider really speaks and what a model can really do in them.
//!
//! It asks as traffic does: through the same encoders, the same vendor and the same client. Every question has a deadline and
//! so has the whole; no more than two are under way at once.

mod model;
mod questions;
mod report;
mod verdict;

use std::{collections::BTreeMap, time::Duration};

use bytes::Bytes;
use futures_util::{StreamExt, future::BoxFuture, stream};
use http_body_util::Full;
use hyper::http::{HeaderMap, HeaderValue, Method, Request, header};
use llm_protocol::{
    OUTBOUND, Outbound, ProtocolId, Target,
    ir::{ApiError, ErrorKind, Losses, Output, Request as Canonical, Response},
    models::Models,
    outbound,
};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout_at};

pub use self::report::{Capability, Examination, Finding, Report, Service, Spoken, Verdict};
use self::verdict::Answer;
use crate::{
    catalog::Provider,
    clock,
    config::RoutingConfig,
    gateway::attempt::{self, Reading},
    health::probe,
    providers::{self, Call, Outgoing},
    upstream::{Client, late, read_whole},
};

/// One question takes so long at most, or as long as the provider may if that is less.
const QUESTION_LIMIT: Duration = Duration::from_secs(30);

/// An examination takes so long at most; what was not asked by then is unknown.
const TOTAL_LIMIT: Duration = Duration::from_secs(180);

/// Questions under way at once.
const AT_ONCE: usize = 2;

/// An answer that is no generated one is at most so long.
const BODY_LIMIT: usize = 1 << 20;

/// What an examination needs.
pub struct Doctor<'a> {
    pub client: &'a Client,
    /// What models take and refuse.
    pub models: &'a Models,
    pub limits: &'a RoutingConfig,
    /// A provider's list of models takes so long at most.
    pub list_timeout: Duration,
}

/// The protocols to ask a provider for if nobody says which: all that many speak, and those of its kind.
pub fn usual_protocols(provider: &Provider) -> Vec<ProtocolId> {
    let of_its_kind = |id: ProtocolId| provider.kind.speaks.iter().any(|(spoken, _)| *spoken == id);
    let ids = OUTBOUND.iter().map(|outbound| outbound.id());
    ids.filter(|id| *id != ProtocolId::BedrockConverse || of_its_kind(*id)).collect()
}

impl Doctor<'_> {
    /// Asks a provider about one of its models, in these protocols.
    pub async fn examine(&self, provider: &Provider, model: &str, protocols: &[ProtocolId]) -> Report {
        let patient = Patient { doctor: self, provider, model, until: Instant::now() + TOTAL_LIMIT };
        let (models, embeddings) = tokio::join!(patient.models(), patient.embeddings());
        let services = BTreeMap::from([(Service::Models, models), (Service::Embeddings, embeddings)]);
        let mut greetings: Vec<BoxFuture<'_, (ProtocolId, Spoken)>> = Vec::new();
        for outbound in protocols.iter().filter_map(|id| outbound(*id)) {
            greetings.push(Box::pin(patient.greet(outbound)));
        }
        let mut spoken: BTreeMap<_, _> = stream::iter(greetings).buffer_unordered(AT_ONCE).collect().await;

        let mut talks: Vec<BoxFuture<'_, (ProtocolId, Found)>> = Vec::new();
        for (id, _) in spoken.iter().filter(|(_, spoken)| spoken.spoken == Verdict::Yes) {
            if let Some(outbound) = outbound(*id) {
                talks
                    .extend(Topic::ALL.map(|topic| -> BoxFuture<'_, _> { Box::pin(patient.discuss(outbound, topic)) }));
            }
        }
        let mut findings = stream::iter(talks).buffer_unordered(AT_ONCE);
        while let Some((protocol, found)) = findings.next().await {
            if let Some(spoken) = spoken.get_mut(&protocol) {
                spoken.capabilities.extend(found);
            }
        }
        let examination = Examination { examined_at: clock::rfc3339(clock::now_micros()), protocols: spoken };
        Report { services, models: [(model.to_owned(), examination)].into() }
    }
}

/// What is asked of a protocol that is spoken; one topic may tell of several capabilities.
#[derive(Clone, Copy, Debug)]
enum Topic {
    Stream,
    Tools,
    ParallelTools,
    Image,
    JsonSchema,
    SystemLater,
    Errors,
    CountTokens,
}

impl Topic {
    const ALL: [Self; 8] = [
        Self::Stream,
        Self::Tools,
        Self::ParallelTools,
        Self::Image,
        Self::JsonSchema,
        Self::SystemLater,
        Self::Errors,
        Self::CountTokens,
    ];
}

/// A provider under examination.
struct Patient<'a> {
    doctor: &'a Doctor<'a>,
    provider: &'a Provider,
    model: &'a str,
    until: Instant,
}

type Outbounds = &'static dyn Outbound;

/// What one topic tells.
type Found = Vec<(Capability, Finding)>;

impl Patient<'_> {
    /// Whether a protocol is spoken: the question that everything else hangs on.
    async fn greet(&self, outbound: Outbounds) -> (ProtocolId, Spoken) {
        let answer = self.ask(outbound, questions::chat()).await;
        let spoken = match &answer {
            Ok(_) => Verdict::Yes,
            Err(error) if verdict::is_absent(error, self.model) => Verdict::No,
            Err(_) => Verdict::Unknown,
        };
        let chat = self.discreet(verdict::chat(&answer));
        (outbound.id(), Spoken { spoken, capabilities: [(Capability::Chat, chat)].into() })
    }

    async fn discuss(&self, outbound: Outbounds, topic: Topic) -> (ProtocolId, Found) {
        let one = |capability, finding| vec![(capability, finding)];
        let found = match topic {
            Topic::Stream => {
                let answer = self.ask(outbound, questions::stream()).await;
                let usage = verdict::stream_usage(&answer);
                vec![(Capability::Stream, verdict::chat(&answer)), (Capability::StreamUsage, usage)]
            }
            Topic::Tools => self.tools(outbound).await,
            Topic::ParallelTools => {
                let finding = self.learn(outbound, questions::parallel_tools(), verdict::parallel_tools).await;
                one(Capability::ParallelTools, finding)
            }
            Topic::Image => one(Capability::Image, self.learn(outbound, questions::image(), verdict::image).await),
            Topic::JsonSchema => {
                let finding = self.learn(outbound, questions::json_schema(), verdict::json_schema).await;
                one(Capability::JsonSchema, finding)
            }
            Topic::SystemLater => {
                one(Capability::SystemLater, self.learn(outbound, questions::system_later(), verdict::chat).await)
            }
            Topic::Errors => one(Capability::Errors, self.errors(outbound).await),
            Topic::CountTokens => match self.count_tokens(outbound).await {
                Some(finding) => one(Capability::CountTokens, finding),
                None => Vec::new(),
            },
        };
        let found = found.into_iter().map(|(capability, finding)| (capability, self.discreet(finding)));
        (outbound.id(), found.collect())
    }

    async fn tools(&self, outbound: Outbounds) -> Found {
        if let Some(unsaid) = self.unsaid(outbound, &questions::tools()) {
            return vec![(Capability::Tools, unsaid.clone()), (Capability::ToolChoice, unsaid)];
        }
        let free = self.ask(outbound, questions::tools()).await;
        let unsaid = self.unsaid(outbound, &questions::forced_tool());
        let forced = match &unsaid {
            None => Some(self.ask(outbound, questions::forced_tool()).await),
            Some(_) => None,
        };
        let (tools, chosen) = verdict::tools(&free, forced.as_ref());
        let choice = chosen.or(unsaid);
        let choice = choice.map(|finding| (Capability::ToolChoice, finding));
        [(Capability::Tools, tools)].into_iter().chain(choice).collect()
    }

    /// Asks a question whose answer shows a capability, unless what is asked for would not reach the provider.
    async fn learn(&self, outbound: Outbounds, question: Canonical, judge: fn(&Answer) -> Finding) -> Finding {
        match self.unsaid(outbound, &question) {
            Some(unsaid) => unsaid,
            None => judge(&self.ask(outbound, question).await),
        }
    }

    /// What is known of a capability that this gateway never asks this model for.
    fn unsaid(&self, outbound: Outbounds, question: &Canonical) -> Option<Finding> {
        let losses = self.encode(outbound, question).1;
        (!losses.is_empty()).then(|| {
            Finding::unknown(verdict::glimpse(&format!("not asked: this gateway does without ({})", losses.paths())))
        })
    }

    fn encode(&self, outbound: Outbounds, question: &Canonical) -> (Vec<u8>, Losses) {
        let rules = self.doctor.models.rules(outbound.id(), self.provider.kind.name, self.model);
        let mut losses = Losses::default();
        let body = outbound.encode_request(question, Target { model: self.model, rules: &rules }, &mut losses);
        (body, losses)
    }

    fn address(&self, outbound: Outbounds, stream: bool, body: Vec<u8>) -> Result<Outgoing, ApiError> {
        let call = Call { provider: self.provider, outbound, model: self.model, stream };
        Outgoing::new(&call, outbound, body.into(), HeaderMap::new())
    }

    /// Asks a question and reads the whole answer, which may be a stream's.
    async fn ask(&self, outbound: Outbounds, question: Canonical) -> Answer {
        let deadline = self.deadline()?;
        let question = Canonical { model: self.model.to_owned(), ..question };
        let outgoing = self.address(outbound, question.stream, self.encode(outbound, &question).0)?;
        let Doctor { client, limits, .. } = self.doctor;
        match attempt::send(
            client,
            (self.provider, self.model),
            &outgoing,
            Reading::of(question.stream),
            limits,
            deadline,
        )
        .await?
        .answer
        {
            attempt::Answer::Whole { response, .. } => Ok(response),
            attempt::Answer::Stream(mut upstream) => {
                let mut response = Response { outputs: vec![Output::default()], ..Response::default() };
                while let Some(step) = timeout_at(deadline, upstream.next()).await.map_err(|_| late())?? {
                    step.events.iter().for_each(|event| response.apply(event));
                    if let Some(error) = step.error {
                        return Err(error);
                    }
                }
                Ok(response)
            }
        }
    }

    async fn errors(&self, outbound: Outbounds) -> Finding {
        let body = json!({"model": self.model}).to_string();
        let answer = match self.address(outbound, false, body.into()) {
            Ok(outgoing) => self.fetch(outgoing.request()).await,
            Err(error) => Err(error),
        };
        match answer {
            Ok((status, body)) => verdict::errors(status, &body, &outbound.decode_error(status, &body)),
            Err(error) => verdict::failed(&error),
        }
    }

    /// `None` where the provider has no such call.
    async fn count_tokens(&self, outbound: Outbounds) -> Option<Finding> {
        let counting = outbound.counting()?;
        let body = counting.request(&self.encode(outbound, &questions::chat()).0, self.model);
        let call = Call { provider: self.provider, outbound, model: self.model, stream: false };
        let answer = match Outgoing::count(&call, outbound, body.into(), HeaderMap::new()) {
            Ok(outgoing) => self.accepted(outbound, outgoing?.request()).await,
            Err(error) => Err(error),
        };
        Some(match answer.and_then(|body| counting.decode(&body)) {
            Ok(count) => Finding::yes(format!("{count} tokens")),
            Err(error) => verdict::failed(&error),
        })
    }

    async fn models(&self) -> Finding {
        let Doctor { client, list_timeout, .. } = self.doctor;
        self.discreet(match probe::models_of(client, self.provider, *list_timeout).await {
            Ok(models) => Finding::yes(format!("{} models", models.len())),
            Err(error) => verdict::failed(&error),
        })
    }

    /// A model that chats seldom embeds: that the path exists is all that can be hoped for.
    async fn embeddings(&self) -> Finding {
        let body = json!({"model": self.model, "input": "Hello"});
        self.discreet(match self.operation(self.provider.protocol(), "/embeddings", &body).await {
            Ok(_) => Finding::yes("an answer"),
            Err(error) if verdict::is_absent(&error, self.model) => verdict::failed(&error),
            Err(error) => Finding::unknown(verdict::failed(&error).seen),
        })
    }

    /// Calls something else than the generating call. Errors are read as `protocol`'s.
    async fn operation(&self, protocol: ProtocolId, path: &str, body: &Value) -> Result<Value, ApiError> {
        let vendor = self.provider.kind.vendor;
        let mut request = Request::new(Full::new(Bytes::from(body.to_string())));
        *request.method_mut() = Method::POST;
        *request.uri_mut() = vendor
            .operation(self.provider, path, Some(self.model))
            .parse()
            .map_err(|_| ApiError::new(ErrorKind::InvalidRequest, "`model` cannot stand in a URL"))?;
        let json = HeaderValue::from_static("application/json");
        request.headers_mut().insert(header::CONTENT_TYPE, json.clone());
        request.headers_mut().insert(header::ACCEPT, json);
        request.headers_mut().insert(header::ACCEPT_ENCODING, HeaderValue::from_static("identity"));
        vendor.authenticate(self.provider.key.as_ref(), request.headers_mut());
        let Some(outbound) = outbound(protocol) else {
            return Err(ApiError::new(ErrorKind::Internal, "the provider's protocol is not spoken here"));
        };
        let body = self.accepted(outbound, request).await?;
        Ok(serde_json::from_slice(&body).unwrap_or_default())
    }

    /// The body of an answer that is no error.
    async fn accepted(&self, outbound: Outbounds, request: Request<Full<Bytes>>) -> Result<Bytes, ApiError> {
        match self.fetch(request).await? {
            (200..300, body) => Ok(body),
            (status, body) => Err(ApiError { upstream_status: Some(status), ..outbound.decode_error(status, &body) }),
        }
    }

    async fn fetch(&self, request: Request<Full<Bytes>>) -> Result<(u16, Bytes), ApiError> {
        let deadline = self.deadline()?;
        let sent = timeout_at(deadline, providers::send(self.doctor.client, self.provider, request));
        let (head, body) = sent.await.map_err(|_| late())??.into_parts();
        Ok((head.status.as_u16(), read_whole(body, &head.headers, BODY_LIMIT, deadline).await?))
    }

    /// When a question that is asked now must be answered; fails when no time is left to ask it.
    fn deadline(&self) -> Result<Instant, ApiError> {
        let now = Instant::now();
        if now >= self.until {
            return Err(ApiError::new(ErrorKind::Timeout, "not asked: the examination took too long"));
        }
        Ok((now + self.provider.timeout.min(QUESTION_LIMIT)).min(self.until))
    }

    /// The same without the provider's key, should the provider have repeated it.
    fn discreet(&self, finding: Finding) -> Finding {
        let seen = self.provider.conceal(ApiError::new(ErrorKind::Upstream, finding.seen)).message;
        Finding { seen, ..finding }
    }
}
