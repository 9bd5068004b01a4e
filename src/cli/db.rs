//! `db`: looks after the database.

use std::path::{Path, PathBuf};

use anyhow::Context;
use serde_json::{Map, Value};

use super::{Exit, complain, say, wait_for, with_store};
use crate::{
    clock,
    config::Config,
    secret::MasterKey,
    store::{Model, ModelProvider, Noun, Provider, Store},
};

#[derive(clap::Subcommand)]
pub enum Command {
    /// Make the database and its tables, if they are not there yet
    #[command(visible_alias = "init")]
    Create,
    /// Say whether the database can be used as it is
    Check,
    /// Bring the tables up to date
    Migrate,
    /// Add three disabled providers with a model each, to look at and to change
    Sample,
    /// Throw away everything that is stored, and make the tables anew
    Reset {
        /// Really do it
        #[arg(long)]
        force: bool,
    },
    /// Seal the providers' keys with another master key, all or none
    RotateMasterKey {
        /// The file that holds the new master key; made if there is none
        #[arg(long, value_name = "FILE")]
        to: PathBuf,
    },
}

impl Command {
    pub fn run(&self, file: Option<&Path>) -> anyhow::Result<Exit> {
        match self {
            Self::Create | Self::Migrate => wait_for(migrate(file)),
            Self::Check => wait_for(check(file)),
            Self::Sample => wait_for(with_store(file, sample)),
            Self::RotateMasterKey { to } => wait_for(rotate_master_key(file, to)),
            Self::Reset { force: true } => wait_for(reset(file)),
            Self::Reset { force: false } => {
                complain(
                    "this throws away all providers, models, keys and logs; say `db reset --force` if that is meant",
                );
                Ok(Exit::Usage)
            }
        }
    }
}

fn open(file: Option<&Path>) -> anyhow::Result<Store> {
    Ok(Store::open(&Config::load(file)?.database.url)?)
}

async fn migrate(file: Option<&Path>) -> anyhow::Result<Exit> {
    let store = open(file)?;
    match store.migrate().await? {
        0 => say(format_args!("{} is up to date.", store.describe()))?,
        applied => say(format_args!("{}: {applied} migrations applied.", store.describe()))?,
    }
    store.close().await;
    Ok(Exit::Ok)
}

async fn check(file: Option<&Path>) -> anyhow::Result<Exit> {
    let store = open(file)?;
    let findings = store.check().await?;
    for finding in &findings {
        say(format_args!("{}: {finding}", store.describe()))?;
    }
    if findings.is_empty() {
        say(format_args!("{} is in good order.", store.describe()))?;
    }
    store.close().await;
    Ok(if findings.is_empty() { Exit::Ok } else { Exit::Failure })
}

async fn reset(file: Option<&Path>) -> anyhow::Result<Exit> {
    let store = open(file)?;
    store.reset().await?;
    say(format_args!("{} is empty.", store.describe()))?;
    store.close().await;
    Ok(Exit::Ok)
}

/// Seals anew, with the key in the file `to`, what the configured master key opens.
async fn rotate_master_key(file: Option<&Path>, to: &Path) -> anyhow::Result<Exit> {
    let auth = Config::load(file)?.auth;
    let old = MasterKey::load(auth.master_key.as_ref(), &auth.master_key_file)?;
    let new = MasterKey::load(None, to)?;
    let reseal = |provider: &mut Provider| {
        let (id, name) = (provider.id, provider.name.clone());
        for sealed in provider.sealed().into_iter().flatten() {
            let opened = old.open(id, sealed);
            let opened = opened.with_context(|| format!("provider {name}; nothing was changed"))?;
            *sealed = new.seal(id, &opened);
        }
        anyhow::Ok(())
    };
    let count = with_store(file, async |store| store.reseal_providers(reseal).await?).await?;
    say(format_args!("The secrets of all providers ({count}) are sealed with the key in {}.", to.display()))?;
    say("Set auth.master_key_file to it (and unset MASTER_KEY), and restart every gateway now.")?;
    Ok(Exit::Ok)
}

/// Kind, model name.
const SAMPLES: [(&str, &str); 3] =
    [("openai", "gpt-5.4-mini"), ("anthropic", "claude-haiku-4-5"), ("gemini", "gemini-flash-latest")];

/// Adds what is not there yet. The providers have no keys, so they are disabled: nothing is sent anywhere by accident.
async fn sample(store: &Store) -> anyhow::Result<Exit> {
    for (kind, model) in SAMPLES {
        let name = format!("sample-{kind}");
        if store.providers().await?.iter().any(|provider| provider.name == name) {
            say(format_args!("{name} is there already."))?;
            continue;
        }
        let provider_id = add_provider(store, &name, kind).await?;
        let model_id = add_model(store, model).await?;
        add_association(store, model_id, provider_id, model).await?;
        say(format_args!("{name} added, with the model {model}."))?;
    }
    say("Give a provider its key and enable it with PATCH /admin/providers/{id}.")?;
    Ok(Exit::Ok)
}

fn note() -> Map<String, Value> {
    Map::from_iter([("sample".to_owned(), Value::Bool(true))])
}

async fn add_provider(store: &Store, name: &str, kind: &str) -> anyhow::Result<i64> {
    let id = store.new_id(Noun::Provider).await?;
    let provider = Provider {
        name: name.to_owned(),
        kind: kind.to_owned(),
        enabled: false,
        metadata: Some(note()),
        ..Provider::with_defaults(id, clock::now_micros())
    };
    store.insert_provider(&provider).await?;
    Ok(id)
}

async fn add_model(store: &Store, name: &str) -> anyhow::Result<i64> {
    if let Some(model) = store.model_named(name).await? {
        return Ok(model.id);
    }
    let (id, now) = (store.new_id(Noun::Model).await?, clock::now_micros());
    let model = Model {
        id,
        name: name.to_owned(),
        aliases: Vec::new(),
        enabled: true,
        description: Some("A sample".to_owned()),
        max_output_tokens: None,
        input_price: None,
        output_price: None,
        cached_input_price: None,
        cache_write_price: None,
        metadata: Some(note()),
        created_at: now,
        updated_at: now,
    };
    store.insert_model(&model).await?;
    Ok(id)
}

async fn add_association(store: &Store, model_id: i64, provider_id: i64, model: &str) -> anyhow::Result<()> {
    let (id, now) = (store.new_id(Noun::ModelProvider).await?, clock::now_micros());
    let row = ModelProvider {
        id,
        model_id,
        provider_id,
        upstream_name: model.to_owned(),
        weight: 100,
        enabled: true,
        tool_call: true,
        structured_output: true,
        image: true,
        created_at: now,
        updated_at: now,
    };
    Ok(store.insert_model_provider(&row).await?)
}
