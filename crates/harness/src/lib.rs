//! What the tests of the whole program stand on: upstreams that fail in every way there is, clients without manners,
//! networks that lose, slow down and cut, and one check of what must hold whatever happens.
//!
//! | module | what |
//! |---|---|
//! | [`upstream`], [`script`], [`scenario`], [`canned`] | providers on raw sockets: what they answer, how they break, what they saw |
//! | [`client`], [`visits`] | clients on raw sockets, and what became of their requests |
//! | [`way`] | a TCP proxy that delays, swallows, slices, throttles and resets |
//! | [`invariants`] | joins what clients, upstreams, log and metrics tell, and names what cannot be |
//! | [`vitals`] | what a process holds: files, threads, memory |
//! | [`profile`] | settings with short times, so that minutes cover days |
//! | [`measures`] | what tests measured, for the page of guarantees |

pub mod canned;
pub mod client;
pub mod invariants;
pub mod measures;
pub mod profile;
pub mod scenario;
pub mod script;
pub mod upstream;
pub mod visits;
pub mod vitals;
pub mod way;
mod wire;

pub use canned::Dialect;
pub use client::{Leave, Raw, Reply, Request};
pub use script::Script;
pub use upstream::Upstream;
pub use visits::{Client, Line, Question};
pub use way::Way;

use std::time::Duration;

/// Longest time that anything which must happen may take; generous, since the machine may be busy.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// Asks again until the answer is there, and fails the test when it never comes.
pub async fn eventually<T, F, Fut>(what: &str, mut ask: F) -> T
where
    F: FnMut() -> Fut,
    Fut: Future<Output = Option<T>>,
{
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "waited {PATIENCE:?} in vain for {what}");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}
