//! Who may ask what, and what the others hear.

use serde_json::{Value, json};

use super::stage;
use crate::support::{ADMIN_KEY, API_KEY, Gateway, Reply, Request, gateway::question};

fn ask(headers: &[(&str, &str)]) -> Request {
    headers.iter().fold(Request::post("/v1/chat/completions", &question("gpt-4o")), |request, (name, value)| {
        request.header(name, value)
    })
}

#[tokio::test]
async fn a_key_is_taken_from_either_header_and_the_scheme_in_any_case() {
    let (gateway, [_a]) = stage(&[]).await;
    for headers in [
        [("Authorization", format!("Bearer {API_KEY}"))],
        [("Authorization", format!("bearer {API_KEY}"))],
        [("authorization", format!("BEARER {API_KEY}"))],
        [("X-API-Key", API_KEY.into())],
        [("x-api-key", API_KEY.into())],
    ] {
        let headers: Vec<(&str, &str)> = headers.iter().map(|(name, value)| (*name, value.as_str())).collect();
        assert_eq!(gateway.send(ask(&headers)).await.status, 200, "{headers:?}");
    }
}

#[tokio::test]
async fn the_authorization_header_wins_over_x_api_key() {
    let (gateway, [_a]) = stage(&[]).await;
    let good = format!("Bearer {API_KEY}");
    gateway.send(ask(&[("Authorization", &good), ("X-API-Key", "wrong")])).await.assert_ok();
    let reply = gateway.send(ask(&[("Authorization", "Bearer wrong"), ("X-API-Key", API_KEY)])).await;
    reply.assert_error(401, "unauthorized");
}

