//! What a key is for: endpoints, models, providers, addresses.

use serde_json::{Value, json};

use crate::support::{Gateway, Reply, Request, Script, Upstream, gateway::question};

const ENDPOINTS: [&str; 13] = [
    "chat",
    "completions",
    "messages",
    "responses",
    "gemini",
    "embeddings",
    "images",
    "audio",
    "moderations",
    "rerank",
    "files",
    "batches",
    "models",
];

async fn key(gateway: &Gateway, mut body: Value) -> String {
    body["name"] = json!("limited");
    let made = gateway.admin("POST", "/admin/keys", body).await;
    assert_eq!(made.status, 201, "{}", made.text());
    made.json()["key"].as_str().unwrap().to_owned()
}

#[track_caller]
fn assert_forbidden(reply: &Reply, what: &str) {
    assert_eq!(reply.status, 403, "{}", reply.text());
    assert!(reply.text().contains(what), "{what} in {}", reply.text());
}

/// Where a documented path may be found too.
fn spellings(path: &str) -> Vec<String> {
    let path = path.replace("{id}", "m:generateContent");
    let mut spellings = vec![path.clone()];
    if let Some(rest) = path.strip_prefix("/v1beta/models") {
        let google = ["/v1", "/v1beta1"].map(|version| {
            let places = ["", "/publishers/google", "/projects/p/locations/l/publishers/google"];
            places.map(|place| format!("{version}{place}/models{rest}"))
        });
        spellings.extend(google.into_iter().flatten());
        spellings.push(format!("/models{rest}"));
    } else if let Some(rest) = path.strip_prefix("/v1") {
        let prefixes = ["", "/openai", "/openai/v1", "/v1beta", "/v1beta1", "/engines/m", "/v1/engines/m"];
        spellings.extend(prefixes.iter().map(|prefix| format!("{prefix}{rest}")));
        spellings.push(format!("/openai/deployments/m{rest}"));
    }
    spellings
}

/// Every call that clients can make, by method and path.
async fn calls(gateway: &Gateway) -> Vec<(String, String)> {
    let document = gateway.send(Request::get("/openapi.json")).await.json();
    let mut calls = Vec::new();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            if operation["tags"][0] == "client" {
                let method = method.to_uppercase();
                calls.extend(spellings(path).into_iter().map(|spelling| (method.clone(), spelling)));
            }
        }
    }
    calls
}

#[tokio::test]
async fn every_call_wants_a_key_that_is_for_its_one_endpoint() {
    let gateway = Gateway::start().await;
    let mut keys = Vec::new();
    for endpoint in ENDPOINTS {
        keys.push((endpoint, key(&gateway, json!({"allowed_endpoints": [endpoint]})).await));
    }
    let mut met = std::collections::BTreeMap::<&str, usize>::new();
    for (method, target) in calls(&gateway).await {
        let request = || {
            let request = Request::new(&method, &target);
            if method == "POST" { request.json(&json!({})) } else { request }
        };
        let keyless = gateway.send(request()).await;
        if [404, 405].contains(&keyless.status) {
            continue;
        }
        assert_eq!(keyless.status, 401, "{method} {target}: {}", keyless.text());
        let mut open = Vec::new();
        for (endpoint, key) in &keys {
            let reply = gateway.send(request().bearer(key)).await;
            assert_ne!(reply.status, 401, "{method} {target}: {}", reply.text());
            if reply.status == 403 {
                assert!(reply.text().contains("may not use the endpoint"), "{method} {target}: {}", reply.text());
            } else {
                open.push(*endpoint);
            }
        }
        assert_eq!(open.len(), 1, "{method} {target} is open to keys for {open:?}");
        *met.entry(open[0]).or_default() += 1;
    }
    assert_eq!(met.len(), ENDPOINTS.len(), "every endpoint is met: {met:?}");
    assert!(met.values().sum::<usize>() > 80, "{met:?}");
}

