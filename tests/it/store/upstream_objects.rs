//! Where things are at providers.

use llm_orchestrator::store::{Store, UpstreamObject};

use super::scenarios;

scenarios![
    a_thing_is_found_by_its_id_whoever_owns_it,
    a_thing_may_move,
    what_is_deleted_is_deleted_for_one_owner,
    many_things_are_noted_at_once,
    what_has_expired_is_swept_a_few_at_a_time,
];

fn object(id: &str, owner: &str, provider: i64) -> UpstreamObject {
    UpstreamObject {
        provider_key: None,
        id: id.to_owned(),
        owner: owner.to_owned(),
        provider_id: provider,
        created_at: 1,
        expires_at: None,
    }
}

async fn found(store: &Store, ids: &[&str]) -> Vec<(String, String, i64)> {
    let ids: Vec<String> = ids.iter().map(|&id| id.to_owned()).collect();
    let mut rows: Vec<_> = store
        .upstream_objects(&ids)
        .await
        .unwrap()
        .into_iter()
        .map(|row| (row.id, row.owner, row.provider_id))
        .collect();
    rows.sort();
    rows
}

async fn a_thing_is_found_by_its_id_whoever_owns_it(store: Store) {
    let rows = [object("file-1", "7", 1), object("file-1", "anonymous", 2), object("file-2", "7", 3)];
    store.put_upstream_objects(&rows).await.unwrap();
    let row = |id: &str, owner: &str, provider| (id.to_owned(), owner.to_owned(), provider);
    assert_eq!(found(&store, &["file-1"]).await, [row("file-1", "7", 1), row("file-1", "anonymous", 2)]);
    assert_eq!(found(&store, &["file-2", "file-3"]).await, [row("file-2", "7", 3)]);
    assert_eq!(found(&store, &[]).await, []);
}

async fn a_thing_may_move(store: Store) {
    store.put_upstream_objects(&[object("file-1", "7", 1)]).await.unwrap();
    let moved = UpstreamObject { provider_key: Some("team-a".into()), ..object("file-1", "7", 2) };
    store.put_upstream_objects(std::slice::from_ref(&moved)).await.unwrap();
    assert_eq!(store.upstream_objects(&["file-1".to_owned()]).await.unwrap(), [moved]);
}

async fn what_is_deleted_is_deleted_for_one_owner(store: Store) {
    store.put_upstream_objects(&[object("file-1", "7", 1), object("file-1", "8", 1)]).await.unwrap();
    for _ in 0..2 {
        store.delete_upstream_object("file-1", "7").await.unwrap();
    }
    assert_eq!(found(&store, &["file-1"]).await, [("file-1".to_owned(), "8".to_owned(), 1)]);
}

async fn many_things_are_noted_at_once(store: Store) {
    let rows: Vec<_> = (0..2500).map(|at| object(&format!("item-{at}"), "7", at)).collect();
    store.put_upstream_objects(&rows).await.unwrap();
    assert_eq!(found(&store, &["item-0", "item-2499"]).await.len(), 2);
    store.put_upstream_objects(&[]).await.unwrap();
}

async fn what_has_expired_is_swept_a_few_at_a_time(store: Store) {
    let expiring = |at: i64| UpstreamObject { expires_at: Some(at), ..object(&format!("resp_{at}"), "7", 1) };
    let rows = [object("file-1", "7", 1), expiring(10), expiring(20), expiring(30), expiring(31)];
    store.put_upstream_objects(&rows).await.unwrap();
    let mut swept = Vec::new();
    for _ in 0..3 {
        swept.push(store.sweep_upstream_objects(30, 2).await.unwrap());
    }
    assert_eq!(swept, [2, 1, 0]);
    let left = found(&store, &["file-1", "resp_10", "resp_30", "resp_31"]).await;
    assert_eq!(left.iter().map(|(id, ..)| id.as_str()).collect::<Vec<_>>(), ["file-1", "resp_31"]);
}
