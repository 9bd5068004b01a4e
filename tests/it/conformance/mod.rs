//! Every recorded exchange of a provider, asked for through the gateway as a chat client would.
//!
//! The recordings are not part of this repository: `CONFORMANCE_FIXTURES` names the folder that holds them, with the program
//! that replays them. Without it these tests pass and say that they were skipped.

mod binary;
mod compare;
mod fixture;
mod from_anthropic;
mod from_bedrock;
mod from_gemini;
mod from_responses;
mod replay;

use std::collections::BTreeMap;

use serde_json::{Value, json};

use self::{
    fixture::{Fixture, Vendor, Wire},
    replay::Replay,
};
use crate::support::{Gateway, Reply, gateway::chat};

/// Recordings whose answer cannot be what the recording says, and why.
const EXPLAINED: &[(&str, &str)] = &[
    ("doc-ge-partial-args", "the recording lists the pieces of a call, which are one call"),
    ("doc-vx-partial-args-nested", "the recording lists the pieces of a call, which are one call"),
    ("brc-parallel-tool-calls-9c934", "the recording's reader took a tool that ran at the provider for the client's"),
    (
        "brs-parallel-tool-calls-stream-70f68",
        "the recording's reader took a tool that ran at the provider for the client's",
    ),
    ("brc-tool-result-a6784", "the recording's reader did not look into blocks with citations"),
    ("brs-error-400-28781", "a model that the provider does not know is 404 here, so that another may be asked"),
    ("or-reasoning-49c23", "the recording runs the parts of a summary together"),
    ("or-reasoning-stream-cc93d", "the recording runs the parts of a summary together"),
    ("openrouter-pdf-91460", "OpenAI itself serves this model in the newer protocol only"),
    ("oc-error-400-b5070", "the recorded request has a second fault, which is refused before it is sent"),
];

fn explained(id: &str) -> Option<&'static str> {
    EXPLAINED.iter().find(|(known, _)| *known == id).map(|(_, why)| *why)
}

/// How a request names its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    /// The recorded name with the recording's id behind it, so that rules on names apply.
    Recorded,
    /// The recording's id alone: a name that no rule knows.
    Unknown,
}

#[tokio::test]
async fn every_recording_is_answered_as_its_provider_answered() {
    answers(Naming::Recorded).await;
}

#[tokio::test]
async fn every_recording_is_answered_under_a_name_that_no_rule_knows() {
    answers(Naming::Unknown).await;
}

async fn answers(naming: Naming) {
    let Some(folder) = std::env::var_os("CONFORMANCE_FIXTURES") else {
        println!("skipped: CONFORMANCE_FIXTURES is not set");
        return;
    };
    let fixtures = fixture::load(folder.as_ref());
    let settings = [("HEALTH_CHECK_MAX_ERRORS", "1000"), ("HEALTH_CHECK_ENABLED", "false")];
    let stage = Stage { gateway: Gateway::with(&settings).await, replay: Replay::start(folder.as_ref()).await };
    let mut misses = BTreeMap::new();
    for fixture in &fixtures {
        let found = stage.ask(fixture, naming).await;
        if !found.is_empty() {
            misses.insert(fixture.id.clone(), found);
        }
    }
    stage.check_rows(&fixtures, &mut misses).await;
    report(&fixtures, &misses);
    let unexplained: Vec<&String> = misses.keys().filter(|id| explained(id).is_none()).collect();
    assert!(unexplained.is_empty(), "{} of {} recordings: {unexplained:#?}", unexplained.len(), fixtures.len());
}

struct Stage {
    gateway: Gateway,
    replay: Replay,
}

impl Stage {
    /// Asks for one recording and returns what is wrong with the answer. Each has a provider of its own, so that one that
    /// fails or rests does not stand in the way of the next.
    async fn ask(&self, fixture: &Fixture, naming: Naming) -> Vec<String> {
        let name = format!("p-{}", fixture.id);
        let provider = self.provider(fixture, &name).await;
        let model = match naming {
            Naming::Recorded => format!("{}.fx-{}", fixture.model, fixture.id),
            Naming::Unknown => format!("fx-{}", fixture.id),
        };
        let mut body = fixture.chat_request();
        if fixture.stream {
            body["stream_options"] = json!({"include_usage": true});
        }
        body["model"] = json!(model);
        let (direct, recorded_violations) = self.direct(fixture, &body, &model).await;
        body["model"] = json!(format!("{name}:{model}"));
        let request = chat(&body).header("X-Request-ID", &fixture.request_id());
        let reply = self.gateway.send(request).await;
        let mut wrong = self.violations(&recorded_violations).await;
        match fixture.wire {
            Wire::Chat => compare::same_protocol(fixture, &reply, &direct, &mut wrong),
            _ => compare::translated(fixture, &reply, &mut wrong),
        }
        self.gateway.admin("DELETE", &provider, Value::Null).await;
        wrong
    }

