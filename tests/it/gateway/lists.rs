//! The list of models, in the shape that each protocol's clients read.

use serde_json::{Value, json};

use crate::support::{API_KEY, Gateway, Request, Upstream};

/// A gateway that lists `anthropic:m1` to `anthropic:m3`.
async fn stage() -> (Gateway, Upstream) {
    let gateway = Gateway::start().await;
    let a = Upstream::start("anthropic").await;
    a.lists(&["m1", "m2", "m3"]);
    gateway.provider("anthropic", "anthropic", &a, json!({})).await;
    (gateway, a)
}

async fn get(gateway: &Gateway, target: &str, headers: &[(&str, &str)]) -> Value {
    let request = headers.iter().fold(Request::get(target), |request, (name, value)| request.header(name, value));
    gateway.send(request).await.assert_ok().json()
}

#[tokio::test]
async fn anthropics_clients_get_anthropics_list_in_pages() {
    let (gateway, _a) = stage().await;
    let headers = [("x-api-key", API_KEY), ("anthropic-version", "2023-06-01")];
    for target in ["/v1/models?limit=1000", "/models"] {
        let list = get(&gateway, target, &headers).await;
        let model = &list["data"][0];
        assert_eq!((&model["type"], &model["id"]), (&json!("model"), &json!("anthropic:m1")));
        assert!(model["display_name"].is_string() && model["created_at"].as_str().unwrap().ends_with('Z'), "{model}");
        assert_eq!((&list["has_more"], &list["first_id"]), (&json!(false), &json!("anthropic:m1")));
        assert_eq!(list["last_id"], "anthropic:m3");
        assert_eq!(get(&gateway, "/v1/models/anthropic:m1", &headers).await, *model);
    }
    let page = get(&gateway, "/v1/models?limit=2&after_id=anthropic:m1", &headers).await;
    assert_eq!((&page["first_id"], &page["last_id"]), (&json!("anthropic:m2"), &json!("anthropic:m3")));
    let page = get(&gateway, "/v1/models?limit=1", &headers).await;
    assert_eq!((&page["last_id"], &page["has_more"]), (&json!("anthropic:m1"), &json!(true)));
    let wrong = Request::get("/v1/models?limit=0").header("x-api-key", API_KEY).header("anthropic-version", "x");
    assert_eq!(gateway.send(wrong).await.status, 400);
}

#[tokio::test]
async fn googles_clients_get_googles_list_in_pages() {
    let (gateway, _a) = stage().await;
    let by_key = format!("/v1/models?key={API_KEY}");
    let header = [("x-goog-api-key", API_KEY)];
    let bearer = format!("Bearer {API_KEY}");
    let bearer = [("Authorization", bearer.as_str())];
    for (target, headers) in [("/v1/models", &header[..]), ("/v1beta/models", &bearer), (&by_key, &[])] {
        let list = get(&gateway, target, headers).await;
        let model = &list["models"][0];
        assert_eq!((&model["name"], &model["displayName"]), (&json!("models/anthropic:m1"), &json!("anthropic:m1")));
        assert!(model["supportedGenerationMethods"].as_array().unwrap().contains(&json!("generateContent")));
        assert!(list["nextPageToken"].is_null() && list["models"].as_array().unwrap().len() == 3, "{target}: {list}");
    }
    let first = get(&gateway, "/v1beta/models?pageSize=2", &header).await;
    let token = first["nextPageToken"].as_str().unwrap();
    let rest = get(&gateway, &format!("/v1beta/models?pageSize=2&pageToken={token}"), &header).await;
    assert_eq!(rest["models"][0]["name"], "models/anthropic:m3");
    assert!(rest["nextPageToken"].is_null() && rest["models"].as_array().unwrap().len() == 1, "{rest}");
    let one = get(&gateway, "/v1beta/models/anthropic:m2", &header).await;
    assert_eq!(one["name"], "models/anthropic:m2");
}

#[tokio::test]
async fn everybody_else_gets_openais_list() {
    let (gateway, _a) = stage().await;
    for target in ["/v1/models", "/models", "/openai/v1/models"] {
        let list = gateway.get(target).await.assert_ok().json();
        assert_eq!((&list["object"], &list["data"][0]["id"]), (&json!("list"), &json!("anthropic:m1")), "{target}");
    }
}

#[tokio::test]
async fn a_configured_limit_of_answers_is_told() {
    let (gateway, a) = stage().await;
    let id = gateway.provider("b", "anthropic", &a, json!({})).await;
    let model = gateway.admin("POST", "/admin/models", json!({"name": "mine", "max_output_tokens": 4096})).await.json();
    let route = json!({"model_id": model["id"], "provider_id": id, "upstream_name": "m1"});
    let made = gateway.admin("POST", "/admin/model-providers", route).await;
    assert_eq!(made.status, 201, "{}", made.text());
    let one = get(&gateway, "/v1beta/models/mine", &[("x-goog-api-key", API_KEY)]).await;
    assert_eq!(one["outputTokenLimit"], 4096, "{one}");
}
