//! The store on both databases: every scenario runs on SQLite, and again on PostgreSQL.

mod configuration;
mod files;
mod journal;
mod log_contents;
mod logs;
mod million;
pub mod postgres;
mod responses;
mod upstream_objects;

use llm_orchestrator::store::{Model, ModelProvider, Noun, Provider, Store};

/// Makes a test on SQLite of each scenario, and one test that runs them all on a PostgreSQL server of its own.
macro_rules! scenarios {
    ($($scenario:ident),+ $(,)?) => {
        mod on_sqlite {
            $(
                #[tokio::test]
                async fn $scenario() {
                    let folder = tempfile::tempdir().unwrap();
                    super::$scenario($crate::store::sqlite(folder.path()).await).await;
                }
            )+
        }

        #[tokio::test]
        async fn all_of_it_holds_on_postgresql_too() {
            let Some(server) = $crate::store::postgres::Server::start().await else { return };
            $(
                println!("on PostgreSQL: {}", stringify!($scenario));
                $scenario(server.store().await).await;
            )+
        }
    };
}

pub(crate) use scenarios;

/// A fresh database in a file, migrated.
pub async fn sqlite(folder: &std::path::Path) -> Store {
    let store = Store::open(&format!("sqlite://{}/test.db", folder.display())).unwrap();
    store.migrate().await.unwrap();
    store
}

/// A provider with nothing remarkable about it, not stored yet.
pub async fn provider(store: &Store, name: &str) -> Provider {
    Provider {
        id: store.new_id(Noun::Provider).await.unwrap(),
        name: name.to_owned(),
        kind: "openai".to_owned(),
        base_url: None,
        api_key: None,
        api_keys: None,
        enabled: true,
        priority: 100,
        weight: 100,
        timeout: 60,
        max_retries: 3,
        rate_limit: None,
        protocols: None,
        metadata: None,
        options: None,
        extra_headers: None,
        extra_body: None,
        proxy: None,
        listed_models: None,
        listed_at: None,
        capabilities: None,
        examined_at: None,
        created_at: 1000,
        updated_at: 1000,
    }
}

/// A model with nothing remarkable about it, not stored yet.
pub async fn model(store: &Store, name: &str) -> Model {
    Model {
        id: store.new_id(Noun::Model).await.unwrap(),
        name: name.to_owned(),
        aliases: Vec::new(),
        enabled: true,
        description: None,
        max_output_tokens: None,
        input_price: None,
        output_price: None,
        cached_input_price: None,
        cache_write_price: None,
        metadata: None,
        created_at: 1000,
        updated_at: 1000,
    }
}

/// `provider` serves `model` under the same name, not stored yet.
pub async fn model_provider(store: &Store, model: &Model, provider: &Provider) -> ModelProvider {
    ModelProvider {
        id: store.new_id(Noun::ModelProvider).await.unwrap(),
        model_id: model.id,
        provider_id: provider.id,
        upstream_name: model.name.clone(),
        weight: 100,
        enabled: true,
        tool_call: true,
        structured_output: true,
        image: true,
        created_at: 1000,
        updated_at: 1000,
    }
}
