//! Clients that leave: in every phase of every call, politely or not, with more requests behind or without.

use std::{collections::BTreeSet, time::Duration};

use harness::measures::quantile;
use serde_json::{Value, json};

use super::{SOON, Stage, measured};
use crate::support::{Dialect, Leave, Line, Question, Request, Script, Upstream};

/// A call that is passed to an upstream, by its path and a body with this prompt.
struct Call {
    path: &'static str,
    body: fn(&str) -> Value,
    /// Whether the upstream may answer it by a stream of events.
    streams: bool,
}

const fn call(path: &'static str, streams: bool, body: fn(&str) -> Value) -> Call {
    Call { path, body, streams }
}

/// Every call with a JSON body that asks an upstream something.
const CALLS: [Call; 17] = [
    call(
        "/v1/chat/completions",
        true,
        |prompt| json!({"model": "gpt-4o", "messages": [{"role": "user", "content": prompt}]}),
    ),
    call("/v1/completions", true, |prompt| json!({"model": "gpt-3.5-turbo-instruct", "prompt": prompt})),
    call("/v1/embeddings", false, |prompt| json!({"model": "text-embedding-3-small", "input": prompt})),
    call("/v1/images/generations", false, |prompt| json!({"model": "gpt-image-1", "prompt": prompt})),
    call("/v1/audio/speech", false, |prompt| json!({"model": "tts-1", "input": prompt, "voice": "alloy"})),
    call("/v1/moderations", false, |prompt| json!({"model": "omni-moderation-latest", "input": prompt})),
    call("/v1/rerank", false, |prompt| json!({"model": "rerank-v3", "query": prompt, "documents": ["one"]})),
    call(
        "/v1/messages",
        true,
        |prompt| json!({"model": "gpt-4o", "max_tokens": 9, "messages": [{"role": "user", "content": prompt}]}),
    ),
    call("/v1/responses", true, |prompt| json!({"model": "gpt-4o", "input": prompt})),
    call("/v1beta/models/gpt-4o:generateContent", false, contents),
    call("/v1beta/models/gpt-4o:streamGenerateContent", true, contents),
    call(
        "/v1beta/models/text-embedding-3-small:embedContent",
        false,
        |prompt| json!({"content": {"parts": [{"text": prompt}]}}),
    ),
    call("/v1/images/edits", false, form),
    call("/v1/audio/transcriptions", false, form),
    call("/v1/audio/translations", false, form),
    call("/v1/files", false, form),
    call(
        "/openai/deployments/gpt-4o/chat/completions",
        true,
        |prompt| json!({"messages": [{"role": "user", "content": prompt}]}),
    ),
];

/// Calls that ask nobody, or only for what was made before.
const ASK_NOBODY: [&str; 5] = [
    "/v1/batches",
    "/v1/batches/{id}/cancel",
    "/v1/messages/count_tokens",
    "/v1/responses/input_tokens",
    "/v1/responses/{id}/cancel",
];

fn contents(prompt: &str) -> Value {
    json!({"contents": [{"role": "user", "parts": [{"text": prompt}]}]})
}

/// Stands for a form with a file, whose text this is.
fn form(prompt: &str) -> Value {
    prompt.into()
}

const BOUNDARY: &str = "a-line-that-no-file-holds";

impl Call {
    fn question(&self, stream: bool) -> Question {
        let question = Question::of("gpt-4o");
        let mut body = (self.body)(&question.prompt());
        if stream && !self.path.starts_with("/v1beta") {
            body["stream"] = true.into();
        }
        question.to(self.path, body)
    }

