//! What is kept of responses: their items by name, and all of it in the database where that is switched on.

use llm_orchestrator::store::{KeptResponse, Store, UpstreamObject};
use serde_json::{Value, json};

use super::responses_state::{SECOND_KEY, ask, call, id, stage};
use crate::support::{API_KEY, Dialect, Gateway, Reply, Request, Script, Upstream, eventually};

const IN_DATABASE: (&str, &str) = ("ORCHESTRATOR_RESPONSES_STORE", "database");

fn answer(dialect: Dialect, streamed: bool, text: &str) -> Script {
    if streamed { Script::sse(&dialect.stream(&[text])) } else { Script::json(200, &dialect.whole(text)) }
}

/// The id of the first item of an answer.
fn item(reply: &Reply) -> String {
    reply.assert_ok();
    let answer = if reply.is_stream() {
        reply.chunks().last().expect("a stream has an end")["response"].clone()
    } else {
        reply.json()
    };
    answer["output"][0]["id"].as_str().expect("an item has an id").to_owned()
}

fn reference(id: &str) -> Value {
    json!({"type": "item_reference", "id": id})
}

fn said(text: &str) -> Value {
    json!({"role": "user", "content": text})
}

#[tokio::test]
async fn items_of_translated_answers_are_put_in_the_place_of_their_names() {
    let (dialect, next) = (Dialect::Anthropic, Dialect::Responses);
    for streamed in [false, true] {
        let (gateway, a) = stage(dialect, &[]).await;
        let b = Upstream::start("b").await;
        gateway.provider("b", next.kind(), &b, json!({"max_retries": 0})).await;
        a.always(answer(dialect, streamed, "One"));
        let first = item(&ask(&gateway, dialect, json!({"stream": streamed, "provider": "a"})).await);
        let input = json!([said("count"), reference(&first), said("on")]);
        let second = ask(&gateway, dialect, json!({"stream": streamed, "input": input, "provider": "a"})).await;
        let messages = a.last().json()["messages"].clone();
        assert_eq!(messages.as_array().map(Vec::len), Some(3), "{messages}");
        assert_eq!((&messages[1]["role"], &messages[1]["content"][0]["text"]), (&json!("assistant"), &json!("One")));

        b.always(Script::json(200, &next.whole("Three")));
        let input = json!([reference(&first), reference(&item(&second)), said("and on")]);
        ask(&gateway, next, json!({"input": input, "provider": "b"})).await.assert_ok();
        let told = b.last().json()["input"].clone();
        assert_eq!(told[1]["content"][0]["text"], "One", "a provider that never saw it is told it: {told}");
        let input = json!([reference(&item(&second)), said("more")]);
        let more = json!({"input": input, "provider": "b", "previous_response_id": id(&second)});
        ask(&gateway, next, more).await.assert_ok();
        let told = b.last().json()["input"].clone();
        assert_eq!(told.as_array().map(Vec::len), Some(6), "what came before, and what is new: {told}");

        let body = json!({"model": dialect.model(), "input": [reference(&first)], "provider": "a"});
        let reply = gateway.send(Request::post("/v1/responses", &body).bearer(SECOND_KEY)).await;
        reply.assert_error(404, "not_found");
        assert_eq!(reply.error()["param"], "input");
        assert!(reply.message().starts_with(&format!("Item with id '{first}' not found.")), "{}", reply.message());
    }
}

#[tokio::test]
async fn items_that_a_provider_keeps_are_named_to_that_provider_alone() {
    let dialect = Dialect::Responses;
    for streamed in [false, true] {
        let (mut gateway, a) = stage(dialect, &[]).await;
        let b = Upstream::start("b").await;
        gateway.provider("b", dialect.kind(), &b, json!({"max_retries": 0, "priority": 500})).await;
        a.always(answer(dialect, streamed, "One"));
        let first = item(&ask(&gateway, dialect, json!({"stream": streamed, "provider": "a"})).await);
        let before = b.calls();
        let input = json!([said("count"), reference(&first), said("on")]);
        for _ in 0..2 {
            ask(&gateway, dialect, json!({"stream": streamed, "input": input})).await.assert_ok();
            assert_eq!(a.last().json()["input"], input, "the bytes pass");
            gateway.stop_and_start().await;
        }
        let body = json!({"model": dialect.model(), "input": input});
        let reply = gateway.send(Request::post("/v1/responses", &body).bearer(SECOND_KEY)).await;
        reply.assert_error(404, "not_found");
        assert_eq!(b.calls(), before);
        b.next(answer(dialect, streamed, "Two"));
        let input = json!([reference("msg_of_nobody"), said("on")]);
        ask(&gateway, dialect, json!({"stream": streamed, "input": input})).await.assert_ok();
        assert_eq!(b.last().json()["input"], input, "what nobody here knows is for the provider to judge");
    }
}

