//! What differs from provider to provider: where they are, as whom they are asked, and through what.

mod azure;
mod bedrock;
mod compatible;
mod extras;
mod proxies;
mod vertex;

use serde_json::{Value, json};

use crate::support::{Gateway, Reply, Script};

/// The answer of a service that gives out access tokens.
fn grant(token: &str) -> Script {
    Script::json(200, &json!({"access_token": token, "token_type": "Bearer", "expires_in": 3599}))
}

/// Asks for a provider that must not be made, and returns what is said against it.
async fn refused(gateway: &Gateway, field: &str, body: Value) -> String {
    let reply: Reply = gateway.admin("POST", "/admin/providers", body).await;
    reply.assert_error(400, "invalid_request");
    assert_eq!(reply.json()["error"]["param"], field, "{}", reply.text());
    assert!(reply.message().contains(&format!("`{field}")), "{}", reply.message());
    reply.message()
}
