//! A world of providers and clients around the gateway's own machines, in which time passes only when all wait for it.

use std::{sync::Arc, time::Duration};

use llm_protocol::ir::ErrorKind;
use rand::{RngExt, SeedableRng, rngs::StdRng};
use tokio::{
    task::JoinSet,
    time::{Instant, interval, sleep, sleep_until},
};

use super::{
    client::{Manner, Visit, visit},
    scene::Scene,
    upstream::{Asked, Upstream},
};
use crate::{
    app::App,
    chance,
    health::{
        Admission, Health, State,
        probe::{self, Due},
    },
};

pub struct World {
    pub scene: Scene,
    pub upstreams: Vec<Upstream>,
    began: Instant,
}

/// All that happened.
#[derive(Debug, PartialEq)]
pub struct Story {
    pub visits: Vec<Visit>,
    pub upstreams: Vec<Past>,
}

/// What happened to one provider.
#[derive(Debug, PartialEq)]
pub struct Past {
    pub asked: Vec<Asked>,
    pub found_well: Vec<Duration>,
    /// Whether it may be asked only so much.
    pub is_limited: bool,
    pub ejections: u64,
    /// How it and each of its keys was once everything must have been as before.
    pub settled: (State, Vec<bool>),
    /// Retries that were still counted as running when nothing ran.
    pub held: usize,
}

impl World {
    pub fn new(scene: Scene) -> Self {
        let (began, health) = (Instant::now(), Health::new(scene.policy));
        let upstream = |(id, setup)| Upstream::new(id, setup, &health, began);
        Self { upstreams: scene.providers.iter().enumerate().map(upstream).collect(), scene, began }
    }

    pub fn upstream(&self, provider: i64) -> &Upstream {
        &self.upstreams[provider as usize]
    }

    pub fn elapsed(&self) -> Duration {
        self.began.elapsed()
    }

    /// Lets clients come and go until the end.
    pub async fn live(self, app: Arc<App>) -> Story {
        let world = Arc::new(self);
        let checking = tokio::spawn(check(app.clone(), world.clone()));
        let looking = tokio::spawn(look(world.clone()));
        let (mut chance, mut visits) = (StdRng::seed_from_u64(!world.scene.seed), JoinSet::new());
        let mut id = 0;
        while world.elapsed() < world.scene.end() {
            // Clients know nothing of each other: the times between them are exponential.
            let pause = -chance.random_range(f64::EPSILON..1.0_f64).ln() / world.scene.rate;
            sleep(Duration::from_secs_f64(pause)).await;
            visits.spawn(visit(app.clone(), world.clone(), id, Manner::draw(&mut chance)));
            id += 1;
        }
        let mut visits = visits.join_all().await;
        visits.sort_by_key(|visit| visit.id);
        checking.abort();
        let settled = looking.await.expect("it only looks");
        let past = |(upstream, settled): (&Upstream, (State, Vec<bool>))| Past {
            asked: upstream.asked().clone(),
            found_well: upstream.found_well.lock().expect("nobody panics").clone(),
            is_limited: upstream.setup.limit.is_some() || upstream.setup.rate_limit.is_some(),
            ejections: upstream.provider.health.view().ejections,
            settled,
            held: held(upstream),
        };
        Story { visits, upstreams: world.upstreams.iter().zip(settled).map(past).collect() }
    }
}

/// Asks providers how they are when the gateway would.
async fn check(app: Arc<App>, world: Arc<World>) {
    let (mut due, mut ticks) = (Due::default(), interval(probe::TICK));
    loop {
        ticks.tick().await;
        for (at, upstream) in world.upstreams.iter().enumerate() {
            if due.is_due(&app, &upstream.provider) {
                let world = world.clone();
                tokio::spawn(async move { ask_how_it_is(&world, &world.upstreams[at]).await });
            }
        }
    }
}

async fn ask_how_it_is(world: &World, upstream: &Upstream) {
    let whole = &upstream.provider;
    let Some(_checking) = whole.health.begin_check() else { return };
    let provider = whole.choose_key("", 0, &mut chance::lots());
    let Some(permit) = provider.admit(false) else { return };
    let (began, mut target) = (Instant::now(), upstream.target());
    target.provider = provider.clone();
    let answer = tokio::time::timeout(upstream.setup.timeout, upstream.answer(&target, Manner::Patient)).await;
    let error = answer.unwrap_or_else(|_| Err(crate::upstream::late())).err();
    // Who has too much to do is there.
    if error.as_ref().is_none_or(|error| error.kind == ErrorKind::RateLimited) {
        upstream.found_well.lock().expect("nobody panics").push(world.elapsed());
    }
    probe::note(whole, &provider, permit, began.elapsed(), error.as_ref());
}

/// How everybody is once everything must be as it was.
async fn look(world: Arc<World>) -> Vec<(State, Vec<bool>)> {
    sleep_until(world.began + world.scene.settled()).await;
    let now = Instant::now();
    // Who is just being probed is left out by all others until now.
    let ready = |admission: Admission| match admission {
        Admission::Yes | Admission::Spent(_) => true,
        Admission::Resting(until) | Admission::Ejected(until) => until <= now,
    };
    let of = |upstream: &Upstream| {
        let keys = upstream.provider.accounts.iter().filter_map(|key| key.account.as_ref());
        let keys = keys.map(|account| ready(account.health.admission()));
        (upstream.provider.health.view().state, keys.chain([ready(upstream.provider.admission())]).collect())
    };
    world.upstreams.iter().map(of).collect()
}

/// Who takes all retries that there are, gives them back and takes again gets exactly those that are always free.
fn held(upstream: &Upstream) -> usize {
    let budget = &upstream.provider.health.retries;
    let all = || std::iter::from_fn(|| budget.take()).collect::<Vec<_>>();
    drop(all());
    3 - all().len().min(3)
}
