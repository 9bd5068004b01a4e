//! Google's Vertex AI.

use aws_lc_rs::{
    encoding::{AsDer as _, Pkcs8V1Der, PublicKeyX509Der},
    rsa::KeySize,
    signature::{KeyPair as _, RSA_PKCS1_2048_8192_SHA256, RsaKeyPair, UnparsedPublicKey},
};
use base64::{
    Engine as _,
    engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD},
};
use serde_json::{Value, json};

use super::{grant, refused};
use crate::support::{API_KEY, Dialect, Gateway, Request, Script, Upstream};

/// A service account that gets its tokens from `google`, and the key that checks its signatures.
fn service_account(google: &Upstream) -> (Value, Vec<u8>) {
    let pair = RsaKeyPair::generate(KeySize::Rsa2048).unwrap();
    let private: Pkcs8V1Der = pair.as_der().unwrap();
    let pem =
        format!("-----BEGIN PRIVATE KEY-----\n{}\n-----END PRIVATE KEY-----\n", STANDARD.encode(private.as_ref()));
    let public: PublicKeyX509Der = pair.public_key().as_der().unwrap();
    let account = json!({
        "type": "service_account", "project_id": "project-1", "private_key_id": "key-1", "private_key": pem,
        "client_email": "gateway@project-1.iam.gserviceaccount.com", "client_id": "1",
        "token_uri": format!("{}/token", google.url()), "universe_domain": "googleapis.com",
    });
    (account, public.as_ref().to_vec())
}

fn claims(assertion: &str, public: &[u8]) -> Value {
    let (said, signature) = assertion.rsplit_once('.').unwrap();
    let signature = URL_SAFE_NO_PAD.decode(signature).unwrap();
    let key = UnparsedPublicKey::new(&RSA_PKCS1_2048_8192_SHA256, public);
    key.verify(said.as_bytes(), &signature).expect("the signature is the service account's");
    let claims = said.split_once('.').unwrap().1;
    serde_json::from_slice(&URL_SAFE_NO_PAD.decode(claims).unwrap()).unwrap()
}

#[tokio::test]
async fn a_service_account_signs_for_a_token_that_serves_all_publishers() {
    let (gateway, a, google) = (Gateway::start().await, Upstream::start("a").await, Upstream::start("google").await);
    google.always(grant("ya29.one"));
    let (account, public) = service_account(&google);
    let id =
        gateway.provider("a", "vertex", &a, json!({"api_key": account, "options": {"location": "europe-west4"}})).await;
    let home = "/v1/projects/project-1/locations/europe-west4";
    for (model, path) in [
        ("gemini-2.5-flash", "/publishers/google/models/gemini-2.5-flash:generateContent"),
        ("claude-sonnet-4-5@20250929", "/publishers/anthropic/models/claude-sonnet-4-5@20250929:streamRawPredict"),
        ("meta/llama-4", "/endpoints/openapi/chat/completions"),
    ] {
        gateway.ask(model).await.assert_ok();
        assert_eq!(a.last().path, format!("{home}{path}"));
        assert_eq!(a.last().header("authorization"), Some("Bearer ya29.one"));
        assert_eq!(a.last().header("x-goog-api-key"), None);
    }
    gateway.ask_stream("gemini-2.5-flash").await.assert_ok();
    assert!(a.last().path.ends_with(":streamGenerateContent?alt=sse"), "{}", a.last().path);
    assert_eq!(google.calls(), 1);
    assert_eq!(google.last().field("grant_type").as_deref(), Some("urn:ietf:params:oauth:grant-type:jwt-bearer"));
    let claims = claims(&google.last().field("assertion").unwrap(), &public);
    assert_eq!(claims["iss"], "gateway@project-1.iam.gserviceaccount.com");
    assert_eq!(claims["aud"], format!("{}/token", google.url()));
    assert_eq!(claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap(), 3600);
    let shown = gateway.admin_get(&format!("/admin/providers/{id}")).await;
    assert_eq!(shown["api_key"], "…gateway@project-1.iam.gserviceaccount.com");
}

#[tokio::test]
async fn claude_is_asked_without_a_model_and_with_a_version_in_the_body() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    gateway.provider("a", "vertex", &a, json!({"api_key": "ya29.given", "options": {"project": "p"}})).await;
    gateway.ask_stream("claude-sonnet-4-5").await.assert_ok();
    let (seen, body) = (a.last(), a.last().json());
    assert_eq!(
        seen.path,
        "/v1/projects/p/locations/global/publishers/anthropic/models/claude-sonnet-4-5:streamRawPredict"
    );
    assert_eq!((&body["model"], &body["stream"]), (&Value::Null, &json!(true)));
    assert_eq!(body["anthropic_version"], "vertex-2023-10-16");
    assert_eq!((seen.header("anthropic-version"), seen.header("x-api-key")), (None, None));
    assert_eq!(seen.header("authorization"), Some("Bearer ya29.given"));
}

#[tokio::test]
async fn a_long_answer_of_claude_is_streamed_and_put_together() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    gateway.provider("a", "vertex", &a, json!({"api_key": "ya29.given", "options": {"project": "p"}})).await;
    a.always(Script::sse(&Dialect::Anthropic.stream(&["Hello"])));
    let messages = json!([{"role": "user", "content": "Say hello"}]);
    let body = json!({"model": "claude-sonnet-4-5", "max_tokens": 30_000, "messages": messages});
    let reply = gateway.send(Request::post("/v1/messages", &body).header("x-api-key", API_KEY)).await;
    assert_eq!(reply.assert_ok().json()["content"], json!([{"type": "text", "text": "Hello"}]));
    assert!(a.last().path.ends_with(":streamRawPredict") && a.last().json()["stream"] == true, "{}", a.last().path);
}

