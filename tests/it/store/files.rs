//! What only a database in a file can show: modes, locks, schemas from other versions.

use std::{fs, os::unix::fs::PermissionsExt as _, path::Path, time::Duration};

use llm_orchestrator::store::{Store, StoreError};
use sqlx::{Connection as _, SqliteConnection};

use super::{provider, sqlite};

async fn connect(folder: &Path) -> SqliteConnection {
    SqliteConnection::connect(&format!("sqlite://{}/test.db", folder.display())).await.unwrap()
}

#[tokio::test]
async fn a_new_file_is_for_its_owner_only() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(&folder.path().join("deep/er")).await;
    store.insert_provider(&provider(&store, "main").await).await.unwrap();
    for entry in fs::read_dir(folder.path().join("deep/er")).unwrap() {
        let entry = entry.unwrap();
        assert_eq!(entry.metadata().unwrap().permissions().mode() & 0o777, 0o600, "{:?}", entry.path());
    }
}

#[tokio::test]
async fn a_folder_that_cannot_be_made_is_named() {
    let error = Store::open("sqlite:///proc/nowhere/test.db").unwrap_err();
    assert!(error.to_string().contains("/proc/nowhere"), "{error}");
}

#[tokio::test]
async fn data_survives_closing_and_opening() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let row = provider(&store, "main").await;
    store.insert_provider(&row).await.unwrap();
    store.close().await;
    assert!(store.ping().await.unwrap_err().is_passing());
    assert_eq!(sqlite(folder.path()).await.providers().await.unwrap(), [row]);
}

#[tokio::test]
async fn a_newer_schema_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let insert = "insert into _sqlx_migrations (version, description, success, checksum, execution_time) \
                  values (9000, 'from the future', true, x'00', 0)";
    sqlx::query(insert).execute(&mut connect(folder.path()).await).await.unwrap();
    let error = store.migrate().await.unwrap_err();
    assert!(matches!(error, StoreError::Newer { found: 9000, .. }), "{error}");
    assert_eq!(store.check().await.unwrap().len(), 1);
}

#[tokio::test]
async fn a_schema_changed_by_hand_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    sqlx::query("update _sqlx_migrations set checksum = x'00'")
        .execute(&mut connect(folder.path()).await)
        .await
        .unwrap();
    assert!(matches!(store.migrate().await, Err(StoreError::Schema(_))));
}

#[tokio::test]
async fn an_unmigrated_database_says_what_it_lacks() {
    let store = Store::open("sqlite::memory:").unwrap();
    let lacking = store.pending_migrations().await.unwrap();
    assert!(lacking > 1, "{lacking}");
    assert_eq!(store.check().await.unwrap(), [format!("{lacking} migrations have not been applied")]);
    assert_eq!(store.migrate().await.unwrap(), lacking);
    assert_eq!(store.check().await.unwrap(), Vec::<String>::new());
}

#[tokio::test]
async fn another_process_holding_the_lock_stops_writes_for_a_while_but_not_reads() {
    let folder = tempfile::tempdir().unwrap();
    let store = sqlite(folder.path()).await;
    let row = provider(&store, "main").await;
    let mut other = connect(folder.path()).await;
    let held = other.begin_with("begin exclusive").await.unwrap();
    assert_eq!(store.snapshot().await.unwrap().providers, []);
    let refused = tokio::time::timeout(Duration::from_secs(4), store.insert_provider(&row)).await.expect("in time");
    assert!(refused.unwrap_err().is_passing());
    held.rollback().await.unwrap();
    store.insert_provider(&row).await.unwrap();
}
