//! Taking over many models of a provider at once.

use std::collections::HashMap;

use super::{Model, Store, StoreError, db, row::json};
use crate::clock;

const RESERVE: &str = "update counter set value = value + 1 where name = $1 returning value";
const INSERT_MODEL: &str = "insert into model (id, name, aliases, created_at, updated_at) values ($1, $2, $3, $4, $4)";
const SERVED: &str = "select cast(count(*) as bigint) from model_provider \
    where model_id = $1 and provider_id = $2 and upstream_name = $3";
const INSERT_ASSOCIATION: &str = "insert into model_provider \
    (id, model_id, provider_id, upstream_name, created_at, updated_at) values ($1, $2, $3, $4, $5, $5)";

impl Store {
    /// Lets a provider serve models, each given by the provider's name for it and the clients'. Models that do not exist by
    /// name or alias are made. All or none; says how many it did not serve before.
    pub async fn import_models(&self, provider_id: i64, models: &[(String, String)]) -> Result<usize, StoreError> {
        let now = clock::now_micros();
        db::transaction!(self, tx => {
            let known: Vec<Model> = sqlx::query_as("select * from model order by id").fetch_all(&mut *tx).await?;
            let mut ids = by_any_name(known);
            let mut imported = 0;
            for (upstream_name, name) in models {
                let model_id = match ids.get(name) {
                    Some(id) => *id,
                    None => {
                        let id: i64 = sqlx::query_scalar(RESERVE).bind("model").fetch_one(&mut *tx).await?;
                        let no_aliases = json(&[""; 0]);
                        sqlx::query(INSERT_MODEL).bind(id).bind(name).bind(no_aliases).bind(now).execute(&mut *tx).await?;
                        ids.insert(name.clone(), id);
                        id
                    }
                };
                let served: i64 = sqlx::query_scalar(SERVED)
                    .bind(model_id)
                    .bind(provider_id)
                    .bind(upstream_name)
                    .fetch_one(&mut *tx)
                    .await?;
                if served == 0 {
                    let id: i64 = sqlx::query_scalar(RESERVE).bind("model_provider").fetch_one(&mut *tx).await?;
                    sqlx::query(INSERT_ASSOCIATION)
                        .bind(id)
                        .bind(model_id)
                        .bind(provider_id)
                        .bind(upstream_name)
                        .bind(now)
                        .execute(&mut *tx)
                        .await?;
                    imported += 1;
                }
            }
            imported
        })
    }
}

/// The models' ids by their names and aliases; a name wins over another model's alias.
fn by_any_name(models: Vec<Model>) -> HashMap<String, i64> {
    let mut ids = HashMap::new();
    for model in &models {
        ids.extend(model.aliases.iter().map(|alias| (alias.clone(), model.id)));
    }
    ids.extend(models.into_iter().map(|model| (model.name, model.id)));
    ids
}