#[tokio::test]
async fn tokens_are_counted_as_each_publisher_counts_here() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    let options = json!({"project": "p", "location": "europe-west1"});
    let id = gateway.provider("a", "vertex", &a, json!({"api_key": "ya29.given", "options": options})).await;
    let home = "/v1/projects/p/locations/europe-west1/publishers";
    let count = async |model: &str| {
        let body = json!({"model": model, "messages": [{"role": "user", "content": "Hi"}]});
        let request = Request::post("/v1/messages/count_tokens", &body).header("x-api-key", API_KEY);
        gateway.send(request.header("anthropic-beta", "claude-code-1,context-1m-2025-08-07")).await
    };
    a.next(Script::json(200, &json!({"input_tokens": 38})));
    assert_eq!(count("claude-sonnet-4-5@20250929").await.assert_ok().json(), json!({"input_tokens": 38}));
    assert_eq!(a.last().path, format!("{home}/anthropic/models/count-tokens:rawPredict"));
    let sent = a.last().json();
    assert_eq!(
        (&sent["model"], &sent["anthropic_version"]),
        (&json!("claude-sonnet-4-5"), &json!("vertex-2023-10-16"))
    );
    assert_eq!(sent["anthropic_beta"], json!(["context-1m-2025-08-07"]));
    a.next(Script::json(200, &json!({"totalTokens": 21})));
    assert_eq!(count("gemini-2.5-flash").await.assert_ok().json(), json!({"input_tokens": 21}));
    assert_eq!(a.last().path, format!("{home}/google/models/gemini-2.5-flash:countTokens"));
    let sent = a.last().json();
    assert_eq!(sent["contents"][0]["parts"][0]["text"], "Hi");
    assert_eq!((&sent["generateContentRequest"], &sent["model"]), (&Value::Null, &Value::Null));

    let change = json!({"options": {"project": "p", "location": "global"}});
    gateway.admin("PATCH", &format!("/admin/providers/{id}"), change).await.assert_ok();
    let before = a.calls();
    let reply = count("claude-sonnet-4-5").await;
    assert_eq!((reply.assert_ok().header("x-orchestrator-estimate"), a.calls()), (Some("true"), before));
}

#[tokio::test]
async fn a_key_alone_implies_its_project() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    gateway.provider("a", "vertex", &a, json!({"api_key": "AIza-key"})).await;
    gateway.ask("gemini-2.5-flash").await.assert_ok();
    assert_eq!(a.last().path, "/v1/publishers/google/models/gemini-2.5-flash:generateContent");
    assert_eq!((a.last().header("x-goog-api-key"), a.last().header("authorization")), (Some("AIza-key"), None));
}

#[tokio::test]
async fn without_a_key_the_machine_vouches() {
    let metadata = Upstream::start("metadata").await;
    metadata.always(grant("ya29.machine"));
    let host = metadata.url().replace("http://", "");
    for (environment, options) in
        [("nowhere.invalid", json!({"project": "p", "metadata_host": host})), (&*host, json!({"project": "p"}))]
    {
        let gateway = Gateway::with(&[("GCE_METADATA_HOST", environment)]).await;
        let a = Upstream::start("a").await;
        gateway.provider("a", "vertex", &a, json!({"api_key": null, "options": options})).await;
        gateway.ask("gemini-2.5-flash").await.assert_ok();
        assert_eq!(a.last().header("authorization"), Some("Bearer ya29.machine"));
    }
}

#[tokio::test]
async fn a_users_refresh_token_is_exchanged_and_the_quota_is_the_named_projects() {
    let (gateway, a, google) = (Gateway::start().await, Upstream::start("a").await, Upstream::start("google").await);
    google.always(grant("ya29.user"));
    let user = json!({
        "type": "authorized_user", "client_id": "c", "client_secret": "s", "refresh_token": "1//r",
        "quota_project_id": "quota-1", "token_uri": google.url(),
    });
    gateway.provider("a", "vertex", &a, json!({"api_key": user.to_string()})).await;
    gateway.ask("gemini-2.5-flash").await.assert_ok();
    assert!(a.last().path.starts_with("/v1/projects/quota-1/locations/global/"), "{}", a.last().path);
    assert_eq!(a.last().header("x-goog-user-project"), Some("quota-1"));
    assert_eq!(google.last().field("refresh_token").as_deref(), Some("1//r"));
}

#[tokio::test]
async fn a_list_of_googles_models_does_not_rule_out_the_others() {
    let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
    let list = json!({"publisherModels": [{"name": "publishers/google/models/gemini-9-new"}]});
    a.lists_by(Script::json(200, &list));
    gateway.provider("a", "vertex", &a, json!({"api_key": "ya29.x", "options": {"project": "p"}})).await;
    for model in ["gemini-9-new", "claude-sonnet-4-5"] {
        gateway.ask(model).await.assert_ok();
    }
}

#[tokio::test]
async fn what_is_missing_is_said_when_it_is_configured() {
    let gateway = Gateway::start().await;
    let base = json!({"name": "x", "type": "vertex"});
    let with = |field: &str, value: Value| {
        let mut body = base.clone();
        body[field] = value;
        body
    };
    assert!(refused(&gateway, "options", base.clone()).await.contains("project"));
    refused(&gateway, "options", with("api_key", "ya29.token".into())).await;
    refused(&gateway, "options", with("options", json!({"region": "europe-west4"}))).await;
    refused(&gateway, "options", with("options", json!({"project": "a/b"}))).await;
    refused(&gateway, "api_key", with("api_key", json!({"type": "external_account"}))).await;
    let account = json!({"type": "service_account", "client_email": "e", "private_key": "no key", "project_id": "p"});
    assert!(refused(&gateway, "api_key", with("api_key", account)).await.contains("private_key"));
}
