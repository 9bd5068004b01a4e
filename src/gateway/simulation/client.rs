//! Simulated clients: what they ask for, how long they wait, and what they get.

use std::{sync::Arc, time::Duration};

use axum::http::HeaderMap;
use llm_protocol::ir::{ApiError, ErrorKind};
use rand::{RngExt, rngs::StdRng};
use tokio::time::{Instant, timeout, timeout_at};

use super::{scene::Scene, world::World};
use crate::{
    app::App,
    gateway::{
        drive::{Exchange, Patience, Until, drive},
        plan::plan,
        prepare::Unsaid,
        record::Record,
    },
    health::Outcome,
    limits::{Claim, Class, Estimate, Spent, Subject},
    routing::Target,
    upstream::late,
};

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Manner {
    Patient,
    /// What it asks for nobody can do.
    Wrong,
    /// It gives less time than any answer takes.
    Hasty,
    /// It leaves after so long.
    Leaving(Duration),
}

/// What became of a client's request.
#[derive(Clone, Debug, PartialEq)]
pub struct Visit {
    pub id: u64,
    pub manner: Manner,
    pub begun: Duration,
    pub ended: Duration,
    pub end: End,
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum End {
    Answered,
    Failed(ErrorKind),
    /// Its own limit was reached.
    Refused,
    Left,
}

impl Manner {
    pub fn draw(chance: &mut StdRng) -> Self {
        match chance.random_range(0..100) {
            0..8 => Self::Wrong,
            8..16 => Self::Hasty,
            16..24 => Self::Leaving(Duration::from_millis(chance.random_range(0..1500))),
            _ => Self::Patient,
        }
    }
}

/// One request, asked by the gateway's own failover.
struct Asking<'a> {
    world: &'a World,
    id: u64,
    manner: Manner,
}

impl Exchange for Asking<'_> {
    type Prepared = HeaderMap;
    type Reply = ();

    fn prepare(&mut self, _: &Target) -> Result<HeaderMap, Unsaid> {
        Ok(HeaderMap::new())
    }

    fn headers(prepared: &mut HeaderMap) -> &mut HeaderMap {
        prepared
    }

    fn tokens(&self) -> u64 {
        1
    }

    fn may_be_doubled(&self) -> bool {
        true
    }

    async fn send(&self, _: &App, target: &Target, _: &HeaderMap, until: Until) -> Result<(), ApiError> {
        let upstream = self.world.upstream(target.provider.id);
        let elsewhere = self.world.upstreams.iter().any(|other| other.runs(self.id));
        let before = self.world.upstreams.iter().any(|other| other.has_seen(self.id));
        let running = upstream.begin(self.id, target.provider.key_name(), before, elsewhere);
        let answer = upstream.answer(target, self.manner);
        let sent = timeout_at(until.answered, answer).await.unwrap_or_else(|_| Err(late()));
        running.ended(&sent);
        sent
    }
}

/// Comes in, asks, and goes.
pub async fn visit(app: Arc<App>, world: Arc<World>, id: u64, manner: Manner) -> Visit {
    let begun = world.elapsed();
    let stays = match manner {
        Manner::Leaving(after) => after,
        _ => Duration::from_secs(3600),
    };
    let end = timeout(stays, ask(&app, &world, id, manner)).await.unwrap_or(End::Left);
    Visit { id, manner, begun, ended: world.elapsed(), end }
}

async fn ask(app: &App, world: &World, id: u64, manner: Manner) -> End {
    let Scene { allowance, .. } = world.scene;
    let claims: &[Claim] = &[Claim { subject: Subject::Everyone, class: Class::Work, allowance }];
    let claims = if allowance.is_unlimited() { &[] } else { claims };
    let Ok(admission) = app.limits.admit(claims, Estimate::default()).await else { return End::Refused };
    let stream = id.is_multiple_of(2);
    let timeout = (manner == Manner::Hasty).then_some(Duration::from_millis(20));
    let groups = vec![world.upstreams.iter().map(super::upstream::Upstream::target).collect()];
    let began = Instant::now();
    let patience = Patience { timeout, retries: None, stream };
    let mut asking = Asking { world, id, manner };
    let won = drive(app, patience, plan(app, groups, 1, stream), &mut asking, &mut Record::default()).await;
    admission.settle(Spent::Tokens(0));
    match won {
        Ok(won) => {
            won.permit.settle(&Outcome::Success { latency: began.elapsed() });
            End::Answered
        }
        Err(error) => End::Failed(error.kind),
    }
}
