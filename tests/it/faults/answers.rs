//! Answers that are none, that lie, or that end in ways of their own.

use serde_json::{Value, json};

use super::{PATIENT, Stage, reading::Told};
use crate::support::{Dialect, Question, Script, Upstream, canned::openai_chunk};

/// Asks `a` first, which answers so; nobody but `b` may serve it.
async fn is_left_for_the_next(stage: &Stage, a: &Upstream, script: Script, stream: bool, case: &str) {
    a.next(script);
    let question = Question::of("gpt-4o");
    let reply = stage.ask(&if stream { question.stream() } else { question }).await;
    assert!(reply.status == 200 && reply.text().contains("from b"), "{case}: {} {}", reply.status, reply.text());
}

#[tokio::test]
async fn an_answer_that_is_none_is_left_for_the_next_provider() {
    let (stage, [a, _b]) = Stage::with::<2>(&[PATIENT]).await;
    let whole = Dialect::OpenAi.whole("hi").to_string();
    let error = Dialect::OpenAi.error(500, "inside").to_string();
    let cases = [
        ("an error with a good status", Script::json(200, &Dialect::OpenAi.error(500, "inside")), false),
        ("a page", Script::html(200), false),
        ("nothing", Script::bytes(200, "application/json", ""), false),
        ("a stream nobody asked for", Script::sse(&["data: {}\n\n"]), false),
        ("a page instead of a stream", Script::html(200), true),
        ("another type with another body", Script::bytes(200, "text/plain", "no"), true),
        ("an error as the first event", Script::sse(&[format!("data: {error}\n\n")]), true),
        ("half of an answer", Script::bytes(200, "application/json", &whole.as_bytes()[..40]).close_delimited(), false),
        ("no head", Script::raw("hello there\r\n\r\n"), false),
        ("a status that is none", Script::raw("HTTP/1.1 9999 What\r\nContent-Length: 0\r\n\r\n"), false),
        ("a length that is none", Script::raw(format!("HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\n{whole}")), false),
        ("a NUL in a header", Script::raw("HTTP/1.1 200 OK\r\nX-A: a\0b\r\nContent-Length: 0\r\n\r\n"), false),
        ("no content", Script::raw("HTTP/1.1 204 No Content\r\n\r\n"), false),
        ("not modified", Script::raw("HTTP/1.1 304 Not Modified\r\n\r\n"), false),
    ];
    for (case, script, stream) in cases {
        is_left_for_the_next(&stage, &a, script, stream, case).await;
        stage.ask(&Question::of("gpt-4o")).await.assert_ok();
    }
    stage.check().await;
}

#[tokio::test]
async fn a_whole_answer_that_is_cut_anywhere_is_left_for_the_next_provider() {
    for dialect in Dialect::ALL {
        let (stage, [a, _b]) = Stage::of::<2>(dialect, &[PATIENT]).await;
        let whole = dialect.whole("Hello").to_string().into_bytes();
        for cut in (1..whole.len()).step_by(whole.len() / 17) {
            let part = &whole[..cut];
            for script in [
                Script::bytes(200, "application/json", part)
                    .header("Content-Length", &whole.len().to_string())
                    .then_cut(),
                Script::bytes(200, "application/json", part).close_delimited(),
                Script::sse(&[part]).header("Content-Type", "application/json").then_cut(),
            ] {
                a.next(script);
                let reply = stage.ask(&Question::by(dialect, dialect.model())).await;
                assert!(reply.assert_ok().text().contains("from b"), "{dialect:?} at {cut}: {}", reply.text());
                for _ in 0..2 {
                    stage.ask(&Question::by(dialect, dialect.model())).await.assert_ok();
                }
            }
        }
        stage.check().await;
    }
}

/// Streams that end well, each in a way that some provider has.
fn good_ends() -> Vec<(&'static str, Dialect, Vec<String>)> {
    let openai = |parts: &[String]| [Dialect::OpenAi.begun(&["Hello"]), parts.to_vec()].concat();
    let stop = openai_chunk(json!({}), Some("stop"));
    let usage = format!("data: {}\n\n", json!({"choices": [], "usage": {"prompt_tokens": 11, "completion_tokens": 7}}));
    let done = "data: [DONE]\n\n".to_owned();
    let without = |dialect: Dialect, words: &str| -> Vec<String> {
        dialect.stream(&["Hello"]).into_iter().filter(|frame| !frame.contains(words)).collect()
    };
    let whole = |dialect: Dialect| dialect.stream(&["Hello"]);
    let incomplete: Vec<String> = whole(Dialect::Responses)
        .into_iter()
        .map(|frame| {
            frame.replace("response.completed", "response.incomplete").replace("\"completed\"", "\"incomplete\"")
        })
        .collect();
    vec![
        ("all of it", Dialect::OpenAi, whole(Dialect::OpenAi)),
        ("no mark", Dialect::OpenAi, openai(&[stop.clone(), usage.clone()])),
        ("a reason only", Dialect::OpenAi, openai(std::slice::from_ref(&stop))),
        ("a reason and the mark", Dialect::OpenAi, openai(&[stop.clone(), done.clone()])),
        (
            "the reason with the last words",
            Dialect::OpenAi,
            openai(&[openai_chunk(json!({"content": "!"}), Some("stop"))]),
        ),
        ("cut off for its length", Dialect::OpenAi, openai(&[openai_chunk(json!({}), Some("length")), done.clone()])),
        ("the mark only", Dialect::OpenAi, openai(&[done])),
        ("all of it", Dialect::Anthropic, whole(Dialect::Anthropic)),
        ("all of it", Dialect::Gemini, whole(Dialect::Gemini)),
        ("no pings", Dialect::Anthropic, without(Dialect::Anthropic, "ping")),
        ("all of it", Dialect::Responses, whole(Dialect::Responses)),
        ("cut off for its length", Dialect::Responses, incomplete),
    ]
}

