//! Answers that break off anywhere: what the client gets is whole, or says that it is not.

use serde_json::{Value, json};

use super::stage_of;
use crate::support::{Dialect, Gateway, Reply, Script, Upstream};

/// Lets good answers follow a failure on purpose, so that the provider under test is not ejected.
async fn forgive(gateway: &Gateway, a: &Upstream, model: &str) {
    a.heal();
    for _ in 0..2 {
        assert_eq!(gateway.ask(model).await.assert_ok().content(), "Hello from a");
    }
}

/// Offsets that a pass over `length` bytes takes; the step is odd, so that it meets all kinds of places.
fn offsets(length: usize) -> impl Iterator<Item = usize> {
    (1..length).step_by((length / 40) | 1)
}

/// The client got the second provider's answer, or all of the first's, or a part of it with an error behind.
fn check(reply: &Reply, case: &str) {
    let (content, error) = (reply.assert_ok().content(), reply.stream_error());
    assert!(reply.complete, "{case}: the gateway's own answer ends properly");
    if error == Value::Null {
        // A provider that said why it stopped may leave out the mark behind that.
        let stopped = reply.chunks().iter().any(|chunk| chunk["choices"][0]["finish_reason"] == "stop");
        assert!(reply.done() || stopped, "{case}: {}", reply.text());
        assert!(["Hello from b", "Grüße, 世界!"].contains(&content.as_str()), "{case}: {content:?}");
    } else {
        assert!(!reply.done(), "{case}: {}", reply.text());
        assert!("Grüße, 世界!".starts_with(&content), "{case}: {content:?}");
        let last = reply.chunks().pop().unwrap_or_default();
        assert!(!last["error"].is_null(), "{case}: nothing follows the error: {}", reply.text());
    }
    let roles = reply.chunks().iter().filter(|chunk| chunk["choices"][0]["delta"]["role"].is_string()).count();
    assert!(roles <= 1, "{case}: a stream begins once: {}", reply.text());
}

async fn breaks_anywhere(dialect: Dialect, end: impl Fn(Script) -> Script) {
    let (gateway, [a, _b]) = stage_of(dialect, &[]).await;
    let stream = dialect.stream(&["Grüße", ", 世", "界!"]).concat().into_bytes();
    let (mut asked, mut failed_over) = (0, 0);
    for offset in offsets(stream.len()) {
        a.always(end(Script::sse(&[&stream[..offset]])));
        let reply = gateway.ask_stream(dialect.model()).await;
        check(&reply, &format!("{dialect:?} at {offset} of {}", stream.len()));
        failed_over += usize::from(reply.content() == "Hello from b");
        forgive(&gateway, &a, dialect.model()).await;
        asked += 3;
        assert_eq!(a.calls(), asked, "the first provider is asked every time, and once");
    }
    assert!(failed_over > 0, "{dialect:?}: before content another provider serves");
    a.always(Script::sse(&[&stream]));
    let whole = gateway.ask_stream(dialect.model()).await;
    assert_eq!(whole.assert_ok().content(), "Grüße, 世界!");
    assert!(whole.done());
}

#[tokio::test]
async fn a_stream_may_be_cut_at_any_byte() {
    for dialect in Dialect::ALL {
        breaks_anywhere(dialect, Script::then_cut).await;
    }
}

#[tokio::test]
async fn a_stream_may_be_reset_at_any_byte() {
    for dialect in Dialect::ALL {
        breaks_anywhere(dialect, Script::then_reset).await;
    }
}

#[tokio::test]
async fn a_stream_may_simply_end_at_any_byte() {
    for dialect in Dialect::ALL {
        breaks_anywhere(dialect, |script| script).await;
        breaks_anywhere(dialect, Script::close_delimited).await;
    }
}

#[tokio::test]
async fn a_whole_answer_cut_at_any_byte_is_never_served() {
    for dialect in Dialect::ALL {
        let (gateway, [a]) = stage_of(dialect, &[]).await;
        let whole = dialect.whole("Grüße, 世界!").to_string().into_bytes();
        let promised = whole.len().to_string();
        for offset in offsets(whole.len()) {
            let part = &whole[..offset];
            let declared = Script::bytes(200, "application/json", part).header("Content-Length", &promised).then_cut();
            let undeclared = Script::bytes(200, "application/json", part).close_delimited();
            for script in [declared, undeclared] {
                a.always(script);
                let reply = gateway.ask(dialect.model()).await;
                assert_eq!(reply.status, 502, "{dialect:?} at {offset}: {}", reply.text());
                forgive(&gateway, &a, dialect.model()).await;
            }
        }
    }
}

#[tokio::test]
async fn one_chunk_may_hold_any_number_of_bytes() {
    for dialect in Dialect::ALL {
        let (gateway, [a]) = stage_of(dialect, &[]).await;
        let stream = dialect.stream(&["Grüße", ", 世", "界!"]).concat().into_bytes();
        for size in [1, 2, 3, 5, 7, 64, 333, 4096] {
            let chunks: Vec<&[u8]> = stream.chunks(size).collect();
            a.always(Script::sse(&chunks));
            let reply = gateway.ask_stream(dialect.model()).await;
            assert_eq!(reply.assert_ok().content(), "Grüße, 世界!", "{dialect:?} in pieces of {size}");
            assert!(reply.done());
        }
    }
}

#[tokio::test]
async fn many_requests_at_once_get_their_own_answers() {
    let gateway = Gateway::start().await;
    let a = Upstream::start("a").await;
    a.echoes();
    gateway.provider("a", "openai", &a, json!({})).await;
    let address = gateway.address();
    let asking = (0..60).map(|number| {
        tokio::spawn(async move {
            let word = format!("nonce-{number}-{}", number * 7919);
            let mut body = json!({"model": "gpt-4o", "messages": [{"role": "user", "content": word}]});
            body["stream"] = (number % 2 == 0).into();
            let reply = crate::support::gateway::chat(&body).send(address).await;
            assert_eq!(reply.assert_ok().content(), word);
        })
    });
    for asked in asking.collect::<Vec<_>>() {
        asked.await.expect("every client gets its own answer");
    }
    let rows = gateway.logs(60).await;
    assert_eq!(rows.len(), 60);
    assert!(rows.iter().all(|row| row["status_code"] == 200 && row["attempts"] == 1));
}
