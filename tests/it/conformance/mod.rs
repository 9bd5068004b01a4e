//! Every recorded exchange of a provider, asked for through the gateway as a client of each protocol would.
//!
//! The recordings are not part of this repository: `CONFORMANCE_FIXTURES` names the folder that holds them, with the program
//! that replays them. Without it these tests pass and say that they were skipped.

mod binary;
mod client;
mod compare;
mod exceptions;
mod fixture;
mod from_anthropic;
mod from_bedrock;
mod from_gemini;
mod from_responses;
mod overlooked;
mod provider;
mod reader;
mod replay;
mod table;

use std::{collections::BTreeMap, path::Path};

use futures_util::{StreamExt, future::join_all, stream};
use serde_json::Value;

use self::{client::Client, exceptions::explained, fixture::Fixture, replay::Replay, table::Table};
use crate::support::{Gateway, Reply};

/// So many recordings are asked for at once by each client.
const AT_ONCE: usize = 6;

/// What was wrong, by recording.
type Misses = BTreeMap<String, Vec<String>>;

/// How a request names its model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Naming {
    /// The recorded name with the recording's id behind it, so that rules on names apply.
    Recorded,
    /// The recording's id alone: a name that no rule knows.
    Unknown,
}

impl Naming {
    const ALL: [Self; 2] = [Self::Recorded, Self::Unknown];

    fn model(self, fixture: &Fixture) -> String {
        match self {
            Self::Recorded => format!("{}.fx-{}", fixture.model, fixture.id),
            Self::Unknown => format!("fx-{}", fixture.id),
        }
    }

    fn request_id(self, fixture: &Fixture) -> String {
        format!("{self:?}-{}", fixture.id)
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn every_client_is_answered_as_every_provider_answered() {
    let Some(folder) = std::env::var_os("CONFORMANCE_FIXTURES") else {
        println!("skipped: CONFORMANCE_FIXTURES is not set");
        return;
    };
    let fixtures = fixture::load(folder.as_ref());
    let found = join_all(Client::ALL.map(|client| ask_all(client, &fixtures, folder.as_ref()))).await;
    let (mut table, mut exceptions, mut unexplained) = (Table::default(), Vec::new(), Vec::new());
    for (client, misses) in Client::ALL.into_iter().zip(&found) {
        for fixture in fixtures.iter().filter(|fixture| client.asks(fixture)) {
            let answer = if fixture.stream { "stream" } else { "whole" };
            let row = [fixture.wire.name(), fixture.provider.as_str(), answer];
            table.count(row, client, !misses.contains_key(&fixture.id));
        }
        for (id, wrong) in misses {
            let who = format!("{id}, asked for by {}", client.id().as_str());
            println!("{who}: {}", explained(client, id).unwrap_or("MISS"));
            wrong.iter().for_each(|line| println!("    {line}"));
            match explained(client, id) {
                Some(why) => exceptions.push((who, why)),
                None => unexplained.push(who),
            }
        }
        println!("{}: {:?}", client.id().as_str(), table.total(client));
    }
    let passing = exceptions::all().filter(|(client, id)| !found[*client as usize].contains_key(*id));
    let passing: Vec<_> = passing.collect();
    let document = table.document(&exceptions);
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(table::path(), &document).expect("the table can be written");
    }
    let written = std::fs::read_to_string(table::path()).unwrap_or_default();
    assert_eq!(table.worse_than(&written), [""; 0], "less passes than {} says", table::path().display());
    assert!(unexplained.is_empty(), "{} recordings: {unexplained:#?}", unexplained.len());
    assert!(passing.is_empty(), "explained, but they pass: {passing:#?}");
}

async fn ask_all(client: Client, fixtures: &[Fixture], folder: &Path) -> Misses {
    let gateway = Gateway::with(&[("HEALTH_CHECK_MAX_ERRORS", "1000"), ("HEALTH_CHECK_ENABLED", "false")]).await;
    let fixtures: Vec<&Fixture> = fixtures.iter().filter(|fixture| client.asks(fixture)).collect();
    let stage = Stage { client, gateway, replay: Replay::start(folder).await };
    // Recordings share the ids of what a provider keeps, and the gateway remembers who that was: those that name one are asked
    // for before it has seen any.
    let (kept, rest): (Vec<&Fixture>, Vec<&Fixture>) = fixtures.iter().partition(|fixture| fixture.names_kept_state());
    let case = async |fixture: &Fixture| (fixture.id.clone(), stage.ask(fixture).await);
    let mut misses: Misses = stream::iter(kept).then(case).collect().await;
    misses.extend(stream::iter(rest).map(case).buffer_unordered(AT_ONCE).collect::<Misses>().await);
    misses.retain(|_, wrong| !wrong.is_empty());
    stage.check_requests(&fixtures, &mut misses).await;
    stage.check_rows(&fixtures, &mut misses).await;
    misses
}

struct Stage {
    client: Client,
    gateway: Gateway,
    replay: Replay,
}

impl Stage {
    /// Asks for one recording, under both names, and returns what is wrong with the answers. Each has a provider of its own,
    /// so that one that fails or rests does not stand in the way of the next.
    async fn ask(&self, fixture: &Fixture) -> Vec<String> {
        let name = format!("p-{}", fixture.id);
        let body = self.client.body(fixture);
        let provider = self.provider(fixture, &name).await;
        let direct = self.direct(fixture, &body).await;
        let mut wrong = Vec::new();
        for naming in Naming::ALL {
            let request = self.client.ask(fixture, &body, &format!("{name}:{}", naming.model(fixture)));
            let reply = self.gateway.send(request.header("X-Request-ID", &naming.request_id(fixture))).await;
            let mut found = Vec::new();
            // Some of Google's streams were recorded as arrays, and are asked for as events.
            let same = self.client.speaks(fixture) && direct.is_stream() == (fixture.stream && direct.status < 400);
            match same {
                true => compare::same_protocol(self.client, fixture, &reply, &direct, &mut found),
                false => compare::translated(self.client, fixture, &reply, &direct, &mut found),
            }
            wrong.extend(found.into_iter().map(|line| format!("{naming:?}: {line}")));
        }
        self.gateway.admin("DELETE", &provider, Value::Null).await;
        wrong
    }