#[tokio::test]
async fn a_stream_that_ends_well_in_its_providers_own_way_is_a_success() {
    for (case, dialect, frames) in good_ends() {
        let (stage, [a]) = Stage::of::<1>(dialect, &[]).await;
        a.next(Script::sse(&frames));
        let reply = stage.ask(&Question::by(dialect, dialect.model()).stream()).await;
        let told = Told::by(dialect, &reply);
        assert!(told.errors == 0 && told.text.starts_with("Hello"), "{dialect:?}, {case}: {}", reply.text());
        let row = &stage.gateway.logs(1).await[0];
        assert!(row["error_code"].is_null() && row["status_code"] == 200, "{dialect:?}, {case}: {row:#}");
        stage.check().await;
    }
}

#[tokio::test]
async fn a_stream_that_just_ends_is_never_a_success() {
    for dialect in Dialect::ALL {
        let (stage, [a]) = Stage::of::<1>(dialect, &[PATIENT]).await;
        let frames = dialect.stream(&["Hello", " there"]);
        // The last event that matters may be followed by others that do not.
        let least = frames.iter().position(|frame| frame.contains("there")).expect("it was said") + 1;
        for events in 0..=least {
            a.next(Script::sse(&frames[..events]));
            let question = Question::by(dialect, dialect.model()).stream();
            let reply = stage.ask(&question).await;
            if reply.status == 200 {
                let told = Told::by(dialect, &reply);
                assert!(!told.ended && told.errors == 1, "{dialect:?} after {events}: {}", reply.text());
            }
            stage.ask(&Question::by(dialect, dialect.model())).await.assert_ok();
            let rows = stage.gateway.logs(2 * (events + 1)).await;
            let row = rows.iter().find(|row| row["request_id"] == question.nonce.as_str()).expect("it has a row");
            assert!(row["error_code"].is_string() && row["status_code"] != 200, "{dialect:?} after {events}: {row:#}");
        }
        stage.check().await;
    }
}

#[tokio::test]
async fn bytes_that_are_no_text_pass_where_bytes_pass_and_are_replaced_one_by_one_elsewhere() {
    let bad: [&[u8]; 5] = [b"\xff", b"\xc0\xaf", b"\xed\xa0\x80", b"\xf0\x9f\x8e", b"\x80\x80"];
    for bad in bad {
        let (stage, [a]) = Stage::with::<1>(&[]).await;
        let mut frames: Vec<Vec<u8>> =
            Dialect::OpenAi.stream(&["before ", "MARK", " after"]).into_iter().map(String::into_bytes).collect();
        for frame in &mut frames {
            if let Some(at) = frame.windows(4).position(|window| window == b"MARK") {
                frame.splice(at..at + 4, bad.iter().copied());
            }
        }
        a.always(Script::sse(&frames));
        let passed = stage.ask(&Question::of("gpt-4o").stream()).await;
        assert!(passed.body.windows(bad.len()).any(|window| window == bad), "{bad:?} passes");
        assert!(passed.body.ends_with(b"data: [DONE]\n\n"), "{bad:?} does not end the stream");
        let translated = stage.ask(&Question::by(Dialect::Anthropic, "gpt-4o").stream()).await;
        let told = Told::by(Dialect::Anthropic, &translated);
        let middle = told.text.strip_prefix("before ").and_then(|rest| rest.strip_suffix(" after"));
        assert!(middle.is_some_and(|text| text.chars().all(|one| one == '\u{fffd}')), "{bad:?}: {told:?}");
        assert!(told.ended, "{bad:?}: {told:?}");
        stage.check().await;
    }
}