#[tokio::test]
async fn what_the_database_keeps_outlives_a_restart_and_is_known_to_every_gateway_on_it() {
    let dialect = Dialect::Anthropic;
    for streamed in [false, true] {
        let (mut gateway, a) = stage(dialect, &[IN_DATABASE]).await;
        a.next(answer(dialect, streamed, "One"));
        a.always(answer(dialect, false, "Two"));
        let first = ask(&gateway, dialect, json!({"stream": streamed})).await;
        let path = format!("/v1/responses/{}", id(&first));
        gateway.restart().await;
        for key in [SECOND_KEY, API_KEY] {
            let status = call(&gateway, "GET", &path, key).await.status;
            assert_eq!(status, if key == API_KEY { 200 } else { 404 });
        }

        let file = |name: &str| gateway.folder().join(name).display().to_string();
        let (database, master_key) = (gateway.database(), file("master.key"));
        let keys = format!("{API_KEY},{SECOND_KEY}");
        let beside = Gateway::with(&[
            ("API_KEYS", &keys),
            ("DATABASE_URL", &database),
            ("ORCHESTRATOR_AUTH_MASTER_KEY_FILE", &master_key),
            IN_DATABASE,
        ])
        .await;
        let input = json!([reference(&item(&first)), said("on")]);
        for more in [json!({"previous_response_id": id(&first)}), json!({"input": input})] {
            ask(&beside, dialect, more).await.assert_ok();
            let messages = a.last().json()["messages"].to_string();
            assert!(messages.contains("One"), "{messages}");
        }
        call(&beside, "DELETE", &path, API_KEY).await.assert_ok();
        gateway.restart().await;
        call(&gateway, "GET", &path, API_KEY).await.assert_error(404, "not_found");
    }
}

#[tokio::test]
async fn unless_it_is_switched_on_nothing_is_in_the_database() {
    let dialect = Dialect::Anthropic;
    let (gateway, a) = stage(dialect, &[]).await;
    a.always(answer(dialect, false, "A heron stands in the reeds"));
    ask(&gateway, dialect, json!({"input": "What stands in the reeds?"})).await.assert_ok();
    gateway.logs(1).await;
    for name in ["db", "db-wal"] {
        let bytes = std::fs::read(gateway.folder().join(name)).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        assert!(!text.contains("in the reeds"), "{name} holds what was said");
    }
}

#[tokio::test]
async fn what_has_expired_is_removed_from_the_database_in_time() {
    let (gateway, _a) = stage(Dialect::Anthropic, &[("ORCHESTRATOR_RESPONSES_SWEEP_INTERVAL", "1")]).await;
    let store = Store::open(&gateway.database()).unwrap();
    let response = |id: &str, expires_at| KeptResponse {
        id: id.to_owned(),
        owner: "7".to_owned(),
        body: "{}".to_owned(),
        input: "[]".to_owned(),
        created_at: 1,
        expires_at,
    };
    let object = |id: String, expires_at| UpstreamObject {
        provider_key: None,
        id,
        owner: "7".to_owned(),
        provider_id: 1,
        created_at: 1,
        expires_at,
    };
    for row in [response("resp_over", 2), response("resp_kept", i64::MAX)] {
        store.put_response(&row).await.unwrap();
    }
    let mut objects: Vec<_> = (0..1200).map(|at| object(format!("resp_{at}"), Some(2))).collect();
    objects.extend([object("resp_kept".into(), Some(i64::MAX)), object("file-1".into(), None)]);
    store.put_upstream_objects(&objects).await.unwrap();

    let ids = |ids: &[&str]| ids.iter().map(|&id| id.to_owned()).collect::<Vec<_>>();
    eventually("what has expired to be removed", async || {
        let left = store.responses("7", &ids(&["resp_over", "resp_kept"]), 0).await.unwrap();
        let known = objects.iter().map(|object| object.id.clone()).collect::<Vec<_>>();
        let known = store.upstream_objects(&known).await.unwrap();
        (left.len() == 1 && known.len() == 2).then_some(())
    })
    .await;
    assert_eq!(store.responses("7", &ids(&["resp_kept"]), 0).await.unwrap().len(), 1);
    assert_eq!(store.upstream_objects(&ids(&["resp_kept", "file-1"])).await.unwrap().len(), 2);
}
