//! The check sees a violation of each rule, and nothing where all is well.

use serde_json::json;

use super::*;

const ONE: &str = "nonce-0000000000000001";
const OTHER: &str = "nonce-0000000000000002";

/// One question, asked at `a`, answered, logged and counted.
fn well() -> Evidence {
    let began = Instant::now();
    let visit = Visit {
        nonce: ONE.into(),
        began,
        first_byte: Some(began + Duration::from_millis(500)),
        left: None,
        status: Some(200),
        complete: true,
        headers: vec![("X-Request-ID".into(), ONE.into())],
        body: format!("Hello {ONE} from a").into(),
    };
    let attempt = Attempt {
        upstream: "a".into(),
        nonces: vec![ONE.into()],
        headers: vec![("Authorization".into(), "Bearer sk-of-a".into())],
        at: began + Duration::from_millis(300),
        stale: false,
    };
    let row = json!({"request_id": ONE, "prompt_tokens": 11, "completion_tokens": 7});
    let samples = [
        ("llm_orchestrator_requests_total{status=\"200\"}", 1.0),
        ("llm_orchestrator_tokens_total{kind=\"input\"}", 11.0),
        ("llm_orchestrator_tokens_total{kind=\"output\"}", 7.0),
        ("llm_orchestrator_log_rows_total{state=\"dropped\"}", 0.0),
    ];
    let vitals = Vitals { files: 30, threads: 5, memory: 1 << 20, running: 0 };
    Evidence {
        visits: vec![visit],
        attempts: vec![attempt],
        rows: vec![row],
        metrics: samples.map(|(name, value)| (name.to_owned(), value)).into(),
        keys: [("a".to_owned(), "sk-of-a".to_owned())].into(),
        secrets: vec!["sk-of-the-client".into()],
        places: vec![("the output".into(), "GET /healthz 200".into())],
        log: vec!["INFO POST /v1/chat/completions 200".into()],
        expected_errors: Vec::new(),
        most_attempts: 1,
        prompt: Duration::from_millis(100),
        troubled: 0,
        before: vitals,
        after: vitals,
        open_upstream: 1,
    }
}

/// Breaks one thing, and says which rules are violated then.
fn broken(by: impl FnOnce(&mut Evidence)) -> Vec<Rule> {
    let mut evidence = well();
    by(&mut evidence);
    let rules: BTreeSet<Rule> = violations(&evidence).into_iter().map(|violation| violation.rule).collect();
    rules.into_iter().collect()
}

#[test]
fn where_all_is_well_nothing_is_found() {
    assert_eq!(violations(&well()), []);
}

#[test]
fn a_question_with_no_row_with_two_or_with_one_of_nobodys_is_seen() {
    assert_eq!(broken(|all| all.rows.clear()), [Rule::OneOutcome, Rule::Sums]);
    assert_eq!(broken(|all| all.rows.push(all.rows[0].clone())), [Rule::OneOutcome, Rule::Sums]);
    assert_eq!(broken(|all| all.rows[0]["request_id"] = OTHER.into()), [Rule::OneOutcome]);
    let dropped = "llm_orchestrator_log_rows_total{state=\"dropped\"}";
    let miscounted = broken(|all| {
        all.metrics.insert(dropped.into(), 1.0);
    });
    assert_eq!(miscounted, [Rule::OneOutcome, Rule::Sums]);
    let counted = broken(|all| {
        all.rows.clear();
        all.metrics.insert(dropped.into(), 1.0);
    });
    assert_eq!(counted, [], "a row that was counted as dropped is no violation");
}

#[test]
fn an_attempt_too_many_is_seen() {
    assert_eq!(broken(|all| all.attempts.push(all.attempts[0].clone())), [Rule::Attempts]);
    let stale = |all: &Evidence| Attempt { stale: true, ..all.attempts[0].clone() };
    assert_eq!(broken(|all| all.attempts.push(stale(all))), [], "a connection that had died may be replaced");
}

