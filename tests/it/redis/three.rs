//! Three gateways that hold one limit together, while their Redis dies, hangs and is slow.

use std::time::{Duration, Instant};

use super::{cache_status, failures};
use crate::support::{Gateway, Redis, Request, Upstream, Way, gateway::question, way::Trouble};

/// Requests of one key in any sixty seconds.
const LIMIT: u64 = 20;

/// Longer than a busy machine makes an answer of Redis take.
const PATIENT: (&str, &str) = ("ORCHESTRATOR_REDIS_TIMEOUT", "2");
const SLOW: Duration = Duration::from_secs(5);

/// Requests of each gateway in one go: more than the limit.
const AT_ONCE: u64 = 2 * LIMIT;

/// What happens to Redis.
#[derive(Clone, Copy, Debug)]
enum Fate {
    Dies,
    Hangs,
    IsSlow,
}

struct Stage {
    redis: Redis,
    way: Way,
    gateways: [Gateway; 3],
    _upstream: Upstream,
}

/// A key of the configuration.
fn key(number: usize) -> String {
    format!("sk-of-the-three-gateways-{number:04}")
}

impl Stage {
    async fn set() -> Option<Self> {
        let redis = Redis::start().await?;
        let way = Way::to(redis.address()).await;
        let upstream = Upstream::start("a").await;
        let (url, per_minute) = (format!("redis://{}/0", way.address()), LIMIT.to_string());
        let keys = (0..6).map(key).collect::<Vec<_>>().join(",");
        let settings = [
            ("ENABLE_RATE_LIMITING", "true"),
            ("RATE_LIMIT_PER_MINUTE", per_minute.as_str()),
            ("API_KEYS", keys.as_str()),
            PATIENT,
        ];
        let start = || super::gateway(&url, &upstream, &settings);
        let (a, b, c) = tokio::join!(start(), start(), start());
        let stage = Self { redis, way, gateways: [a, b, c], _upstream: upstream };
        stage.all_are("healthy").await;
        Some(stage)
    }

    async fn all_are(&self, status: &str) {
        for gateway in &self.gateways {
            cache_status(gateway, status).await;
        }
    }

    async fn befalls(&mut self, fate: Fate) {
        match fate {
            Fate::Dies => self.redis.kill(),
            Fate::Hangs => self.redis.freeze(),
            Fate::IsSlow => self.way.has(Trouble { delay: SLOW, ..Trouble::default() }),
        }
    }

    async fn is_over(&mut self, fate: Fate) {
        match fate {
            Fate::Dies => self.redis.restart().await,
            Fate::Hangs => self.redis.thaw(),
            Fate::IsSlow => self.way.heals(),
        }
        self.all_are("healthy").await;
    }

    /// Has all gateways asked at once, so often that each could use the limit up, and says how many each admitted. Nothing
    /// else than 429 happens to the others.
    async fn admitted(&self, key: &str) -> [u64; 3] {
        let ask = async |gateway: &Gateway| {
            let request = || Request::post("/v1/chat/completions", &question("gpt-4o")).bearer(key);
            let asking = (0..AT_ONCE).map(|_| gateway.send(request()));
            let replies = futures_util::future::join_all(asking).await;
            let refused = replies.iter().filter(|reply| reply.status == 429).count() as u64;
            for reply in replies.iter().filter(|reply| reply.status != 429) {
                reply.assert_ok();
            }
            AT_ONCE - refused
        };
        let [a, b, c] = &self.gateways;
        let (a, b, c) = tokio::join!(ask(a), ask(b), ask(c));
        [a, b, c]
    }

    async fn failures(&self) -> u32 {
        let mut all = 0;
        for gateway in &self.gateways {
            all += failures(gateway).await;
        }
        all
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whatever_befalls_redis_three_gateways_admit_no_more_than_each_alone_may_and_are_exact_again_after_it() {
    let Some(mut stage) = Stage::set().await else { return };
    for (number, fate) in [Fate::Dies, Fate::Hangs, Fate::IsSlow].into_iter().enumerate() {
        let (old, new) = (key(2 * number), key(2 * number + 1));
        let began = Instant::now();
        let mut all = [0; 3];
        let mut count = |more: [u64; 3]| {
            all = std::array::from_fn(|at| all[at] + more[at]);
            all
        };
        assert_eq!(count(stage.admitted(&old).await).iter().sum::<u64>(), LIMIT, "before Redis {fate:?}");
        stage.befalls(fate).await;
        // The first ones find out, and everybody is answered all the same.
        count(stage.admitted(&old).await);
        stage.all_are("unhealthy").await;
        let alone = count(stage.admitted(&old).await);
        stage.is_over(fate).await;
        let after = count(stage.admitted(&old).await);
        // What was admitted first is forgotten after a minute, and only then is there room for more.
        let minutes = began.elapsed().as_secs() / 60;
        if minutes == 0 {
            assert_eq!(alone, [LIMIT; 3], "alone, each goes by its own limit: Redis {fate:?}");
            assert_eq!(after, alone, "nothing is given twice after Redis {fate:?}");
        }
        assert!(
            after.iter().all(|count| *count <= LIMIT * (minutes + 1)),
            "{after:?} in {minutes} min: Redis {fate:?}"
        );
        let failed = stage.failures().await;
        assert_eq!(stage.admitted(&new).await.iter().sum::<u64>(), LIMIT, "after Redis {fate:?}");
        assert_eq!(stage.failures().await, failed, "the machine was too busy for this test");
    }
}
