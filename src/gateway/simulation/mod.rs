//! The data plane in a world of its own: failover, health, budgets, limits, keys and hedges as they are, between simulated
//! providers and clients, with a clock that only they move and chance that follows from a seed.
//!
//! What a seed breaks it breaks again: `SIMULATION_SEED=17 cargo test --lib simulation`. How many are tried says
//! `SIMULATION_SEEDS`.

mod client;
mod rules;
mod scene;
mod upstream;
mod weather;
mod world;

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use tokio::runtime;

use self::{
    scene::Scene,
    world::{Story, World},
};
use super::Earned;
use crate::{
    app::App,
    chance::Luck,
    config::{Config, Environment},
    limits::Limits,
};

/// Seeds that are tried unless somebody says otherwise.
const SEEDS: u64 = 500;

/// A gateway of which nothing runs: what a simulation needs of it is what requests share.
fn gateway() -> Arc<App> {
    let folder = tempfile::tempdir().expect("a folder can be made");
    let database = format!("sqlite://{}/simulation.db", folder.path().display());
    let settings = [
        ("DATABASE_URL", database.as_str()),
        ("ORCHESTRATOR_AUTH_MASTER_KEY", "one-that-seals-nothing"),
        ("ORCHESTRATOR_AUTH_ADMIN_KEY", "an-admin-key-that-nobody-uses"),
        ("ORCHESTRATOR_AUTH_API_KEYS", "sk-nobody-has-this-one"),
    ];
    let config = Config::load_from(None, &Environment::from_iter(settings)).expect("the settings are right");
    let runtime = runtime::Builder::new_current_thread().enable_all().build().expect("there is room for it");
    let app = runtime.block_on(async {
        let (app, _) = App::start(config, ([127, 0, 0, 1], 1).into()).await.expect("it starts");
        app.stop(std::time::Duration::from_secs(5)).await;
        app
    });
    drop(runtime);
    app
}

/// Lives through what follows from a seed.
fn story(app: &mut Arc<App>, seed: u64) -> (Scene, Story) {
    let scene = Scene::draw(seed);
    let _luck = Luck::of(seed);
    let runtime = runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    let story = runtime.expect("there is room for it").block_on(async {
        let gateway = Arc::get_mut(app).expect("nothing of it runs");
        gateway.limits = Limits::new(None);
        gateway.hedges = Earned::default();
        gateway.config.routing.policy = scene.choice;
        gateway.config.hedging.enabled = scene.hedging.is_some();
        if let Some((share, percent)) = scene.hedging {
            (gateway.config.hedging.percentile, gateway.config.hedging.max_extra_percent) = (share, percent);
        }
        World::new(scene.clone()).live(app.clone()).await
    });
    (scene, story)
}

fn setting(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    Some(text.parse().unwrap_or_else(|_| panic!("{name} is no number")))
}

#[test]
fn no_seed_breaks_a_rule() {
    let seeds = match setting("SIMULATION_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..setting("SIMULATION_SEEDS").unwrap_or(SEEDS),
    };
    let (next, broken) = (AtomicU64::new(seeds.start), Mutex::new(Vec::new()));
    let work = || {
        let mut app = gateway();
        while let seed = next.fetch_add(1, Ordering::Relaxed)
            && seed < seeds.end
        {
            let (scene, story) = story(&mut app, seed);
            let found = rules::broken(&scene, &story);
            if !found.is_empty() {
                let told = format!("seed {seed}: {}\n{scene:?}", found.join("; "));
                broken.lock().unwrap_or_else(PoisonError::into_inner).push(told);
            }
        }
    };
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| (0..threads).for_each(|_| drop(scope.spawn(work))));
    let broken = broken.into_inner().unwrap_or_else(PoisonError::into_inner);
    let some: Vec<&str> = broken.iter().take(5).map(String::as_str).collect();
    assert!(broken.is_empty(), "{} of {seeds:?} break rules:\n{}", broken.len(), some.join("\n\n"));
}

#[test]
fn a_seed_tells_the_same_story_twice() {
    let mut app = gateway();
    for seed in 0..3 {
        assert_eq!(story(&mut app, seed).1, story(&mut app, seed).1, "seed {seed}");
    }
    assert_ne!(story(&mut app, 0).1, story(&mut app, 1).1);
}