#[tokio::test]
async fn no_count_of_tokens_is_believed_that_cannot_be() {
    let usage = |usage: Value| {
        let mut whole = Dialect::OpenAi.whole("hi");
        whole["usage"] = usage;
        whole
    };
    let (stage, [a]) = Stage::with::<1>(&[]).await;
    let counts = [
        json!(null),
        json!({}),
        json!({"prompt_tokens": -5, "completion_tokens": -7, "total_tokens": -12}),
        json!({"prompt_tokens": 9_223_372_036_854_775_807_i64, "completion_tokens": 9_223_372_036_854_775_807_i64}),
        json!({"prompt_tokens": 18_446_744_073_709_551_615_u64, "completion_tokens": 1}),
        json!({"prompt_tokens": 1.5, "completion_tokens": 2.5}),
        json!({"prompt_tokens": "11", "completion_tokens": "7"}),
        json!({"prompt_tokens": 1e300, "completion_tokens": 0}),
    ];
    for count in &counts {
        a.next(Script::json(200, &usage(count.clone())));
        let reply = stage.ask(&Question::of("gpt-4o")).await;
        assert_eq!(reply.assert_ok().content(), "hi", "{count}");
    }
    // A stream that tells its usage twice is counted once.
    let mut frames = Dialect::OpenAi.stream(&["hi"]);
    let usage = frames[frames.len() - 2].clone();
    frames.insert(frames.len() - 2, usage);
    a.next(Script::sse(&frames));
    let twice = Question::of("gpt-4o").stream();
    stage.ask(&twice).await.assert_ok();
    let rows = stage.gateway.logs(counts.len() + 1).await;
    let row = rows.iter().find(|row| row["request_id"] == twice.nonce.as_str()).expect("it has a row");
    assert_eq!((&row["prompt_tokens"], &row["completion_tokens"]), (&json!(11), &json!(7)));
    for row in &rows {
        for field in ["prompt_tokens", "completion_tokens", "total_tokens", "cost"] {
            assert!(row[field].as_f64().is_none_or(|count| count >= 0.0), "{field}: {row:#}");
        }
    }
    stage.check().await;
}

#[tokio::test]
async fn nothing_that_a_provider_says_to_its_peer_reaches_the_client() {
    let (stage, [a]) = Stage::with::<1>(&[("ORCHESTRATOR_ROUTING_MAX_TIMEOUT", "5")]).await;
    let whole = Dialect::OpenAi.whole("hi").to_string();
    let with = |headers: &str| {
        let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n";
        Script::raw(format!("{head}{headers}Content-Length: {}\r\n\r\n{whole}", whole.len()))
    };
    let hidden = [
        "Set-Cookie: a=b\r\n",
        "Connection: X-Hop\r\nX-Hop: 1\r\n",
        "Keep-Alive: timeout=5\r\n",
        "Proxy-Authenticate: Basic\r\n",
        "Server: inner-17\r\n",
        "Alt-Svc: h3=\":443\"\r\n",
        "Strict-Transport-Security: max-age=1\r\n",
        "Upgrade: h2c\r\n",
    ];
    for header in hidden {
        a.next(with(header));
        let reply = stage.ask(&Question::of("gpt-4o")).await;
        assert_eq!(reply.assert_ok().content(), "hi", "{header}");
        for line in header.split("\r\n").filter(|line| !line.is_empty()) {
            let (name, value) = line.split_once(": ").expect("it is a header");
            assert!(reply.header(name).is_none_or(|found| found != value), "{line} reached the client");
        }
    }
    // Two hundred headers and one of 64 KB: refused or passed over, never an end of the process.
    let many: String = (0..200).map(|number| format!("X-{number}: 1\r\n")).collect();
    for headers in [many, format!("X-Long: {}\r\n", "y".repeat(64 << 10))] {
        a.next(with(&headers));
        let reply = stage.ask(&Question::of("gpt-4o")).await;
        assert!([200, 502].contains(&reply.status), "{}", reply.text());
        stage.ask(&Question::of("gpt-4o")).await.assert_ok();
    }
    // Hints before the answer are no answer.
    let hints = "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: <x>\r\n\r\n";
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length:";
    a.next(Script::raw(format!("{hints}{head} {}\r\n\r\n{whole}", whole.len())));
    assert_eq!(stage.ask(&Question::of("gpt-4o")).await.assert_ok().content(), "hi");
    stage.check().await;
}

#[tokio::test]
async fn a_redirect_is_never_followed() {
    let canary = Upstream::start("canary").await;
    let (stage, [a]) = Stage::with::<1>(&[PATIENT]).await;
    for status in [301, 302, 303, 307, 308] {
        a.next(Script::json(status, &json!({})).header("Location", &format!("{}/v1/x", canary.url())));
        let reply = stage.ask(&Question::of("gpt-4o")).await;
        assert_eq!(reply.status, 502, "{status}: {}", reply.text());
        assert!(reply.header("location").is_none());
    }
    assert_eq!(canary.load().accepted, 0);
    stage.check().await;
}