    /// Forms are written by hand: everything else is JSON.
    async fn send(&self, line: &mut Line, question: &Question, behind: &[u8]) {
        let Value::String(prompt) = question.body() else {
            line.send_with(question, behind).await;
            return;
        };
        let field = |name: &str, value: &str| {
            format!("--{BOUNDARY}\r\nContent-Disposition: form-data; name=\"{name}\"\r\n\r\n{value}\r\n")
        };
        let fields = [field("model", "gpt-4o"), field("purpose", "batch"), field("prompt", &prompt)].concat();
        let file = "Content-Disposition: form-data; name=\"file\"; filename=\"a.bin\"\r\n\r\nbytes\r\n";
        let body = format!("{fields}--{BOUNDARY}\r\n{file}--{BOUNDARY}--\r\n");
        let kind = format!("multipart/form-data; boundary={BOUNDARY}");
        let request = question.request_with(line.key(), &kind, body.into_bytes());
        line.send_as(question, &[request.bytes(), behind.to_vec()].concat()).await;
    }
}

/// How far the answer has come when the client leaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    BeforeTheHead,
    InABody,
    InAStream,
}

impl Phase {
    fn script(self, call: &Call) -> Script {
        match self {
            Self::BeforeTheHead => Script::silent(),
            Self::InABody => {
                Script::bytes(200, "application/json", "{\"id\":").header("Content-Length", "1000").then_stall()
            }
            Self::InAStream if call.path == "/v1/responses" => {
                Script::sse(&Dialect::Responses.begun(&["piece"])).then_stall()
            }
            Self::InAStream => {
                // As a chat and as a completion.
                let choice = json!({"index": 0, "delta": {"content": "piece"}, "text": "piece", "finish_reason": null});
                let chunk = json!({"id": "c-1", "object": "chat.completion.chunk", "choices": [choice]});
                Script::sse(&[format!("data: {chunk}\n\n")]).then_stall()
            }
        }
    }
}

/// One client that leaves. Milliseconds until the upstream saw it, since the client went.
async fn leave(stage: &Stage, a: &Upstream, call: &Call, phase: Phase, how: Leave, behind: &[u8]) -> f64 {
    let question = call.question(phase == Phase::InAStream);
    let asked = a.calls();
    a.next(phase.script(call));
    let mut line = stage.client.line().await;
    call.send(&mut line, &question, behind).await;
    let seen = a.call(asked + 1).await;
    if phase == Phase::InAStream {
        line.until("piece").await;
    }
    let left = line.leave(how).await;
    let took = seen.closed().await.saturating_duration_since(left);
    assert!(took < SOON, "{} {phase:?} {how:?}: the upstream was held for {took:?}", call.path);
    took.as_secs_f64() * 1000.0
}

/// So many clients in each phase of each call, by each way to leave, with and without a request behind. Milliseconds until
/// upstreams saw it.
async fn everybody_leaves(rounds: usize) -> Vec<f64> {
    let (stage, [a]) = Stage::with::<1>(&[("ORCHESTRATOR_ROUTING_STREAM_IDLE_TIMEOUT", "30")]).await;
    let behind = Request::get("/healthz").bytes();
    let mut took = Vec::new();
    for call in &CALLS {
        let stream = call.streams.then_some(Phase::InAStream);
        for phase in [Phase::BeforeTheHead, Phase::InABody].into_iter().chain(stream) {
            for how in [Leave::Close, Leave::Reset, Leave::HalfClose] {
                for behind in [&behind[..], &behind[..7], b""] {
                    for _ in 0..rounds {
                        took.push(leave(&stage, &a, call, phase, how, behind).await);
                    }
                }
            }
        }
    }
    stage.check().await;
    took
}

