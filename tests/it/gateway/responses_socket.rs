//! Responses over a WebSocket.

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::{net::TcpStream, time::timeout};
use tokio_tungstenite::{
    MaybeTlsStream, WebSocketStream, connect_async,
    tungstenite::{Error, Message, client::IntoClientRequest},
};

use crate::support::{API_KEY, Dialect, Gateway, PATIENCE, Script, Upstream};

/// A client's connection.
struct Socket(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Socket {
    async fn open(gateway: &Gateway, key: &str) -> Result<Self, Error> {
        let mut request = format!("ws://{}/v1/responses", gateway.address()).into_client_request()?;
        let bearer = format!("Bearer {key}").parse().expect("a key is a header");
        request.headers_mut().insert("authorization", bearer);
        Ok(Self(connect_async(request).await?.0))
    }

    async fn say(&mut self, frame: &Value) {
        self.0.send(Message::text(frame.to_string())).await.expect("the gateway listens");
    }

    async fn message(&mut self) -> Message {
        let message = timeout(PATIENCE, self.0.next()).await.expect("the gateway says something");
        message.expect("the connection is open").expect("a frame is sound")
    }

    async fn event(&mut self) -> Value {
        loop {
            match self.message().await {
                Message::Text(text) => return serde_json::from_str(&text).expect("events are JSON"),
                Message::Ping(_) | Message::Pong(_) => {}
                other => panic!("{other:?}"),
            }
        }
    }

    /// Asks, and reads up to the end of the answer: the last event.
    async fn ask(&mut self, frame: &Value) -> Value {
        self.say(frame).await;
        loop {
            let event = self.event().await;
            let kind = event["type"].as_str().expect("an event has a type");
            if ["response.completed", "response.failed", "error"].contains(&kind) {
                return event;
            }
        }
    }
}

async fn stage(dialect: Dialect, settings: &[(&str, &str)]) -> (Gateway, Upstream) {
    let (gateway, upstream) = (Gateway::with(settings).await, Upstream::start("a").await);
    // The other kind speaks this protocol itself.
    let kind = if dialect == Dialect::OpenAi { "openai_compatible" } else { dialect.kind() };
    gateway.provider("a", kind, &upstream, json!({"max_retries": 0})).await;
    (gateway, upstream)
}

fn create(dialect: Dialect, input: &str, more: Value) -> Value {
    let input = json!([{"type": "message", "role": "user", "content": [{"type": "input_text", "text": input}]}]);
    let mut frame = json!({"type": "response.create", "model": dialect.model(), "input": input, "store": false});
    for (key, value) in more.as_object().expect("fields are an object") {
        frame[key] = value.clone();
    }
    frame
}

#[tokio::test]
async fn a_turn_brings_only_what_is_new_whoever_answers() {
    for dialect in Dialect::ALL {
        let (gateway, a) = stage(dialect, &[]).await;
        let mut socket = Socket::open(&gateway, API_KEY).await.unwrap();
        let warm = socket.ask(&create(dialect, "Rules", json!({"generate": false}))).await;
        assert_eq!((&warm["response"]["output"], a.calls()), (&json!([]), 0), "{warm}");
        for (turn, text) in [(1, "One"), (2, "Two")] {
            a.next(Script::sse(&dialect.stream(&[text])));
            let previous = if turn == 1 { warm["response"]["id"].clone() } else { json!("resp_unknown") };
            let answer = socket.ask(&create(dialect, "more", json!({"previous_response_id": previous}))).await;
            if turn == 2 && dialect == Dialect::Responses {
                assert_eq!(a.last().json()["previous_response_id"], "resp_unknown", "it is for the provider to judge");
                continue;
            }
            if turn == 2 {
                assert_eq!((&answer["type"], &answer["status"]), (&json!("error"), &json!(400)));
                assert_eq!(answer["error"]["code"], "previous_response_not_found");
                continue;
            }
            assert_eq!(answer["response"]["output"][0]["content"][0]["text"], "One", "{answer}");
            let sent = String::from_utf8(a.last().body).unwrap();
            assert!(sent.contains("Rules") && !sent.contains("generate\""), "{sent}");
            let id = answer["response"]["id"].clone();
            let answer = socket.ask(&create(dialect, "last", json!({"previous_response_id": id}))).await;
            assert_eq!(answer["type"], "response.completed", "{answer}");
            let sent = String::from_utf8(a.last().body).unwrap();
            assert!(["Rules", "more", "One", "last"].iter().all(|said| sent.contains(said)), "{dialect:?}: {sent}");
            assert!(!sent.contains("previous_response_id"), "{sent}");
            a.next(Script::sse(&dialect.stream(&[text])));
        }
        let rows = gateway.logs(4).await;
        assert_eq!((&rows[1]["endpoint"], &rows[1]["completion_tokens"]), (&json!("/v1/responses"), &json!(7)));
    }
}

#[tokio::test]
async fn an_answer_from_the_cache_can_be_gone_on_from() {
    for dialect in [Dialect::OpenAi, Dialect::Responses] {
        let (gateway, a) = stage(dialect, &[("ORCHESTRATOR_CACHE_ENABLED", "true")]).await;
        a.next(Script::sse(&dialect.stream(&["One"])));
        let mut answers = Vec::new();
        for _ in 0..2 {
            let mut socket = Socket::open(&gateway, API_KEY).await.unwrap();
            let answer = socket.ask(&create(dialect, "Rules", json!({}))).await;
            answers.push((socket, answer));
        }
        assert_eq!((a.calls(), &answers[0].1), (1, &answers[1].1), "{dialect:?}");
        a.next(Script::sse(&dialect.stream(&["Two"])));
        let (mut socket, answer) = answers.remove(1);
        let more = json!({"previous_response_id": answer["response"]["id"]});
        assert_eq!(socket.ask(&create(dialect, "more", more)).await["type"], "response.completed");
        let sent = String::from_utf8(a.last().body).unwrap();
        assert!(["Rules", "One", "more"].iter().all(|said| sent.contains(said)), "{dialect:?}: {sent}");
    }
}

#[tokio::test]
async fn a_wrong_request_leaves_the_connection_open() {
    let (gateway, a) = stage(Dialect::OpenAi, &[]).await;
    a.always(Script::sse(&Dialect::OpenAi.stream(&["Hi"])));
    let mut socket = Socket::open(&gateway, API_KEY).await.unwrap();
    for frame in [
        json!({"type": "response.cancel"}),
        create(Dialect::OpenAi, "x", json!({"temperature": 9})),
        create(Dialect::OpenAi, "x", json!({"model": ""})),
    ] {
        let refused = socket.ask(&frame).await;
        assert_eq!(refused["type"], "error");
        assert!(refused["status"].as_u64() >= Some(400) && refused["error"]["message"].is_string(), "{refused}");
    }
    socket.0.send(Message::Ping(b"x".as_slice().into())).await.unwrap();
    assert!(matches!(socket.message().await, Message::Pong(_)));
    assert_eq!(socket.ask(&create(Dialect::OpenAi, "x", json!({}))).await["type"], "response.completed");
}

#[tokio::test]
async fn without_a_key_nothing_is_opened() {
    let (gateway, _a) = stage(Dialect::OpenAi, &[]).await;
    let Err(Error::Http(answer)) = Socket::open(&gateway, "wrong").await else { panic!("it is refused") };
    assert_eq!(answer.status(), 401);
}

#[tokio::test]
async fn a_second_request_at_once_is_refused_and_a_client_that_leaves_ends_the_first() {
    let dialect = Dialect::OpenAi;
    let (gateway, a) = stage(dialect, &[]).await;
    a.next(Script::sse(&dialect.begun(&["Hel"])).then_stall());
    let mut socket = Socket::open(&gateway, API_KEY).await.unwrap();
    socket.say(&create(dialect, "x", json!({}))).await;
    while socket.event().await["type"] != "response.output_text.delta" {}
    socket.say(&create(dialect, "y", json!({}))).await;
    let refused = socket.event().await;
    assert_eq!((&refused["type"], &refused["status"]), (&json!("error"), &json!(409)));
    drop(socket);
    a.last().closed().await;
    gateway.assert_row(json!({"status_code": 499})).await;
}

#[tokio::test]
async fn an_idle_connection_and_one_of_a_gateway_that_stops_are_closed() {
    let (gateway, _a) = stage(Dialect::OpenAi, &[("ORCHESTRATOR_RESPONSES_SOCKET_IDLE_TIMEOUT", "1")]).await;
    let code = |message| match message {
        Message::Close(Some(frame)) => u16::from(frame.code),
        other => panic!("{other:?}"),
    };
    let mut socket = Socket::open(&gateway, API_KEY).await.unwrap();
    assert_eq!(code(socket.message().await), 1001);
    let (gateway, _a) = stage(Dialect::OpenAi, &[]).await;
    let mut socket = Socket::open(&gateway, API_KEY).await.unwrap();
    gateway.terminate();
    assert_eq!(code(socket.message().await), 1012);
}
