//! Everything that serving a request needs to know, read at one moment.

use serde::{Deserialize, Serialize};

use super::{
    ApiKey, Model, ModelProvider, Provider, Store, StoreError,
    db::{self, Db, within},
    epoch::EPOCH,
};

/// The configuration at one moment.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Snapshot {
    /// Another one after every change of what is below, whoever made it.
    pub epoch: i64,
    /// In the order in which they are preferred.
    pub providers: Vec<Provider>,
    /// By name.
    pub models: Vec<Model>,
    /// By model.
    pub model_providers: Vec<ModelProvider>,
    /// Those that are neither disabled nor revoked; they may have expired.
    pub keys: Vec<ApiKey>,
}

/// Reads everything inside one transaction, on whichever database the transaction is.
macro_rules! read_all {
    ($begin:expr) => {
        within(db::STATEMENT, async {
            let mut tx = $begin.await?;
            let snapshot = Snapshot {
                epoch: sqlx::query_scalar(EPOCH).fetch_one(&mut *tx).await?,
                providers: sqlx::query_as(PROVIDERS).fetch_all(&mut *tx).await?,
                models: sqlx::query_as(MODELS).fetch_all(&mut *tx).await?,
                model_providers: sqlx::query_as(MODEL_PROVIDERS).fetch_all(&mut *tx).await?,
                keys: sqlx::query_as(LIVE_KEYS).fetch_all(&mut *tx).await?,
            };
            tx.rollback().await?;
            Ok::<_, sqlx::Error>(snapshot)
        })
        .await
    };
}

const PROVIDERS: &str = "select * from provider order by priority desc, id";
const MODELS: &str = "select * from model order by name";
const MODEL_PROVIDERS: &str = "select * from model_provider order by model_id, id";
const LIVE_KEYS: &str = "select * from api_key where enabled = 1 and revoked_at is null order by id";

impl Store {
    /// Reads the whole configuration as of one moment: no change is seen in part.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        match &self.db {
            // A transaction of SQLite sees one moment from its first statement on.
            Db::Sqlite { reader, .. } => read_all!(reader.begin()),
            Db::Postgres(pool) => read_all!(pool.begin_with("begin isolation level repeatable read read only")),
        }
    }
}