/// Says how long all but one in a hundred took at most, and all.
fn tell(mut took: Vec<f64>) -> (f64, f64) {
    let (middle, late, worst) = (quantile(&mut took, 0.5), quantile(&mut took, 0.99), quantile(&mut took, 1.0));
    let count = took.len();
    measured("disconnect", &format!("p50 {middle:.1} ms, p99 {late:.1} ms, longest {worst:.1} ms of {count} clients"));
    (late, worst)
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_leaves_in_any_phase_of_any_call_takes_the_upstream_with_it() {
    let (late, _) = tell(everybody_leaves(1).await);
    assert!(late <= 100.0, "{late} ms");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "thousands of clients, and a limit that only a quiet machine keeps"]
async fn a_client_that_leaves_is_noticed_within_a_tenth_of_a_second() {
    let (_, worst) = tell(everybody_leaves(20).await);
    assert!(worst <= 100.0, "{worst} ms");
}

#[tokio::test]
async fn every_call_that_asks_an_upstream_is_among_those_that_clients_leave() {
    let document = serde_json::to_value(llm_orchestrator::http::openapi()).unwrap();
    let of = |call: &Call| call.path.split_once("/models/").map_or(call.path, |_| "/v1beta/models/{id}").to_owned();
    let known: BTreeSet<String> =
        CALLS.iter().map(of).chain(ASK_NOBODY.iter().map(|path| (*path).to_owned())).collect();
    for (path, methods) in document["paths"].as_object().unwrap() {
        let is_call = methods["post"]["tags"] == json!(["client"]);
        assert!(!is_call || known.contains(path), "{path} is not among the calls that clients leave");
    }
}

#[tokio::test]
async fn a_hundred_readers_that_stop_reading_are_let_go_and_leave_nothing() {
    let (stage, [a]) = Stage::with::<1>(&[("ORCHESTRATOR_ROUTING_STREAM_IDLE_TIMEOUT", "30")]).await;
    let piece = Dialect::OpenAi.piece(&"x".repeat(100_000));
    let frames: Vec<String> = Dialect::OpenAi.preamble().into_iter().chain(vec![piece; 100]).collect();
    a.always(Script::sse(&frames).then_stall());
    let mut readers = Vec::new();
    for _ in 0..100 {
        let mut line = stage.client.narrow_line().await;
        line.send(&Question::of("gpt-4o").stream()).await;
        readers.push(line);
    }
    let mut longest = 0.0_f64;
    for number in 1..=100 {
        let seen = a.call(number).await;
        let closed = seen.closed().await;
        let stalled = seen.life().last_byte.unwrap_or(seen.at);
        longest = longest.max(closed.duration_since(stalled).as_secs_f64());
    }
    assert!(longest < 2.0 + 3.0 * SOON.as_secs_f64(), "a reader that does not read was kept for {longest} s");
    measured("write_stall", &format!("{longest:.1} s with a limit of 2 s"));
    drop(readers);
    a.heal();
    stage.check().await;
}

#[tokio::test]
#[ignore = "takes minutes by itself"]
async fn readers_that_sip_hold_the_upstream_back_and_little_memory() {
    let (stage, [a]) = Stage::with::<1>(&[("ORCHESTRATOR_ROUTING_STREAM_MAX_DURATION", "60")]).await;
    let piece = Dialect::OpenAi.piece(&"x".repeat(10_000));
    let frames: Vec<String> = Dialect::OpenAi.preamble().into_iter().chain(vec![piece; 2000]).collect();
    a.always(Script::sse(&frames).then_stall());
    let before = harness::vitals::Vitals::of(stage.gateway.pid()).memory;
    let mut readers = tokio::task::JoinSet::new();
    for _ in 0..200 {
        let mut line = stage.client.narrow_line().await;
        line.send(&Question::of("gpt-4o").stream()).await;
        readers.spawn(async move { line.raw().sip(1024, Duration::from_secs(1), 20 << 10).await });
    }
    tokio::time::sleep(Duration::from_secs(10)).await;
    let grown = harness::vitals::Vitals::of(stage.gateway.pid()).memory.saturating_sub(before);
    let written = a.seen().iter().map(|seen| seen.life().writes).max().unwrap_or(0);
    measured("slow_readers", &format!("{} KB a stream for 200 readers of 1 KB a second", grown / 200 / 1024));
    assert!(written < 2000, "the upstream was held back: {written} of 2000 events went out");
    assert!(grown < 64 << 20, "{grown} bytes");
    readers.shutdown().await;
    a.heal();
    stage.check().await;
}