    /// Creates a provider and returns its path in the admin API.
    async fn provider(&self, fixture: &Fixture, name: &str) -> String {
        let body = provider::body(fixture, name, &self.replay.url());
        let reply = self.gateway.admin("POST", "/admin/providers", body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        format!("/admin/providers/{}", reply.json()["id"])
    }

    /// Asks the replay itself for the answer's bytes.
    async fn direct(&self, fixture: &Fixture, body: &Value) -> Reply {
        let own = if self.client.speaks(fixture) { body } else { &fixture.body };
        let (path, body) = replay::call(fixture, own, &Naming::Recorded.model(fixture));
        self.replay.ask(&path, &body).await
    }

    /// Notes what a provider would have refused of the requests that the gateway sent, and of the recorded one, which was
    /// sent before them, would not.
    async fn check_requests(&self, fixtures: &[&Fixture], misses: &mut Misses) {
        let mut requests: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for request in self.replay.requests().await.into_iter().filter(|request| request["method"] == "POST") {
            requests.entry(request["fixture"].as_str().unwrap_or_default().to_owned()).or_default().push(request);
        }
        for fixture in fixtures {
            let wrong = violations(requests.remove(&fixture.id).unwrap_or_default());
            if !wrong.is_empty() {
                misses.entry(fixture.id.clone()).or_default().extend(wrong);
            }
        }
    }

    /// Compares the tokens in the log with those recorded.
    async fn check_rows(&self, fixtures: &[&Fixture], misses: &mut Misses) {
        let rows = self.rows(fixtures.len() * Naming::ALL.len()).await;
        for (fixture, naming) in fixtures.iter().flat_map(|fixture| Naming::ALL.map(|naming| (fixture, naming))) {
            let wrong = match rows.get(&naming.request_id(fixture)).map(Vec::as_slice) {
                Some([row]) => compare::row(fixture, row),
                rows => vec![format!("{} log rows", rows.map_or(0, <[Value]>::len))],
            };
            if !wrong.is_empty() {
                misses.entry(fixture.id.clone()).or_default().extend(wrong);
            }
        }
    }

    /// The log's rows by request.
    async fn rows(&self, count: usize) -> BTreeMap<String, Vec<Value>> {
        crate::support::eventually("all log rows", async || {
            let page = self.gateway.admin_get("/admin/logs?page_size=1").await;
            (page["total"].as_u64()? >= count as u64).then_some(())
        })
        .await;
        let mut rows: BTreeMap<String, Vec<Value>> = BTreeMap::new();
        for page in 1..=count.div_ceil(100) {
            let page = self.gateway.admin_get(&format!("/admin/logs?page={page}&page_size=100")).await;
            for row in page["logs"].as_array().into_iter().flatten() {
                let id = row["request_id"].as_str().unwrap_or_default();
                rows.entry(id.to_owned()).or_default().push(row.clone());
            }
        }
        rows
    }
}

/// What is wrong with the requests for one recording.
fn violations(mut requests: Vec<Value>) -> Vec<String> {
    requests.sort_by_key(|request| request["n"].as_u64());
    let (recorded, sent) =
        requests.split_first().map_or((Vec::new(), &[][..]), |(first, sent)| (replay::refusals(first), sent));
    let mut wrong: Vec<String> = sent.iter().flat_map(replay::refusals).collect();
    wrong.retain(|violation| !recorded.contains(violation));
    if sent.len() != Naming::ALL.len() {
        wrong.push(format!("{} requests reached the provider", sent.len()));
    }
    wrong
}