    /// Creates a provider and returns its path in the admin API.
    async fn provider(&self, fixture: &Fixture, name: &str) -> String {
        let url = self.replay.url();
        let (kind, base) = match (fixture.vendor, fixture.wire) {
            (Some(Vendor::Azure), _) => ("azure", url),
            (Some(Vendor::AzureModels), _) => ("azure", format!("{url}/models")),
            (Some(Vendor::Vertex), _) => ("vertex", url),
            (None, Wire::Chat | Wire::Responses) => ("openai", format!("{url}/v1")),
            (None, Wire::Anthropic) => ("anthropic", url),
            (None, Wire::Gemini) => ("gemini", url),
            (None, Wire::Bedrock | Wire::BedrockInvoke) => ("bedrock", url),
        };
        let mut body = json!({"name": name, "type": kind, "base_url": base, "api_key": "sk-replay", "max_retries": 0});
        if fixture.vendor == Some(Vendor::Vertex) {
            body["options"] = json!({"project": "recorded"});
        }
        match fixture.wire {
            Wire::Bedrock => body["protocols"] = json!(["bedrock_converse"]),
            Wire::BedrockInvoke => body["protocols"] = json!(["anthropic"]),
            Wire::Responses => body["protocols"] = json!(["openai_responses"]),
            Wire::Chat | Wire::Responses | Wire::Anthropic | Wire::Gemini => {}
        }
        let reply = self.gateway.admin("POST", "/admin/providers", body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        self.replay.requests().await;
        format!("/admin/providers/{}", reply.json()["id"])
    }

    /// Asks the replay itself: for the answer's bytes, and for what is wrong with the recorded request already.
    async fn direct(&self, fixture: &Fixture, chat_body: &Value, model: &str) -> (Reply, Vec<String>) {
        let (path, body) = match fixture.wire {
            Wire::Chat => ("/v1/chat/completions".to_owned(), chat_body.clone()),
            Wire::Anthropic => {
                let mut body = fixture.body.clone();
                body["model"] = json!(model);
                ("/v1/messages".to_owned(), body)
            }
            Wire::Responses => {
                let mut body = fixture.body.clone();
                body["model"] = json!(model);
                ("/v1/responses".to_owned(), body)
            }
            Wire::Gemini => {
                let method = if fixture.stream { "streamGenerateContent?alt=sse" } else { "generateContent" };
                (format!("/v1beta/models/{model}:{method}"), fixture.body.clone())
            }
            Wire::Bedrock | Wire::BedrockInvoke => {
                let action = match (fixture.wire == Wire::Bedrock, fixture.stream) {
                    (true, false) => "converse",
                    (true, true) => "converse-stream",
                    (false, false) => "invoke",
                    (false, true) => "invoke-with-response-stream",
                };
                (format!("/model/{model}/{action}"), fixture.body.clone())
            }
        };
        let reply = self.replay.ask(&path, &body).await;
        let violations = self.replay.requests().await.last().map(replay::refusals).unwrap_or_default();
        (reply, violations)
    }

    /// What a provider would have refused of the requests that the gateway sent, and of the recorded one would not.
    async fn violations(&self, recorded: &[String]) -> Vec<String> {
        let requests: Vec<Value> =
            self.replay.requests().await.into_iter().filter(|request| request["method"] == "POST").collect();
        let mut wrong: Vec<String> = requests.iter().flat_map(replay::refusals).collect();
        wrong.retain(|violation| !recorded.contains(violation));
        if requests.len() != 1 {
            wrong.push(format!("{} requests reached the provider", requests.len()));
        }
        wrong
    }

    /// Compares the tokens in the log with those recorded.
    async fn check_rows(&self, fixtures: &[Fixture], misses: &mut BTreeMap<String, Vec<String>>) {
        let rows = self.rows(fixtures.len()).await;
        for fixture in fixtures {
            let found: Vec<&Value> = rows.iter().filter(|row| row["request_id"] == fixture.request_id()).collect();
            let wrong = match found[..] {
                [row] => compare::row(fixture, row),
                _ => vec![format!("{} log rows", found.len())],
            };
            if !wrong.is_empty() {
                misses.entry(fixture.id.clone()).or_default().extend(wrong);
            }
        }
    }

    async fn rows(&self, count: usize) -> Vec<Value> {
        crate::support::eventually("all log rows", async || {
            let page = self.gateway.admin_get("/admin/logs?page_size=1").await;
            (page["total"].as_u64()? >= count as u64).then_some(())
        })
        .await;
        let mut rows = Vec::new();
        for page in 1..=count.div_ceil(100) {
            let page = self.gateway.admin_get(&format!("/admin/logs?page={page}&page_size=100")).await;
            rows.extend(page["logs"].as_array().cloned().unwrap_or_default());
        }
        rows
    }
}

/// Prints how much of each feature of each wire passed, and every miss.
fn report(fixtures: &[Fixture], misses: &BTreeMap<String, Vec<String>>) {
    let mut table: BTreeMap<(String, &str), (usize, usize)> = BTreeMap::new();
    for fixture in fixtures {
        let wire = format!("{:?}", fixture.wire);
        for key in [(wire.clone(), fixture.feature.as_str()), (wire, "~ all")] {
            let (passed, total) = table.entry(key).or_default();
            *total += 1;
            *passed += usize::from(!misses.contains_key(&fixture.id));
        }
    }
    for ((wire, feature), (passed, total)) in &table {
        println!("{wire:10} {feature:40} {passed:4}/{total}{}", if passed == total { "" } else { "  <--" });
    }
    for (id, wrong) in misses {
        println!("{id}: {}", explained(id).unwrap_or("MISS"));
        for line in wrong {
            println!("    {line}");
        }
    }
    for (id, _) in EXPLAINED.iter().filter(|(id, _)| !misses.contains_key(*id)) {
        println!("{id} is explained, but passes");
    }
}
