//! What the tests of the whole program stand on: the real binary, scripted upstreams and impolite clients.

pub mod acting;
pub mod canned;
pub mod client;
pub mod environment;
pub mod gateway;
pub mod proxy;
pub mod redis;
pub mod script;
pub mod tls;
pub mod upstream;

pub use canned::Dialect;
pub use client::{Raw, Reply, Request};
pub use gateway::{ADMIN_KEY, API_KEY, Gateway};
pub use proxy::Proxy;
pub use redis::{Redis, SlowWay};
pub use script::Script;
pub use tls::Tls;
pub use upstream::Upstream;

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
