//! What a failed attempt tells of the provider, and of the key that it was made with.

use std::time::Duration;

use llm_protocol::ir::{ApiError, ErrorKind};

use crate::{
    catalog::Provider,
    health::{Outcome, Permit},
    upstream::{Verdict, blames_upstream, verdict},
};

/// No rest that a provider asks for lasts longer.
const LONGEST_REST: Duration = Duration::from_secs(60);

/// How long a key rests of which the provider does not say so: long enough for another to be tried.
const SHORT_REST: Duration = Duration::from_secs(1);

/// Tells the provider's health what it must know of a failed attempt. `whole` is the provider with all its keys. `own` says that
/// a passed deadline was the provider's limit: a client that waits only briefly says nothing about the provider.
pub fn blame(provider: &Provider, whole: &Provider, permit: Permit, error: &ApiError, own: bool) {
    let unsaid = (error.kind == ErrorKind::RateLimited && provider.account.is_some()).then_some(SHORT_REST);
    if let Some(wait) = error.retry_after.or(unsaid) {
        provider.rest(wait.min(LONGEST_REST));
    }
    match error.kind {
        ErrorKind::UpstreamAuth | ErrorKind::QuotaExceeded => provider.refused(whole, permit, &error.message),
        ErrorKind::Timeout if !own => drop(permit),
        _ if blames_upstream(error) => permit.settle(&Outcome::Failure(error.message.clone())),
        // It answered: the request was wrong, not the provider.
        _ if verdict(error) == Verdict::GiveUp => permit.settle(&Outcome::Success { latency: Duration::ZERO }),
        _ => drop(permit),
    }
}

/// The gateway's own limit on the provider was reached: it rests, whatever its keys.
pub fn leave_alone(provider: &Provider, error: &ApiError) {
    if let Some(wait) = error.retry_after {
        provider.health.rest(wait.min(LONGEST_REST));
    }
}

/// Whether the provider may serve the same request to whoever comes with another key.
pub fn is_of_key(error: &ApiError) -> bool {
    matches!(error.kind, ErrorKind::UpstreamAuth | ErrorKind::QuotaExceeded | ErrorKind::RateLimited)
}
