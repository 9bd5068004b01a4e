//! The conversations that are kept here: in memory, and in the database behind it where the configuration says so.

use std::{collections::HashMap, sync::Arc, time::Duration};

use llm_protocol::ir::{ApiError, ErrorKind};

use super::Conversation;
use crate::{
    app::App,
    clock,
    config::Keeping,
    store::{KeptResponse, StoreError},
};

/// Keeps a conversation. What the database does not take in time is in memory all the same: the answer was given, and is worth
/// more than its copy.
pub async fn keep(app: &App, owner: &str, id: &str, conversation: Arc<Conversation>) {
    if conversation.bytes() > app.config.responses.max_bytes {
        return;
    }
    app.conversations.keep(owner, id, conversation.clone());
    if app.config.responses.store != Keeping::Database {
        return;
    }
    let created_at = clock::now_micros();
    let row = KeptResponse {
        id: id.to_owned(),
        owner: owner.to_owned(),
        body: conversation.response.clone(),
        input: conversation.input.clone(),
        created_at,
        expires_at: clock::after(created_at, app.config.responses.ttl),
    };
    if let Err(error) = app.store.put_response(&row).await {
        tracing::warn!(%error, "An answer is kept in memory only");
    }
}

/// What `owner` calls by this id. Fails with 503 if memory does not know it and the database cannot say.
pub async fn find(app: &App, owner: &str, id: &str) -> Result<Option<Arc<Conversation>>, ApiError> {
    Ok(find_all(app, owner, vec![id.to_owned()]).await?.remove(id))
}

/// Those that `owner` has of these ids.
pub async fn find_all(
    app: &App,
    owner: &str,
    mut ids: Vec<String>,
) -> Result<HashMap<String, Arc<Conversation>>, ApiError> {
    let mut found = HashMap::new();
    ids.retain(|id| match app.conversations.get(owner, id) {
        Some(conversation) => found.insert(id.clone(), conversation).is_some(),
        None => true,
    });
    if app.config.responses.store != Keeping::Database {
        return Ok(found);
    }
    for row in app.store.responses(owner, &ids, clock::now_micros()).await.map_err(unavailable)? {
        let conversation = Arc::new(Conversation::new(row.body, row.input));
        app.conversations.keep(owner, &row.id, conversation.clone());
        found.insert(row.id, conversation);
    }
    Ok(found)
}

/// Forgets a conversation.
pub async fn forget(app: &App, owner: &str, id: &str) -> Result<(), ApiError> {
    app.conversations.forget(owner, id);
    if app.config.responses.store == Keeping::Database {
        app.store.delete_response(id, owner).await.map_err(unavailable)?;
    }
    Ok(())
}

fn unavailable(error: StoreError) -> ApiError {
    tracing::warn!(%error, "Kept answers cannot be looked up or deleted");
    ApiError {
        reason: Some("database"),
        ..ApiError::new(ErrorKind::Unavailable, "kept answers cannot be looked up or deleted now")
    }
}

/// Rows that one statement removes, and the rest after it: others write meanwhile.
const ROWS: i64 = 500;
const REST: Duration = Duration::from_millis(50);

/// Forgets in time what is kept of answers, here and of those at providers.
pub fn sweep(app: &Arc<App>) {
    let (swept, stopping) = (Arc::downgrade(app), app.stopping.clone());
    let interval = app.config.responses.sweep_interval;
    app.tasks.spawn(async move {
        while stopping.run_until_cancelled(tokio::time::sleep(interval)).await.is_some() {
            let Some(app) = swept.upgrade() else { return };
            app.conversations.sweep();
            let sweeping = async {
                while app.store.sweep_responses(clock::now_micros(), ROWS).await? == ROWS as u64 {
                    tokio::time::sleep(REST).await;
                }
                while app.store.sweep_upstream_objects(clock::now_micros(), ROWS).await? == ROWS as u64 {
                    tokio::time::sleep(REST).await;
                }
                Ok::<_, StoreError>(())
            };
            if let Some(Err(error)) = stopping.run_until_cancelled(sweeping).await {
                tracing::debug!(%error, "What has expired is removed from the database later");
            }
        }
    });
}