#[test]
fn an_attempt_after_the_first_byte_or_after_the_client_left_is_seen() {
    let late = Duration::from_millis(601);
    assert_eq!(broken(|all| all.attempts[0].at = all.visits[0].began + late), [Rule::NoLateAttempt]);
    let left = broken(|all| {
        all.visits[0].first_byte = None;
        all.visits[0].left = Some(all.visits[0].began);
    });
    assert_eq!(left, [Rule::NoLateAttempt]);
}

#[test]
fn an_answer_to_somebody_else_is_seen() {
    assert_eq!(broken(|all| all.visits[0].body = format!("Hello {OTHER}").into()), [Rule::NoMixing]);
    assert_eq!(broken(|all| all.attempts[0].nonces.push(OTHER.into())), [Rule::NoMixing]);
    assert_eq!(broken(|all| all.attempts[0].nonces.clear()), [Rule::NoMixing]);
}

#[test]
fn a_key_of_somebody_else_is_seen() {
    let header = |value: &str| ("x-api-key".to_owned(), value.to_owned());
    assert_eq!(broken(|all| all.attempts[0].headers = vec![header("sk-of-b")]), [Rule::OwnKey]);
    assert_eq!(broken(|all| all.attempts[0].headers.push(header("sk-of-a"))), [Rule::OwnKey]);
    assert_eq!(broken(|all| all.attempts[0].headers.clear()), [Rule::OwnKey]);
}

#[test]
fn counts_that_the_log_does_not_add_up_to_are_seen() {
    assert_eq!(broken(|all| all.rows[0]["prompt_tokens"] = 10.into()), [Rule::Sums]);
    assert_eq!(broken(|all| all.rows[0]["completion_tokens"] = (-7).into()), [Rule::Sums]);
    assert_eq!(broken(|all| all.metrics.retain(|name, _| !name.contains("requests"))), [Rule::Sums]);
}

#[test]
fn a_secret_is_seen_wherever_it_is() {
    assert_eq!(broken(|all| all.places[0].1 = "key=sk-of-a".into()), [Rule::NoSecret]);
    assert_eq!(broken(|all| all.places[0].1 = format!("asked: {PRIVATE}")), [Rule::NoSecret]);
    assert_eq!(broken(|all| all.visits[0].body.extend(b" sk-of-a")), [Rule::NoSecret]);
    assert_eq!(broken(|all| all.visits[0].headers[0].1 = "sk-of-the-client".into()), [Rule::NoSecret]);
    assert_eq!(
        broken(|all| all.attempts[0].headers.push(("X-More".into(), "sk-of-the-client".into()))),
        [Rule::NoSecret]
    );
}

#[test]
fn what_is_left_over_is_seen() {
    assert_eq!(broken(|all| all.after.running = 1), [Rule::NothingLeft]);
    assert_eq!(broken(|all| all.after.files += FILES_TO_SPARE + 2), [Rule::NothingLeft]);
    assert_eq!(broken(|all| all.after.threads += THREADS_TO_SPARE + 1), [Rule::NothingLeft]);
}

#[test]
fn an_error_and_a_panic_are_seen_unless_they_were_expected() {
    assert_eq!(broken(|all| all.log.push("2026 ERROR it broke".into())), [Rule::NoError]);
    assert_eq!(broken(|all| all.log.push("thread 'x' panicked at src".into())), [Rule::NoError]);
    let expected = broken(|all| {
        all.log.push("2026 ERROR it broke".into());
        all.expected_errors.push("it broke".into());
    });
    assert_eq!(expected, []);
}

#[test]
fn a_log_that_grows_faster_than_the_work_is_seen() {
    let line = "INFO again".to_owned();
    assert_eq!(broken(|all| all.log.extend(vec![line.clone(); 42])), [Rule::QuietLog]);
    let troubled = broken(|all| {
        all.log.extend(vec![line.clone(); 42]);
        all.troubled = 1;
    });
    assert_eq!(troubled, []);
}
