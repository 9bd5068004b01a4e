//! In which order a request's targets are asked, as things are now.

use tokio::time::Instant;

use crate::{
    app::App,
    chance,
    config::Choice,
    routing::{self, Groups, Policy, Target},
};

/// Puts those who may serve a request of so many tokens in their order.
pub fn plan(app: &App, groups: Groups, tokens: u64, stream: bool) -> Vec<Target> {
    let now = Instant::now();
    let cost = |target: &Target| target.provider.health.paces.of(&target.model, stream).cost(now);
    let policy = match app.config.routing.policy {
        Choice::Weighted => Policy::Weighted,
        Choice::LeastLatency => Policy::LeastLatency(&cost),
    };
    routing::order(groups, |target| target.admission(tokens), policy, &mut chance::lots())
}