#[tokio::test]
async fn without_a_valid_key_there_is_one_dull_answer() {
    let (gateway, [a]) = stage(&[]).await;
    let mut messages = std::collections::BTreeSet::new();
    for headers in [
        &[][..],
        &[("Authorization", "Bearer sk-unknown")],
        &[("Authorization", "Bearer ")],
        &[("Authorization", "Basic c2s6eA==")],
        &[("Authorization", API_KEY)],
        &[("X-API-Key", "sk-unknown")],
        &[("X-API-Key", "")],
        &[("X-Admin-Key", API_KEY)],
    ] {
        let reply = gateway.send(ask(headers)).await;
        reply.assert_error(401, "unauthorized");
        assert_eq!(reply.header("www-authenticate"), Some("Bearer"), "{headers:?}");
        messages.insert(reply.message());
        assert!(!reply.text().contains("sk-unknown"));
    }
    assert_eq!(messages.len(), 1, "{messages:?}");
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn a_revoked_and_an_expired_key_get_the_same_answer_as_an_unknown_one() {
    let (gateway, [_a]) = stage(&[]).await;
    let made = gateway.admin("POST", "/admin/keys", json!({"name": "guest"})).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let (id, key) = (made.json()["id"].clone(), made.json()["key"].as_str().unwrap().to_owned());
    gateway.send(ask(&[("X-API-Key", &key)])).await.assert_ok();
    assert_eq!(gateway.admin("DELETE", &format!("/admin/keys/{id}"), Value::Null).await.status, 204);
    let revoked = gateway.send(ask(&[("X-API-Key", &key)])).await;
    revoked.assert_error(401, "unauthorized");

    let past = json!({"name": "late", "expires_at": "2020-01-01T00:00:00Z"});
    let made = gateway.admin("POST", "/admin/keys", past).await;
    if made.status == 201 {
        let key = made.json()["key"].as_str().unwrap().to_owned();
        let expired = gateway.send(ask(&[("X-API-Key", &key)])).await;
        expired.assert_error(401, "unauthorized");
        assert_eq!(expired.message(), revoked.message());
    } else {
        made.assert_error(400, "invalid_request");
    }
}

#[tokio::test]
async fn a_key_for_some_models_is_forbidden_the_others() {
    let (gateway, [a]) = stage(&[]).await;
    let body = json!({"name": "limited", "allowed_models": ["gpt-4o-*"]});
    let made = gateway.admin("POST", "/admin/keys", body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let key = made.json()["key"].as_str().unwrap().to_owned();
    gateway.send(ask(&[("X-API-Key", &key)])).await.assert_error(403, "forbidden");
    assert_eq!(a.calls(), 0);
    let allowed = Request::post("/v1/chat/completions", &question("gpt-4o-mini")).header("X-API-Key", &key);
    gateway.send(allowed).await.assert_ok();
    let around = Request::post("/v1/chat/completions", &question("a:gpt-4o")).header("X-API-Key", &key);
    gateway.send(around).await.assert_error(403, "forbidden");
}

#[tokio::test]
async fn the_log_names_the_key_but_never_holds_it() {
    let (gateway, [_a]) = stage(&[]).await;
    let made = gateway.admin("POST", "/admin/keys", json!({"name": "team-blue"})).await.json();
    let key = made["key"].as_str().unwrap();
    gateway.send(ask(&[("X-API-Key", key), ("User-Agent", "tests/1.0")])).await.assert_ok();
    let row =
        gateway.assert_row(json!({"key_name": "team-blue", "key_id": made["id"], "user_agent": "tests/1.0"})).await;
    assert_eq!(row["ip_address"], "127.0.0.1", "{row}");
    assert!(!row.to_string().contains(key));
    assert!(!gateway.output().contains(key));
    let listed = gateway.admin_get("/admin/keys").await;
    assert!(!listed.to_string().contains(key), "a key is shown once: {listed}");
}

async fn verify(gateway: &Gateway, headers: &[(&str, &str)]) -> Reply {
    let request = Request::get("/admin/verify");
    gateway.send(headers.iter().fold(request, |request, (name, value)| request.header(name, value))).await
}

#[tokio::test]
async fn the_admin_key_opens_the_admin_api_from_either_header() {
    let gateway = Gateway::start().await;
    let bearer = format!("Bearer {ADMIN_KEY}");
    for headers in [[("Authorization", bearer.as_str())], [("X-Admin-Key", ADMIN_KEY)]] {
        assert_eq!(verify(&gateway, &headers).await.status, 204, "{headers:?}");
    }
}

#[tokio::test]
async fn without_an_admin_key_it_is_unauthorized_and_with_a_wrong_one_forbidden() {
    let gateway = Gateway::start().await;
    let missing = verify(&gateway, &[]).await;
    missing.assert_error(401, "unauthorized");
    assert!(missing.header("www-authenticate").is_some());
    let ordinary = format!("Bearer {API_KEY}");
    for headers in [
        [("Authorization", "Bearer wrong")],
        [("Authorization", ordinary.as_str())],
        [("X-Admin-Key", "wrong")],
        [("X-Admin-Key", API_KEY)],
    ] {
        verify(&gateway, &headers).await.assert_error(403, "forbidden");
    }
}

#[tokio::test]
async fn every_admin_page_wants_the_admin_key() {
    let gateway = Gateway::start().await;
    let document = gateway.send(Request::get("/openapi.json")).await.json();
    let mut checked = 0;
    for (path, operations) in document["paths"].as_object().expect("paths is an object") {
        if !path.contains("/admin") {
            continue;
        }
        let target = path.replace("{id}", "1");
        for method in operations.as_object().expect("operations is an object").keys() {
            let request = Request::new(&method.to_uppercase(), &target).json(&json!({}));
            let reply = gateway.send(request).await;
            assert_eq!(reply.status, 401, "{method} {target}: {}", reply.text());
            let request = Request::new(&method.to_uppercase(), &target).bearer(API_KEY).json(&json!({}));
            let reply = gateway.send(request).await;
            assert_eq!(reply.status, 403, "{method} {target}: {}", reply.text());
            checked += 1;
        }
    }
    assert!(checked >= 20, "only {checked} admin operations are documented");
}

#[tokio::test]
async fn no_spelling_of_a_path_gets_around_the_key() {
    let (gateway, [a]) = stage(&[]).await;
    for page in ["/v1/models", "/v1/chat/completions", "/admin/providers", "/admin/verify", "/api/admin/logs"] {
        let (first, rest) = page[1..].split_once('/').unwrap();
        for target in [
            format!("/{page}"),
            format!("{page}/"),
            format!("/{first}//{rest}"),
            format!("/./{first}/{rest}"),
            format!("/docs/../{first}/{rest}"),
            format!("/healthz/..{page}"),
            format!("/{first};x=1/{rest}"),
            format!("/{first}/{rest};x=1"),
            format!("/%{:02x}{}/{rest}", first.as_bytes()[0], &first[1..]),
            format!("/{first}%2f{rest}"),
            format!("/{}/{rest}", first.to_uppercase()),
            format!("{page}?key=x"),
            format!("{page}%00"),
            format!("http://other.test{page}"),
        ] {
            for method in ["GET", "POST", "HEAD", "OPTIONS"] {
                let request = Request::new(method, &target).header("Content-Type", "application/json");
                let mut raw = crate::support::Raw::connect(gateway.address()).await;
                raw.send(&request.header("Connection", "close").body("{}").bytes()).await;
                let (bytes, _) = raw.end().await;
                let text = String::from_utf8_lossy(&bytes);
                let status = text.split(' ').nth(1).unwrap_or_default();
                assert!(["400", "401", "403", "404", "405", "308"].contains(&status), "{method} {target}: {text}");
            }
        }
    }
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn every_page_of_the_api_wants_a_key() {
    let gateway = Gateway::start().await;
    for request in [
        Request::get("/v1/models"),
        Request::get("/v1/models/gpt-4o"),
        Request::post("/v1/chat/completions", &question("gpt-4o")),
    ] {
        gateway.send(request).await.assert_error(401, "unauthorized");
    }
}

#[tokio::test]
async fn the_admin_key_is_not_a_key_for_models() {
    let (gateway, [a]) = stage(&[]).await;
    let reply = gateway.send(ask(&[("Authorization", &format!("Bearer {ADMIN_KEY}"))])).await;
    assert!([401, 403].contains(&reply.status), "{}", reply.text());
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn without_a_configured_admin_key_one_is_made_and_shown_once() {
    let mut gateway = Gateway::without(&["ADMIN_KEY"], &[]).await;
    let output = gateway.output();
    let words = output.split(|c: char| c.is_whitespace() || "\"'=,;".contains(c));
    let mut found = None;
    for word in words.filter(|word| word.len() >= 24) {
        if gateway.send(Request::get("/admin/verify").bearer(word)).await.status == 204 {
            found = Some(word.to_owned());
            break;
        }
    }
    let key = found.unwrap_or_else(|| panic!("no word of the output is the admin key:\n{output}"));
    gateway.restart().await;
    assert!(!gateway.output().contains(&key), "it is shown once");
    assert_eq!(gateway.send(Request::get("/admin/verify").bearer(&key)).await.status, 204, "it stays valid");
}

#[tokio::test]
async fn without_api_keys_nobody_is_served_unless_that_is_asked_for_by_name() {
    let closed = Gateway::without(&["API_KEYS"], &[]).await;
    closed.send(Request::get("/v1/models")).await.assert_error(401, "unauthorized");
    let open = Gateway::without(&["API_KEYS"], &[("ORCHESTRATOR_AUTH_ALLOW_ANONYMOUS", "true")]).await;
    open.send(Request::get("/v1/models")).await.assert_ok();
}

#[tokio::test]
async fn a_limit_of_requests_a_minute_is_kept_and_says_when_to_come_back() {
    let (gateway, [a]) = stage(&[("ENABLE_RATE_LIMITING", "true"), ("RATE_LIMIT_PER_MINUTE", "3")]).await;
    for _ in 0..3 {
        gateway.ask("gpt-4o").await.assert_ok();
    }
    let reply = gateway.ask("gpt-4o").await;
    reply.assert_error(429, "rate_limit_exceeded");
    let wait: f64 = reply.header("retry-after").expect("a 429 says when to come back").parse().unwrap();
    assert!((1.0..=61.0).contains(&wait), "{wait}");
    assert_eq!(a.calls(), 3);
}
