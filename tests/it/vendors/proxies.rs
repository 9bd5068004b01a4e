//! Providers behind proxies.

use serde_json::json;

use crate::support::{Gateway, Proxy, Tls, Upstream};

/// The upstream's address with a name for a host.
fn by_name(upstream: &Upstream) -> (String, String) {
    let port = upstream.url().rsplit(':').next().unwrap().to_owned();
    (format!("http://localhost:{port}"), port)
}

#[tokio::test]
async fn a_tunnel_leads_to_the_provider_and_shows_who_asks() {
    let (gateway, a, proxy) = (Gateway::start().await, Upstream::start("a").await, Proxy::tunnel().await);
    let id = gateway.provider("a", "openai", &a, json!({"proxy": proxy.url("http", "bob:p%40ss@")})).await;
    assert_eq!(gateway.ask("gpt-4o").await.assert_ok().json()["choices"][0]["message"]["content"], "Hello from a");
    let passages = proxy.passages();
    assert!(a.url().ends_with(&passages[0].target), "{passages:?}");
    assert_eq!(passages[0].proof.as_deref(), Some("Basic Ym9iOnBAc3M="));
    assert_eq!(a.last().header("proxy-authorization"), None);
    let shown = gateway.admin_get(&format!("/admin/providers/{id}")).await;
    assert_eq!(shown["proxy"], proxy.url("http", "bob:…@"));
    // What was shown may be sent back: it changes nothing.
    let kept = gateway.admin("PATCH", &format!("/admin/providers/{id}"), json!({"proxy": shown["proxy"]})).await;
    assert_eq!(kept.status, 200, "{}", kept.text());
    gateway.ask("gpt-4o").await.assert_ok();
}

#[tokio::test]
async fn a_socks_proxy_gets_the_name_or_the_address_as_its_scheme_says() {
    let (gateway, a, proxy) = (Gateway::start().await, Upstream::start("a").await, Proxy::socks().await);
    let (url, port) = by_name(&a);
    for (name, scheme, host) in [("names", "socks5h", "localhost"), ("addresses", "socks5", "127.0.0.1")] {
        let more = json!({"proxy": proxy.url(scheme, "bob:secret@"), "priority": 500});
        let id = gateway.provider_at(name, "openai", &url, more).await;
        gateway.ask(&format!("{name}:gpt-4o")).await.assert_ok();
        let passage = proxy.passages().last().cloned().unwrap();
        assert_eq!(passage.proof.as_deref(), Some("bob:secret"));
        let local = [format!("{host}:{port}"), format!("[::1]:{port}")];
        assert!(local.contains(&passage.target), "{scheme}: {passage:?}");
        gateway.admin("DELETE", &format!("/admin/providers/{id}"), serde_json::Value::Null).await;
    }
}

#[tokio::test]
async fn providers_without_a_proxy_are_reached_straight() {
    let (gateway, a, b) = (Gateway::start().await, Upstream::start("a").await, Upstream::start("b").await);
    let proxy = Proxy::tunnel().await;
    gateway.provider("a", "openai", &a, json!({"proxy": proxy.url("http", "")})).await;
    gateway.provider("b", "openai", &b, json!({})).await;
    gateway.ask("b:gpt-4o").await.assert_ok();
    assert!(proxy.passages().iter().all(|passage| a.url().ends_with(&passage.target)));
    assert_eq!(b.calls(), 1);
}

#[tokio::test]
async fn a_proxy_that_refuses_or_is_mute_fails_over_like_a_provider_that_cannot_be_reached() {
    let settings = [("ORCHESTRATOR_ROUTING_CONNECT_TIMEOUT", "0.3")];
    for proxy in [Proxy::refusing().await, Proxy::mute().await] {
        let (gateway, a, b) = (Gateway::with(&settings).await, Upstream::start("a").await, Upstream::start("b").await);
        let more = json!({"proxy": proxy.url("http", ""), "priority": 500, "max_retries": 0});
        gateway.provider_at("a", "openai", &a.url(), more).await;
        gateway.provider("b", "openai", &b, json!({})).await;
        let reply = gateway.ask("gpt-4o").await;
        assert_eq!(reply.assert_ok().json()["provider"], "b");
        assert_eq!(a.calls(), 0);
        let alone = gateway.ask("a:gpt-4o").await;
        alone.assert_error(502, "upstream_error");
        assert!(!alone.text().contains(&proxy.url("", "")), "{}", alone.text());
    }
}

#[tokio::test]
async fn an_encrypted_way_leads_through_every_kind_of_proxy() {
    let a = Upstream::start("a").await;
    let (tunnel, socks) = (Proxy::tunnel().await, Proxy::socks().await);
    let bare = |url: String| url.split_once("://").unwrap().1.to_owned();
    let provider = Tls::before(bare(a.url())).await;
    let encrypted = Tls::before(bare(tunnel.url("http", ""))).await;
    let folder = tempfile::tempdir().unwrap();
    let trusted = Tls::trust(&[&provider, &encrypted], folder.path());
    let gateway = Gateway::with(&[("SSL_CERT_FILE", trusted.to_str().unwrap())]).await;
    for (name, proxy) in [
        ("tunnel", tunnel.url("http", "")),
        ("encrypted", format!("https://{}", encrypted.authority())),
        ("socks", socks.url("socks5h", "")),
    ] {
        let base = format!("https://{}", provider.authority());
        gateway.provider_at(name, "openai", &base, json!({"proxy": proxy, "max_retries": 0})).await;
        gateway.ask_stream(&format!("{name}:gpt-4o")).await.assert_ok();
    }
    let all = [tunnel.passages(), socks.passages()].concat();
    assert!(all.iter().all(|passage| passage.target == provider.authority()), "{all:?}");
    assert_eq!(a.calls(), 3);
}

#[tokio::test]
async fn a_certificate_that_nobody_vouches_for_is_refused_behind_a_proxy_too() {
    let (gateway, a, proxy) = (Gateway::start().await, Upstream::start("a").await, Proxy::tunnel().await);
    let provider = Tls::before(a.url().replace("http://", "")).await;
    let base = format!("https://{}", provider.authority());
    gateway.provider_at("a", "openai", &base, json!({"proxy": proxy.url("http", ""), "max_retries": 0})).await;
    gateway.ask("a:gpt-4o").await.assert_error(502, "upstream_error");
    assert_eq!(a.calls(), 0);
}
