//! Everything that serving a request needs to know, read at one moment.

use super::{
    ApiKey, Model, ModelProvider, Provider, Store, StoreError,
    db::{self, Db, within},
};

/// The configuration at one moment.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
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

/// Counts and times that differ after every change of the configuration, whoever made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, sqlx::FromRow)]
pub struct Fingerprint {
    providers: i64,
    provider_at: i64,
    listed_at: i64,
    models: i64,
    model_at: i64,
    model_providers: i64,
    model_provider_at: i64,
    keys: i64,
    live_keys: i64,
    key_changes: i64,
    examined_at: i64,
}

const FINGERPRINT: &str = "select \
    (select count(*) from provider) as providers, \
    (select coalesce(max(updated_at), 0) from provider) as provider_at, \
    (select coalesce(max(listed_at), 0) from provider) as listed_at, \
    (select count(*) from model) as models, \
    (select coalesce(max(updated_at), 0) from model) as model_at, \
    (select count(*) from model_provider) as model_providers, \
    (select coalesce(max(updated_at), 0) from model_provider) as model_provider_at, \
    (select count(*) from api_key) as keys, \
    (select count(*) from api_key where enabled = 1 and revoked_at is null) as live_keys, \
    (select coalesce(max(value), 0) from counter where name = 'api_key_change') as key_changes, \
    (select coalesce(max(examined_at), 0) from provider) as examined_at";

impl Store {
    /// Tells, at little cost, whether anything that [`Store::snapshot`] reads has changed.
    pub async fn fingerprint(&self) -> Result<Fingerprint, StoreError> {
        db::reading!(self, pool => sqlx::query_as(FINGERPRINT).fetch_one(pool))
    }

    /// Reads the whole configuration as of one moment: no change is seen in part.
    pub async fn snapshot(&self) -> Result<Snapshot, StoreError> {
        match &self.db {
            // A transaction of SQLite sees one moment from its first statement on.
            Db::Sqlite { reader, .. } => read_all!(reader.begin()),
            Db::Postgres(pool) => read_all!(pool.begin_with("begin isolation level repeatable read read only")),
        }
    }
}
