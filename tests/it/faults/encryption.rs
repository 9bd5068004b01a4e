//! Providers that cannot prove who they are, or do not try.

use std::time::Duration;

use serde_json::json;
use tokio::net::TcpListener;

use super::{PATIENT, SOON, Stage};
use crate::support::{Question, Tls, Upstream};

#[tokio::test]
async fn a_provider_that_does_not_prove_who_it_is_is_told_nothing() {
    let a = Upstream::start("a").await;
    let behind = a.url().replace("http://", "");
    let good = Tls::before(behind.clone()).await;
    let expired = Tls::expired_before(behind.clone()).await;
    let unknown = Tls::before(behind).await;
    // It takes connections and says nothing.
    let mute = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let folder = tempfile::tempdir().unwrap();
    let trusted = Tls::trust(&[&good, &expired], folder.path());
    let mut stage = Stage::bare(&[PATIENT, ("SSL_CERT_FILE", trusted.to_str().unwrap())]).await;
    let addresses = [
        ("unknown", unknown.authority()),
        ("expired", expired.authority()),
        ("misnamed", good.authority().replace("localhost", "127.0.0.1")),
        ("mute", mute.local_addr().unwrap().to_string()),
        ("good", good.authority()),
    ];
    for (name, authority) in &addresses {
        let more = json!({"max_retries": 0, "timeout": 5});
        stage.gateway.provider_at(name, "openai", &format!("https://{authority}"), more).await;
    }
    stage.rest();
    let before = a.load().accepted;
    for (name, _) in &addresses[..4] {
        let reply = stage.ask(&Question::of("gpt-4o").with(json!({"provider": name}))).await;
        assert!([502, 504].contains(&reply.status), "{name}: {}", reply.text());
        assert!(reply.elapsed < Duration::from_millis(500) + SOON, "{name}: {:?}", reply.elapsed);
        assert_eq!((a.calls(), a.load().accepted), (0, before), "{name}");
    }
    stage.ask(&Question::of("gpt-4o").with(json!({"provider": "good"}))).await.assert_ok();
    stage.check().await;
}
