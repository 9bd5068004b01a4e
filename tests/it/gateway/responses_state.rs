//! Responses that are referred to after they were given.

use serde_json::{Value, json};

use crate::support::{API_KEY, Dialect, Gateway, Reply, Request, Script, Upstream};

pub const SECOND_KEY: &str = "sk-another-client-key";

/// A gateway for two clients, with one provider that speaks this.
pub async fn stage(dialect: Dialect, settings: &[(&str, &str)]) -> (Gateway, Upstream) {
    let keys = format!("{API_KEY},{SECOND_KEY}");
    let gateway = Gateway::with(&[&[("API_KEYS", keys.as_str())], settings].concat()).await;
    let upstream = Upstream::start("a").await;
    let kind = if dialect == Dialect::OpenAi { "openai_compatible" } else { dialect.kind() };
    gateway.provider("a", kind, &upstream, json!({"max_retries": 0})).await;
    (gateway, upstream)
}

pub async fn ask(gateway: &Gateway, dialect: Dialect, more: Value) -> Reply {
    let mut body = json!({"model": dialect.model(), "input": "Say hello"});
    for (key, value) in more.as_object().expect("fields are an object") {
        body[key] = value.clone();
    }
    gateway.send(Request::post("/v1/responses", &body).bearer(API_KEY)).await
}

pub async fn call(gateway: &Gateway, method: &str, path: &str, key: &str) -> Reply {
    gateway.send(Request::new(method, path).bearer(key)).await
}

pub fn id(reply: &Reply) -> String {
    reply.assert_ok();
    let response = if reply.is_stream() { reply.chunks()[0]["response"].clone() } else { reply.json() };
    response["id"].as_str().expect("a response has an id").to_owned()
}

#[tokio::test]
async fn a_translated_answer_is_gone_on_from_whoever_answers_next() {
    let (dialect, next) = (Dialect::Anthropic, Dialect::Responses);
    for streamed in [false, true] {
        let (gateway, a) = stage(dialect, &[]).await;
        let b = Upstream::start("b").await;
        gateway.provider("b", next.kind(), &b, json!({"max_retries": 0})).await;
        for text in ["One", "Two"] {
            a.next(if streamed {
                Script::sse(&dialect.stream(&[text]))
            } else {
                Script::json(200, &dialect.whole(text))
            });
        }
        let first =
            id(&ask(&gateway, dialect, json!({"stream": streamed, "instructions": "Count.", "provider": "a"})).await);
        let input = json!([{"role": "user", "content": "on"}]);
        let more = json!({"stream": streamed, "input": input, "previous_response_id": first, "provider": "a"});
        let second = id(&ask(&gateway, dialect, more).await);
        let said = a.last().json();
        assert_eq!(said["messages"].as_array().map(Vec::len), Some(3), "{said}");
        assert!(said["messages"].to_string().contains("One"), "{said}");
        assert!(said["system"].is_null(), "instructions are for one turn: {said}");
        let kept = call(&gateway, "GET", &format!("/v1/responses/{second}"), API_KEY).await.assert_ok().json();
        assert_eq!(kept["previous_response_id"], first.as_str());

        b.next(Script::json(200, &next.whole("Three")));
        ask(&gateway, next, json!({"input": "and on", "previous_response_id": second, "provider": "b"}))
            .await
            .assert_ok();
        let said = b.last().json();
        assert!(said.get("previous_response_id").is_none());
        let turns = said["input"].as_array().expect("the conversation is sent inline");
        assert_eq!(turns.len(), 5, "{said}");
        assert_eq!(turns[3]["content"][0]["text"], "Two");
        assert_eq!(turns[4]["content"][0]["text"], "and on");
    }
}

