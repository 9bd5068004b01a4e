//! Answers that are kept here.

use llm_orchestrator::store::{KeptResponse, Store};

use super::scenarios;

scenarios![an_answer_is_its_owners_until_it_expires, an_answer_is_kept_anew, expired_answers_are_swept_a_few_at_a_time];

fn answer(id: &str, owner: &str, expires_at: i64) -> KeptResponse {
    KeptResponse {
        id: id.to_owned(),
        owner: owner.to_owned(),
        body: format!(r#"{{"id":"{id}","output":[{{"text":"\u0000 é"}}]}}"#),
        input: "[]".to_owned(),
        created_at: 1,
        expires_at,
    }
}

async fn found(store: &Store, owner: &str, ids: &[&str], now: i64) -> Vec<String> {
    let ids: Vec<String> = ids.iter().map(|&id| id.to_owned()).collect();
    let rows = store.responses(owner, &ids, now).await.unwrap();
    let mut ids: Vec<String> = rows.into_iter().map(|row| row.id).collect();
    ids.sort();
    ids
}

async fn an_answer_is_its_owners_until_it_expires(store: Store) {
    let kept = answer("resp_1", "7", 10);
    store.put_response(&kept).await.unwrap();
    store.put_response(&answer("resp_2", "8", 10)).await.unwrap();
    let read = store.responses("7", &["resp_1".to_owned(), "resp_2".to_owned()], 9).await.unwrap();
    assert_eq!(read, [kept]);
    assert_eq!(found(&store, "7", &["resp_1"], 10).await, [""; 0]);
    assert_eq!(found(&store, "7", &[], 1).await, [""; 0]);
    assert!(!store.delete_response("resp_1", "8").await.unwrap());
    assert!(store.delete_response("resp_1", "7").await.unwrap());
    assert!(!store.delete_response("resp_1", "7").await.unwrap());
}

async fn an_answer_is_kept_anew(store: Store) {
    store.put_response(&answer("resp_1", "7", 10)).await.unwrap();
    let anew = KeptResponse { input: "[1]".to_owned(), ..answer("resp_1", "7", 20) };
    store.put_response(&anew).await.unwrap();
    assert_eq!(store.responses("7", &["resp_1".to_owned()], 15).await.unwrap(), [anew]);
}

async fn expired_answers_are_swept_a_few_at_a_time(store: Store) {
    for (id, expires_at) in [("resp_1", 10), ("resp_2", 20), ("resp_3", 30), ("resp_4", 31)] {
        store.put_response(&answer(id, "7", expires_at)).await.unwrap();
    }
    let mut swept = Vec::new();
    for _ in 0..3 {
        swept.push(store.sweep_responses(30, 2).await.unwrap());
    }
    assert_eq!(swept, [2, 1, 0]);
    assert_eq!(found(&store, "7", &["resp_1", "resp_3", "resp_4"], 0).await, ["resp_4"]);
}