#[tokio::test]
async fn every_documented_call_is_there() {
    let gateway = Gateway::start().await;
    let document = gateway.send(Request::get("/openapi.json")).await.json();
    for (path, operations) in document["paths"].as_object().unwrap() {
        for (method, operation) in operations.as_object().unwrap() {
            let target = path.replace("{id}", "m:generateContent");
            if operation["tags"][0] == "client" {
                let reply = gateway.send(Request::new(&method.to_uppercase(), &target)).await;
                assert_eq!(reply.status, 401, "{method} {target}: {}", reply.text());
            }
        }
    }
}

#[tokio::test]
async fn a_websocket_wants_a_key_for_responses() {
    let gateway = Gateway::start().await;
    let open = |key: &str| {
        let request = Request::get("/v1/responses").bearer(key).header("Connection", "Upgrade");
        let request = request.header("Upgrade", "websocket").header("Sec-WebSocket-Version", "13");
        request.header("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ==")
    };
    let chat = key(&gateway, json!({"allowed_endpoints": ["chat"]})).await;
    assert_forbidden(&gateway.send(open(&chat)).await, "the endpoint `responses`");
    let elsewhere = key(&gateway, json!({"allowed_addresses": ["192.0.2.0/24"]})).await;
    assert_forbidden(&gateway.send(open(&elsewhere)).await, "127.0.0.1");
}

/// Two providers of one type, `a` preferred, and one of another that is not asked by itself.
async fn stage() -> (Gateway, Upstream, Upstream) {
    let gateway = Gateway::start().await;
    let (a, b) = (Upstream::start("a").await, Upstream::start("b").await);
    for (upstream, priority) in [(&a, 100), (&b, 50)] {
        upstream.lists(&["gpt-4o"]);
        let more = json!({"priority": priority, "max_retries": 0});
        gateway.provider(upstream.name(), "openai", upstream, more).await;
    }
    (gateway, a, b)
}

#[tokio::test]
async fn only_the_providers_that_a_key_is_for_are_asked() {
    let (gateway, a, b) = stage().await;
    let of_b = key(&gateway, json!({"allowed_providers": ["b"]})).await;
    let ask = async |body: Value| gateway.send(Request::post("/v1/chat/completions", &body).bearer(&of_b)).await;
    let with = |field: &str, value: Value| {
        let mut body = question("gpt-4o");
        body[field] = value;
        body
    };
    assert_eq!(ask(question("gpt-4o")).await.assert_ok().content(), "Hello from b");
    assert_eq!(ask(with("provider", json!("openai"))).await.assert_ok().content(), "Hello from b");
    assert_forbidden(&ask(with("provider", json!("a"))).await, "the provider `a`");
    assert_forbidden(&ask(question("a:gpt-4o")).await, "the provider `a`");
    assert_forbidden(&ask(with("fallback_providers", json!(["a"]))).await, "the provider `a`");
    assert_eq!(ask(with("provider", json!("nobody"))).await.status, 400);
    b.next(Script::error(500, "down"));
    assert_eq!(ask(question("gpt-4o")).await.status, 502, "nobody else may be asked");

    let list = gateway.send(Request::get("/v1/models").bearer(&of_b)).await.assert_ok().text();
    assert!(list.contains("b:gpt-4o") && !list.contains("a:gpt-4o"), "{list}");
    let one = async |id: &str| gateway.send(Request::get(&format!("/v1/models/{id}")).bearer(&of_b)).await.status;
    assert_eq!([one("b:gpt-4o").await, one("a:gpt-4o").await], [200, 404]);

    let of_others = key(&gateway, json!({"allowed_providers": ["anthropic"]})).await;
    let request = |target: &str, body: Value| Request::post(target, &body).bearer(&of_others);
    let reply = gateway.send(request("/v1/chat/completions", question("gpt-4o"))).await;
    assert_forbidden(&reply, "any provider that serves the model `gpt-4o`");
    let embeddings = json!({"model": "gpt-4o", "input": "x"});
    assert_forbidden(&gateway.send(request("/v1/embeddings", embeddings)).await, "any provider");
    let counted = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": "hi"}]});
    assert_forbidden(&gateway.send(request("/v1/messages/count_tokens", counted)).await, "any provider");
    assert_forbidden(&gateway.send(Request::get("/v1/files").bearer(&of_others)).await, "the provider `a`");
    assert_eq!(a.calls(), 0);
}