#[tokio::test]
async fn a_translated_answer_can_be_read_listed_and_deleted_by_its_owner_alone() {
    let dialect = Dialect::Anthropic;
    let (gateway, a) = stage(dialect, &[]).await;
    a.always(Script::json(200, &dialect.whole("Hello")));
    let answer =
        ask(&gateway, dialect, json!({"input": [{"role": "user", "content": "1"}, {"role": "user", "content": "2"}]}))
            .await;
    let path = format!("/v1/responses/{}", id(&answer));
    for (method, path) in [("GET", path.clone()), ("DELETE", path.clone()), ("GET", format!("{path}/input_items"))] {
        call(&gateway, method, &path, SECOND_KEY).await.assert_error(404, "not_found");
    }
    assert_eq!(call(&gateway, "GET", &path, API_KEY).await.assert_ok().json(), answer.json());
    let page = call(&gateway, "GET", &format!("{path}/input_items?limit=1"), API_KEY).await.assert_ok().json();
    assert_eq!((&page["data"][0]["content"], &page["has_more"]), (&json!("2"), &json!(true)), "{page}");
    let after = page["last_id"].as_str().expect("items have ids");
    let page = call(&gateway, "GET", &format!("{path}/input_items?after={after}"), API_KEY).await.json();
    assert_eq!((&page["data"][0]["content"], &page["has_more"]), (&json!("1"), &json!(false)), "{page}");
    call(&gateway, "POST", &format!("{path}/cancel"), API_KEY).await.assert_error(400, "invalid_request");
    let deleted = call(&gateway, "DELETE", &path, API_KEY).await.assert_ok().json();
    assert_eq!((&deleted["object"], &deleted["deleted"]), (&json!("response"), &json!(true)));
    let reply = call(&gateway, "GET", &path, API_KEY).await;
    reply.assert_error(404, "not_found");
    assert!(reply.message().starts_with("Response with id 'resp_"), "{}", reply.message());
}

#[tokio::test]
async fn what_is_not_kept_cannot_be_gone_on_from() {
    let dialect = Dialect::Anthropic;
    let (gateway, a) = stage(dialect, &[]).await;
    a.always(Script::json(200, &dialect.whole("Hello")));
    let unkept = id(&ask(&gateway, dialect, json!({"store": false})).await);
    for previous in [unkept.as_str(), "resp_unknown"] {
        let reply = ask(&gateway, dialect, json!({"previous_response_id": previous})).await;
        assert_eq!((reply.status, &reply.error()["code"]), (400, &json!("previous_response_not_found")));
        assert_eq!(reply.error()["param"], "previous_response_id");
    }
    assert_eq!(a.calls(), 1);

    let (gateway, a) = stage(dialect, &[("ORCHESTRATOR_RESPONSES_STORE", "off")]).await;
    a.always(Script::json(200, &dialect.whole("Hello")));
    let answer = ask(&gateway, dialect, json!({})).await;
    assert_eq!(answer.json()["store"], false, "the answer says that it is not kept");
    call(&gateway, "GET", &format!("/v1/responses/{}", id(&answer)), API_KEY).await.assert_error(404, "not_found");
}

#[tokio::test]
async fn an_answer_that_nobody_here_knows_is_for_a_provider_of_the_protocol_to_judge() {
    let dialect = Dialect::Responses;
    let (gateway, a) = stage(dialect, &[]).await;
    let translating = Upstream::start("b").await;
    gateway.provider("b", Dialect::Anthropic.kind(), &translating, json!({"max_retries": 0, "priority": 500})).await;
    a.next(Script::json(200, &dialect.whole("Known there")));
    ask(&gateway, dialect, json!({"previous_response_id": "resp_elsewhere"})).await.assert_ok();
    assert_eq!(a.last().json()["previous_response_id"], "resp_elsewhere");
    a.next(Script::error(400, "Previous response with id 'resp_elsewhere' not found."));
    let reply = ask(&gateway, dialect, json!({"previous_response_id": "resp_elsewhere"})).await;
    assert_eq!(
        (reply.status, reply.message().as_str()),
        (400, "Previous response with id 'resp_elsewhere' not found.")
    );
    let reply = ask(&gateway, dialect, json!({"previous_response_id": "resp_elsewhere", "provider": "b"})).await;
    assert_eq!((reply.status, &reply.error()["code"]), (400, &json!("previous_response_not_found")));
    assert_eq!(translating.calls(), 0);
}

