//! Three gateways on one PostgreSQL server and one Redis server, with clients that never stop asking, while things change and
//! break. What is measured is printed: the figures on the page about clusters come from here.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use super::{
    agree, node,
    spreading::{ask, what_one_is_told_holds_on_all_within_a_second},
};
use crate::{
    faults::measured,
    store::postgres::Server,
    support::{Gateway, Redis, Upstream, Way, eventually, way::Trouble},
};

/// Clients of each gateway, and their rest between two requests.
const CLIENTS: usize = 3;
const REST: Duration = Duration::from_millis(10);

/// How long each piece of trouble lasts.
const WITHOUT_REDIS: Duration = Duration::from_secs(3);
const WITHOUT_POSTGRES: Duration = Duration::from_secs(20);

/// A limit that nobody reaches, so that Redis is asked all the same.
const LIMITED: [(&str, &str); 2] = [("ENABLE_RATE_LIMITING", "true"), ("RATE_LIMIT_PER_MINUTE", "1000000")];

/// Clients that ask all three without end, and what they waited.
struct Load {
    asking: JoinSet<u64>,
    stop: Arc<AtomicBool>,
    waits: Arc<Mutex<Vec<Duration>>>,
}

impl Load {
    fn start(nodes: &Arc<[Gateway; 3]>) -> Self {
        let (stop, waits) = (Arc::<AtomicBool>::default(), Arc::<Mutex<Vec<Duration>>>::default());
        let mut asking = JoinSet::new();
        for number in 0..CLIENTS * nodes.len() {
            let (nodes, stop, waits) = (nodes.clone(), stop.clone(), waits.clone());
            asking.spawn(async move {
                let mut asked = 0;
                while !stop.load(Ordering::Relaxed) {
                    let reply = nodes[number % nodes.len()].ask("gpt-4o").await;
                    waits.lock().unwrap().push(reply.assert_ok().elapsed);
                    asked += 1;
                    tokio::time::sleep(REST).await;
                }
                asked
            });
        }
        Self { asking, stop, waits }
    }

    /// Says what clients waited since the last phase ended. Fails if nobody was answered.
    fn ends(&self, phase: &str) {
        let mut waits = std::mem::take(&mut *self.waits.lock().unwrap());
        waits.sort_unstable();
        let share = |percent: usize| waits[(waits.len() * percent / 100).min(waits.len() - 1)];
        assert!(!waits.is_empty(), "nobody was answered: {phase}");
        println!(
            "{phase}: {} answers, half within {:?}, 99 % within {:?}, all within {:?}",
            waits.len(),
            share(50),
            share(99),
            share(100)
        );
    }

    /// Ends it. Says how many requests there were; each was answered well.
    async fn stop(self) -> u64 {
        self.stop.store(true, Ordering::Relaxed);
        self.asking.join_all().await.into_iter().sum()
    }
}

async fn three(database: &str, redis: &str, settings: &[(&str, &str)]) -> Arc<[Gateway; 3]> {
    let settings = [&[("REDIS_URL", redis)], settings].concat();
    let start = async || node(database, &settings).await;
    let (a, b, c) = tokio::join!(start(), start(), start());
    Arc::new([a, b, c])
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn under_load_what_one_of_three_is_told_holds_on_all_and_limits_are_exact() {
    let (Some(server), Some(redis)) = (Server::start().await, Redis::start().await) else { return };
    // A wait for Redis that a busy machine does not pass by itself.
    let patient = [LIMITED[0], LIMITED[1], ("ORCHESTRATOR_REDIS_TIMEOUT", "10")];
    let nodes = three(&server.database().await, &redis.url(), &patient).await;
    let told = &nodes[0];
    let upstream = Upstream::start("always").await;
    upstream.lists(&["gpt-4o"]);
    told.provider("always", "openai", &upstream, json!({})).await;
    agree(&nodes.each_ref()).await;
    let load = Load::start(&nodes);
    measured("spread_under_load", &what_one_is_told_holds_on_all_within_a_second(&nodes).await);
    load.ends("while things changed");
    load.stop().await;

    let made = told.admin("POST", "/admin/keys", json!({"name": "hasty", "requests_per_minute": 100})).await.json();
    agree(&nodes.each_ref()).await;
    assert_exactly(100, 1000, &nodes, made["key"].as_str().unwrap()).await;
}

/// Sends so many requests at once over all gateways, of which the key's limit lets only the first few in.
async fn assert_exactly(limit: usize, requests: usize, nodes: &Arc<[Gateway; 3]>, key: &str) {
    let began = Instant::now();
    let mut asking = JoinSet::new();
    for number in 0..requests {
        let (request, address) = (ask(key, "gpt-4o"), nodes[number % nodes.len()].address());
        asking.spawn(async move { request.send(address).await.status });
    }
    let statuses = asking.join_all().await;
    let count = |status: u16| statuses.iter().filter(|found| **found == status).count();
    println!("{requests} requests at once against {limit} a minute: {} admitted in {:?}", count(200), began.elapsed());
    assert_eq!((count(200), count(429)), (limit, requests - limit));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn no_client_of_three_notices_that_redis_or_postgresql_is_away_and_every_request_is_accounted_for() {
    let (Some(server), Some(mut redis)) = (Server::start().await, Redis::start().await) else { return };
    let way = Way::to(redis.address()).await;
    let nodes = three(&server.database().await, &format!("redis://{}/0", way.address()), &LIMITED).await;
    let a = Upstream::start("a").await;
    a.lists(&["gpt-4o"]);
    nodes[0].provider("a", "openai", &a, json!({})).await;
    agree(&nodes.each_ref()).await;
    let load = Load::start(&nodes);
    tokio::time::sleep(WITHOUT_REDIS).await;
    load.ends("all is well");

    redis.kill();
    tokio::time::sleep(WITHOUT_REDIS).await;
    load.ends("Redis killed");
    redis.restart().await;
    redis.freeze();
    tokio::time::sleep(WITHOUT_REDIS).await;
    load.ends("Redis frozen");
    redis.thaw();
    way.has(Trouble { delay: Duration::from_millis(200), ..Trouble::default() });
    tokio::time::sleep(WITHOUT_REDIS).await;
    load.ends("Redis slow by 200 ms");
    way.heals();

    if server.stop() {
        tokio::time::sleep(WITHOUT_POSTGRES).await;
        server.resume();
        load.ends("PostgreSQL killed for 20 s");
    }
    if server.freeze() {
        tokio::time::sleep(WITHOUT_POSTGRES).await;
        server.thaw();
        load.ends("PostgreSQL frozen for 20 s");
    }
    let asked = load.stop().await;
    let began = Instant::now();
    let (stored, dropped) =
        eventually("every row to be stored or dropped", async || accounted(&nodes, asked).await).await;
    println!("{asked} requests: {stored} rows stored, {dropped} dropped, all {:?} after the last", began.elapsed());
    assert_eq!(stored + dropped, asked);
}

/// Rows that are stored and those that were dropped, once they are as many as were asked for.
async fn accounted(nodes: &[Gateway; 3], asked: u64) -> Option<(u64, u64)> {
    let (mut stored, mut dropped) = (0, 0);
    for node in nodes {
        let reply = node.admin("GET", "/admin/stats", Value::Null).await;
        let stats = (reply.status == 200).then(|| reply.json())?;
        stored = stats["total_requests"].as_u64()?;
        dropped += stats["dropped_log_rows"].as_u64()?;
    }
    (stored + dropped >= asked).then_some((stored, dropped))
}
