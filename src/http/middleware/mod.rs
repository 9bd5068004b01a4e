//! What every request passes on its way in and its answer on the way out.

mod access_log;
mod cors;
mod host;
mod panic;
mod request_id;

use axum::{Router, middleware::from_fn};

pub use self::request_id::RequestId;
use crate::config::ServerConfig;

/// Puts the whole stack around `router`. A request meets the layers from the last line up.
pub fn around(router: Router, config: &ServerConfig) -> Router {
    let router = router
        // Innermost, so that a handler's panic is an answer like any other to everything outside.
        .layer(panic::layer())
        .layer(from_fn(host::check));
    // Pages of other origins learn of errors too, so this is outside of whatever refuses a request.
    let router = match cors::layer(&config.cors_origins) {
        Some(cors) => router.layer(cors),
        None => router,
    };
    router
        .layer(from_fn(access_log::write))
        // Outermost: even a refusal has an id and the time it took.
        .layer(from_fn(request_id::assign))
}