#[tokio::test]
async fn no_client_chooses_the_id_of_an_answer() {
    let dialect = Dialect::Anthropic;
    let (gateway, a) = stage(dialect, &[]).await;
    let mut given = Vec::new();
    for text in ["One", "Two"] {
        a.next(Script::json(200, &dialect.whole(text)));
        let request = Request::post("/v1/responses", &json!({"model": dialect.model(), "input": "Say it"}));
        given.push(id(&gateway.send(request.bearer(API_KEY).header("X-Request-ID", "req_mine")).await));
    }
    assert_ne!(given[0], given[1]);
    assert!(given.iter().all(|id| !id.contains("mine")), "{given:?}");
    let first = call(&gateway, "GET", &format!("/v1/responses/{}", given[0]), API_KEY).await.assert_ok().json();
    assert_eq!(first["output"][0]["content"][0]["text"], "One", "the second has not taken its place");
    assert_eq!(gateway.logs(2).await[0]["request_id"], "req_mine", "requests keep the id that the client gave them");
}

#[tokio::test]
async fn what_a_provider_keeps_is_asked_of_that_provider_alone() {
    let dialect = Dialect::Responses;
    for streamed in [false, true] {
        let (gateway, a) = stage(dialect, &[]).await;
        let b = Upstream::start("b").await;
        gateway.provider("b", dialect.kind(), &b, json!({"max_retries": 0, "priority": 500})).await;
        b.always(Script::error(500, "broken"));
        let answer =
            if streamed { Script::sse(&dialect.stream(&["Hi"])) } else { Script::json(200, &dialect.whole("Hi")) };
        a.next(answer);
        let first = id(&ask(&gateway, dialect, json!({"stream": streamed, "provider": "a"})).await);
        let before = b.calls();

        a.next(Script::json(200, &dialect.whole("Again")));
        ask(&gateway, dialect, json!({"previous_response_id": first})).await.assert_ok();
        assert_eq!(a.last().json()["previous_response_id"], first.as_str(), "the bytes pass");
        a.next(Script::error(503, "busy"));
        let reply = ask(&gateway, dialect, json!({"previous_response_id": first})).await;
        assert_eq!(reply.status, 503, "nobody else knows it");

        let path = format!("/v1/responses/{first}");
        a.next(Script::json(200, &dialect.whole("Hi")));
        let read = call(&gateway, "GET", &format!("{path}?include[]=x"), API_KEY).await.assert_ok().json();
        assert_eq!(read["output"][0]["content"][0]["text"], "Hi");
        let seen = a.last();
        assert!(seen.path.ends_with(&format!("/responses/{first}?include[]=x")), "{}", seen.path);
        call(&gateway, "GET", &path, SECOND_KEY).await.assert_error(404, "not_found");
        a.next(Script::json(200, &json!({"id": first, "object": "response", "deleted": true})));
        call(&gateway, "DELETE", &path, API_KEY).await.assert_ok();
        call(&gateway, "GET", &path, API_KEY).await.assert_error(404, "not_found");
        assert_eq!(b.calls(), before);
    }
}

#[tokio::test]
async fn input_tokens_are_counted_or_estimated() {
    let (gateway, _a) = stage(Dialect::OpenAi, &[]).await;
    let body = json!({"model": Dialect::OpenAi.model(), "input": "Say hello"});
    for path in ["/v1/responses/input_tokens", "/openai/v1/responses/input_tokens"] {
        let reply = gateway.send(Request::post(path, &body).bearer(API_KEY)).await;
        let counted = reply.assert_ok().json();
        assert_eq!(counted["object"], "response.input_tokens");
        assert!(counted["input_tokens"].as_u64() > Some(0), "{counted}");
    }
}
