//! What was said in requests, beside the rows of the log.

use llm_orchestrator::store::{LogContent, LogRow, Store};

use super::scenarios;

scenarios!(
    contents_are_found_with_their_row_and_written_twice_they_stay_as_they_are,
    old_contents_are_forgotten_and_others_stay,
);

fn content(log_id: i64, created_at: i64) -> LogContent {
    LogContent {
        log_id,
        created_at,
        request: vec![0, 255, 7],
        request_bytes: 9,
        answer: Vec::new(),
        answer_bytes: i64::MAX,
    }
}

async fn contents_are_found_with_their_row_and_written_twice_they_stay_as_they_are(store: Store) {
    let row = |id| LogRow { id, created_at: 1000 + id, request_id: format!("req_{id}").into(), ..LogRow::default() };
    store.insert_logs(&[row(1), row(2)]).await.unwrap();
    store.insert_log_contents(&[content(1, 1001)]).await.unwrap();
    store.insert_log_contents(&[LogContent { request: Vec::new(), ..content(1, 1001) }]).await.unwrap();
    assert_eq!(store.log(1).await.unwrap(), Some((row(1), Some(content(1, 1001)))));
    assert_eq!(store.log(2).await.unwrap(), Some((row(2), None)));
    assert_eq!(store.log(3).await.unwrap(), None);
}

async fn old_contents_are_forgotten_and_others_stay(store: Store) {
    let all: Vec<_> = (1..=450).map(|id| content(id, 1000 + id)).collect();
    store.insert_log_contents(&all).await.unwrap();
    let mut forgotten = 0;
    loop {
        match store.forget_log_contents(1441).await.unwrap() {
            0 => break,
            some => forgotten += some,
        }
    }
    assert_eq!(forgotten, 440);
    assert_eq!(store.forget_log_contents(i64::MAX).await.unwrap(), 10);
}
