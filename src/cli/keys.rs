//! `keys`: what the admin API does with keys, without a running gateway.

use std::{
    io::{self, Read as _},
    path::{Path, PathBuf},
};

use anyhow::{Context, anyhow};
use clap::builder::PossibleValuesParser;
use secrecy::{ExposeSecret, SecretString};
use serde_json::{Map, Value};

use super::{Exit, say, wait_for, with_store};
use crate::{
    admin::keys::{Filter, KeyInput, KeyStatus, KeyView, NewKey, Rotation, changes},
    catalog::Endpoint,
    clock,
    config::Config,
    fidelity::Fidelity,
    http::error::Failure,
    secret::KeyHash,
    store::{ApiKey, Store},
};

/// When a running gateway learns of it.
const RUNNING: &str = "A gateway that is running takes notice within a second.";

#[derive(clap::Subcommand)]
pub enum Command {
    /// Make a key and print it, once
    Create {
        /// What it is called
        name: String,
        #[command(flatten)]
        fields: Box<Fields>,
        /// Take over the text that stands in a file (`-` is standard input) instead of making one
        #[arg(long, value_name = "FILE")]
        key_from: Option<PathBuf>,
        /// Print everything about it as JSON
        #[arg(long)]
        json: bool,
    },
    /// List the keys, the newest first; their text is not kept
    List {
        /// Only those of this owner
        #[arg(long)]
        owner: Option<String>,
        /// Only those with this tag
        #[arg(long)]
        tag: Option<String>,
        /// Only those that are switched on, or off
        #[arg(long, value_name = "BOOL")]
        enabled: Option<bool>,
        /// Only those with this text in the name, the owner, a tag or the mask
        #[arg(short, value_name = "TEXT")]
        q: Option<String>,
        /// Print them as JSON
        #[arg(long)]
        json: bool,
    },
    /// Show what a key is for
    Show {
        /// Its id, as in the list
        id: i64,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Change what a key is for; what is not named stays
    Update {
        /// Its id, as in the list
        id: i64,
        /// What it is called
        #[arg(long)]
        name: Option<String>,
        #[command(flatten)]
        fields: Box<Fields>,
        /// A field to be cleared, such as `allowed_models`; may be given many times
        #[arg(long, value_name = "FIELD")]
        clear: Vec<String>,
        /// Print it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Give a key another text and print it, once
    Rotate {
        /// Its id, as in the list
        id: i64,
        /// Seconds for which the old text stays good
        #[arg(long, value_name = "SECONDS", default_value_t = 0)]
        overlap: i64,
        /// Print everything about it as JSON
        #[arg(long)]
        json: bool,
    },
    /// Make a key useless for good; it stays in the list
    Revoke {
        /// Its id, as in the list
        id: i64,
    },
    /// Make a key useless and remove it from the list
    Delete {
        /// Its id, as in the list
        id: i64,
    },
}

/// What a key is for. Lists are given by naming the option many times.
#[derive(clap::Args)]
pub struct Fields {
    /// Whose it is
    #[arg(long)]
    owner: Option<String>,
    /// A word to find it by
    #[arg(long = "tag")]
    tags: Vec<String>,
    /// A model it may use, `*` standing for anything [default: all models]
    #[arg(long = "model", value_name = "PATTERN")]
    models: Vec<String>,
    /// The name or type of a provider that may be asked for it [default: all providers]
    #[arg(long = "provider", value_name = "NAME")]
    providers: Vec<String>,
    /// What it may call [default: everything]
    #[arg(long = "endpoint", value_name = "ENDPOINT", value_parser = PossibleValuesParser::new(Endpoint::ALL.map(Endpoint::as_str)))]
    endpoints: Vec<String>,
    /// An address it may be used from, or a range such as 10.0.0.0/8 [default: anywhere]
    #[arg(long = "address", value_name = "RANGE")]
    addresses: Vec<String>,
    /// Requests in any sixty seconds [default: as configured]
    #[arg(long, value_name = "COUNT")]
    requests_per_minute: Option<i64>,
    /// Tokens in any sixty seconds, those of prompts and of answers [default: as configured]
    #[arg(long, value_name = "COUNT")]
    tokens_per_minute: Option<i64>,
    /// Requests that run at the same time [default: as configured]
    #[arg(long, value_name = "COUNT")]
    concurrent_requests: Option<i64>,
    /// Whether its requests are logged with what was said in them [default: false]
    #[arg(long, value_name = "BOOL")]
    log_content: Option<bool>,
    /// Whether its requests may be answered from the cache [default: as configured]
    #[arg(long, value_name = "BOOL")]
    cache: Option<bool>,
    /// When it ends, such as 2030-01-31 or 2030-01-31T12:00:00Z [default: never]
    #[arg(long, value_name = "TIME")]
    expires: Option<String>,
    /// How much of a request may be lost in translation [default: as configured]
    #[arg(long, value_name = "POLICY", value_parser = PossibleValuesParser::new(Fidelity::ALL.map(Fidelity::as_str)))]
    fidelity: Option<String>,
    /// The same as `--fidelity strict`
    #[arg(long, conflicts_with = "fidelity")]
    strict: bool,
    /// Whether it opens anything [default: true]
    #[arg(long, value_name = "BOOL")]
    enabled: Option<bool>,
}

impl Fields {
    /// What the admin API would be sent.
    fn into_body(self) -> Map<String, Value> {
        let list = |items: Vec<String>| (!items.is_empty()).then(|| Value::from(items));
        let fields = [
            ("owner", self.owner.map(Value::from)),
            ("tags", list(self.tags)),
            ("allowed_models", list(self.models)),
            ("allowed_providers", list(self.providers)),
            ("allowed_endpoints", list(self.endpoints)),
            ("allowed_addresses", list(self.addresses)),
            ("requests_per_minute", self.requests_per_minute.map(Value::from)),
            ("tokens_per_minute", self.tokens_per_minute.map(Value::from)),
            ("concurrent_requests", self.concurrent_requests.map(Value::from)),
            ("log_content", self.log_content.map(Value::from)),
            ("cache", self.cache.map(Value::from)),
            ("expires_at", self.expires.map(Value::from)),
            ("fidelity", self.fidelity.map(Value::from)),
            ("strict", self.strict.then(|| Value::from(true))),
            ("enabled", self.enabled.map(Value::from)),
        ];
        fields.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

impl Command {
    pub fn run(self, file: Option<&Path>) -> anyhow::Result<Exit> {
        match self {
            Self::Create { name, fields, key_from, json } => {
                let mut body = fields.into_body();
                body.insert("name".to_owned(), name.into());
                if let Some(source) = key_from {
                    body.insert("key".to_owned(), read_key(&source)?.expose_secret().into());
                }
                let (input, config) = (read(body)?, Config::load(file)?);
                wait_for(with_store(file, async |store| create(store, &config, &input, json).await))
            }
            Self::List { owner, tag, enabled, q, json } => {
                let filter = Filter { owner, tag, enabled, text: q };
                wait_for(with_store(file, async |store| list(store, &filter, json).await))
            }
            Self::Show { id, json } => wait_for(with_store(file, async |store| show(store, id, json).await)),
            Self::Update { id, name, fields, clear, json } => {
                let mut body = fields.into_body();
                body.extend(name.map(|name| ("name".to_owned(), name.into())));
                body.extend(clear.into_iter().map(|field| (field, Value::Null)));
                let (input, config) = (read(body)?, Config::load(file)?);
                wait_for(with_store(file, async |store| update(store, &config, id, &input, json).await))
            }
            Self::Rotate { id, overlap, json } => {
                wait_for(with_store(file, async |store| rotate(store, id, &Rotation { overlap }, json).await))
            }
            Self::Revoke { id } => wait_for(with_store(file, async |store| {
                changes::revoke(store, id).await.map_err(plain)?;
                say(format_args!("Key {id} is revoked. {RUNNING}"))?;
                Ok(Exit::Ok)
            })),
            Self::Delete { id } => wait_for(with_store(file, async |store| {
                changes::delete(store, id).await.map_err(plain)?;
                say(format_args!("Key {id} is deleted. {RUNNING}"))?;
                Ok(Exit::Ok)
            })),
        }
    }
}

fn read(body: Map<String, Value>) -> anyhow::Result<KeyInput> {
    Ok(serde_json::from_value(Value::Object(body))?)
}

fn plain(Failure(error): Failure) -> anyhow::Error {
    anyhow!(error.message)
}

/// Longest file that may hold a key.
const LONGEST_KEY_FILE: u64 = 64 * 1024;

fn read_key(source: &Path) -> anyhow::Result<SecretString> {
    let mut text = String::new();
    let read = if source == Path::new("-") {
        io::stdin().take(LONGEST_KEY_FILE).read_to_string(&mut text)
    } else {
        std::fs::File::open(source).and_then(|file| file.take(LONGEST_KEY_FILE).read_to_string(&mut text))
    };
    read.with_context(|| format!("--key-from: cannot read {}", source.display()))?;
    Ok(SecretString::from(text.trim()))
}

/// What opens something already by the configuration.
fn reserved(config: &Config) -> Vec<KeyHash> {
    let keys = config.auth.api_keys.iter().chain(&config.auth.admin_key);
    keys.map(|key| KeyHash::of(key.expose_secret())).collect()
}

async fn create(store: &Store, config: &Config, input: &KeyInput, json: bool) -> anyhow::Result<Exit> {
    let reserved = reserved(config);
    let made = changes::create(store, &config.journal, input, |hash| reserved.contains(hash));
    let (text, row) = made.await.map_err(plain)?;
    match text {
        Some(text) => print_new(&text, &row, json)?,
        None if json => say(pretty(&NewKey::of(None, &row))?)?,
        None => say(format_args!("Key {} is taken over. {RUNNING}", row.id))?,
    }
    Ok(Exit::Ok)
}

async fn rotate(store: &Store, id: i64, rotation: &Rotation, json: bool) -> anyhow::Result<Exit> {
    let (text, row) = changes::rotate(store, id, rotation).await.map_err(plain)?;
    print_new(&text, &row, json)?;
    Ok(Exit::Ok)
}

async fn update(store: &Store, config: &Config, id: i64, input: &KeyInput, json: bool) -> anyhow::Result<Exit> {
    let row = changes::change(store, &config.journal, id, input).await.map_err(plain)?;
    print_one(&row, json)?;
    Ok(Exit::Ok)
}

async fn show(store: &Store, id: i64, json: bool) -> anyhow::Result<Exit> {
    let row = store.key(id).await?.with_context(|| format!("there is no key {id}"))?;
    print_one(&row, json)?;
    Ok(Exit::Ok)
}

async fn list(store: &Store, filter: &Filter, json: bool) -> anyhow::Result<Exit> {
    let keys: Vec<ApiKey> = store.keys().await?.into_iter().filter(|key| filter.admits(key)).collect();
    if json {
        say(pretty(&keys.iter().map(KeyView::from).collect::<Vec<_>>())?)?;
        return Ok(Exit::Ok);
    }
    let now = clock::now_micros();
    for key in keys {
        let status = KeyStatus::of(&key, now).as_str();
        let owner = key.owner.as_deref().unwrap_or("-");
        let models = key.allowed_models.map_or_else(|| "all models".to_owned(), |models| models.join(","));
        let made = clock::rfc3339(key.created_at);
        say(format_args!("{}\t{}\t{status}\t{}\t{owner}\tmade {made}\t{models}", key.id, key.prefix, key.name))?;
    }
    Ok(Exit::Ok)
}

/// Prints a key that has just got a text: alone on standard output, so that a script can take it.
fn print_new(text: &SecretString, row: &ApiKey, json: bool) -> anyhow::Result<()> {
    if json {
        say(pretty(&NewKey::of(Some(text), row))?)?;
    } else {
        say(text.expose_secret())?;
    }
    super::complain(&format!("key {} is shown this once. {RUNNING}", row.id));
    Ok(())
}

/// Prints what a key is for, one field a line, those that say nothing left out.
fn print_one(row: &ApiKey, json: bool) -> anyhow::Result<()> {
    let view = KeyView::from(row);
    if json {
        return say(pretty(&view)?);
    }
    let fields: Map<String, Value> = serde_json::from_value(serde_json::to_value(&view)?)?;
    for (name, value) in fields {
        match value {
            Value::Null => {}
            Value::String(text) => say(format_args!("{name}\t{text}"))?,
            other => say(format_args!("{name}\t{other}"))?,
        }
    }
    Ok(())
}

fn pretty(value: &impl serde::Serialize) -> anyhow::Result<String> {
    Ok(serde_json::to_string_pretty(value)?)
}