#[tokio::test]
async fn files_go_to_a_provider_that_the_key_is_for_and_are_fetched_by_none_that_is_not() {
    let (gateway, a, b) = stage().await;
    b.always(Script::json(200, &json!({"id": "file-1", "object": "file"})));
    let made = gateway.admin("POST", "/admin/keys", json!({"name": "team", "allowed_providers": ["b"]})).await.json();
    let key = made["key"].as_str().unwrap();
    let body = json!({"purpose": "batch", "file": "x"});
    gateway.send(Request::post("/v1/files", &body).bearer(key)).await.assert_ok();
    assert_forbidden(&gateway.send(Request::post("/v1/files?provider=a", &body).bearer(key)).await, "the provider `a`");
    gateway.send(Request::get("/v1/files/file-1").bearer(key)).await.assert_ok();
    let target = format!("/admin/keys/{}", made["id"]);
    gateway.admin("PATCH", &target, json!({"allowed_providers": ["a"]})).await.assert_ok();
    assert_forbidden(&gateway.send(Request::get("/v1/files/file-1").bearer(key)).await, "the provider `b`");
    assert_eq!((a.calls(), b.calls()), (0, 2));
}

#[tokio::test]
async fn the_list_shows_each_model_that_a_key_may_use_and_no_other() {
    let (gateway, _a, _b) = stage().await;
    let limited = key(&gateway, json!({"allowed_models": ["gpt-*"]})).await;
    let list = gateway.send(Request::get("/v1/models").bearer(&limited)).await.assert_ok().text();
    assert!(list.contains("a:gpt-4o") && list.contains("b:gpt-4o"), "{list}");
    let other = key(&gateway, json!({"allowed_models": ["a:*"]})).await;
    let list = gateway.send(Request::get("/v1/models").bearer(&other)).await.assert_ok().text();
    assert!(list.contains("a:gpt-4o") && !list.contains("b:gpt-4o"), "{list}");
}

#[tokio::test]
async fn a_key_is_good_at_its_addresses_only_and_a_header_is_believed_from_trusted_proxies_only() {
    let trusting = Gateway::with(&[("ORCHESTRATOR_SERVER_TRUSTED_PROXIES", "127.0.0.0/8, 10.0.0.0/8")]).await;
    let wary = Gateway::start().await;
    for (gateway, forwarded, expected) in [
        (&trusting, Some("203.0.113.5"), None),
        (&trusting, Some("203.0.113.5, 10.1.1.1"), None),
        (&trusting, Some("203.0.113.5, 198.51.100.1"), Some("198.51.100.1")),
        (&trusting, None, Some("127.0.0.1")),
        (&wary, Some("203.0.113.5"), Some("127.0.0.1")),
    ] {
        let key = key(gateway, json!({"allowed_addresses": ["203.0.113.0/24", "2001:db8::/32"]})).await;
        let mut request = Request::get("/v1/models").bearer(&key);
        if let Some(forwarded) = forwarded {
            request = request.header("X-Forwarded-For", forwarded);
        }
        let reply = gateway.send(request).await;
        match expected {
            None => assert_eq!(reply.status, 200, "{forwarded:?}: {}", reply.text()),
            Some(address) => assert_forbidden(&reply, address),
        }
    }
    let asked = Request::post("/v1/chat/completions", &question("gpt-4o")).header("X-Forwarded-For", "203.0.113.7");
    let local = key(&trusting, json!({"allowed_addresses": ["127.0.0.1"]})).await;
    assert_forbidden(&trusting.send(asked.bearer(&local)).await, "203.0.113.7");
    trusting.assert_row(json!({"ip_address": "203.0.113.7", "key_name": "limited", "status_code": 403})).await;
}
