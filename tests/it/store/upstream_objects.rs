//! Where things are at providers.

use llm_orchestrator::store::{Store, UpstreamObject};

use super::scenarios;

scenarios![a_thing_is_found_by_its_id_whoever_owns_it, a_thing_may_move, what_is_deleted_is_deleted_for_one_owner];

fn object(id: &str, owner: &str, provider: i64) -> UpstreamObject {
    UpstreamObject { id: id.to_owned(), owner: owner.to_owned(), provider_id: Some(provider), created_at: 1 }
}

async fn found(store: &Store, ids: &[&str]) -> Vec<(String, String, Option<i64>)> {
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
    for row in [object("file-1", "7", 1), object("file-1", "anonymous", 2), object("file-2", "7", 3)] {
        store.put_upstream_object(&row).await.unwrap();
    }
    let row = |id: &str, owner: &str, provider| (id.to_owned(), owner.to_owned(), Some(provider));
    assert_eq!(found(&store, &["file-1"]).await, [row("file-1", "7", 1), row("file-1", "anonymous", 2)]);
    assert_eq!(found(&store, &["file-2", "file-3"]).await, [row("file-2", "7", 3)]);
    assert_eq!(found(&store, &[]).await, []);
}

async fn a_thing_may_move(store: Store) {
    store.put_upstream_object(&object("file-1", "7", 1)).await.unwrap();
    store.put_upstream_object(&object("file-1", "7", 2)).await.unwrap();
    assert_eq!(found(&store, &["file-1"]).await, [("file-1".to_owned(), "7".to_owned(), Some(2))]);
}

async fn what_is_deleted_is_deleted_for_one_owner(store: Store) {
    store.put_upstream_object(&object("file-1", "7", 1)).await.unwrap();
    store.put_upstream_object(&object("file-1", "8", 1)).await.unwrap();
    for _ in 0..2 {
        store.delete_upstream_object("file-1", "7").await.unwrap();
    }
    assert_eq!(found(&store, &["file-1"]).await, [("file-1".to_owned(), "8".to_owned(), Some(1))]);
}
