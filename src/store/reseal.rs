//! Sealing anew what the rows of providers hold sealed.

use super::{Provider, Store, StoreError, db};

/// Changes nothing and takes every row, so that nobody else changes one until all are sealed.
const HOLD: &str = "update provider set updated_at = updated_at";

const SEALED: &str = "update provider set api_key = $2, extra_headers = $3, proxy = $4, api_keys = $5 where id = $1";

impl Store {
    /// Writes what `reseal` makes of every provider's sealed columns, all or none, and says how many providers there are. It
    /// is no change of the configuration.
    pub async fn reseal_providers<E>(
        &self,
        reseal: impl Fn(&mut Provider) -> Result<(), E>,
    ) -> Result<Result<usize, E>, StoreError> {
        db::transaction!(self, tx => {
            sqlx::query(HOLD).execute(&mut *tx).await?;
            let mut providers: Vec<Provider> = sqlx::query_as("select * from provider").fetch_all(&mut *tx).await?;
            match providers.iter_mut().try_for_each(&reseal) {
                Err(error) => Err(error),
                Ok(()) => {
                    for provider in &providers {
                        sqlx::query(SEALED)
                            .bind(provider.id)
                            .bind(&provider.api_key)
                            .bind(&provider.extra_headers)
                            .bind(&provider.proxy)
                            .bind(&provider.api_keys)
                            .execute(&mut *tx)
                            .await?;
                    }
                    Ok(providers.len())
                }
            }
        })
    }
}
