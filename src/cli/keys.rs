//! `keys`: makes, lists and revokes API keys without a running gateway.

use std::path::Path;

use anyhow::{Context, bail};
use secrecy::ExposeSecret;

use super::{Exit, say, wait_for, with_store};
use crate::{
    clock,
    fidelity::Fidelity,
    secret::{self, KeyHash},
    store::{ApiKey, Noun, Store},
};

/// What a running gateway does not learn of by itself.
const RUNNING: &str = "A gateway that is running takes notice within two seconds.";

#[derive(clap::Subcommand)]
pub enum Command {
    /// Make a key and print it, once
    Create {
        /// Whose it is, or what for
        name: String,
        /// A model it may use, `*` standing for anything; may be given many times [default: all models]
        #[arg(long = "model", value_name = "PATTERN")]
        models: Vec<String>,
        /// When it ends, such as 2030-01-31 or 2030-01-31T12:00:00Z [default: never]
        #[arg(long, value_name = "TIME")]
        expires: Option<String>,
        /// How much of a request may be lost in translation: strict, warn or lenient [default: as configured]
        #[arg(long, value_name = "POLICY", value_parser = fidelity)]
        fidelity: Option<Fidelity>,
        /// The same as `--fidelity strict`
        #[arg(long, conflicts_with = "fidelity")]
        strict: bool,
    },
    /// List the keys; their text is not kept
    List,
    /// Make a key useless for good
    Revoke {
        /// Its id, as in the list
        id: i64,
    },
}

impl Command {
    pub fn run(self, file: Option<&Path>) -> anyhow::Result<Exit> {
        match self {
            Self::Create { name, models, expires, fidelity, strict } => {
                let expires = expires.as_deref().map(read_time).transpose()?;
                let fidelity = fidelity.or(strict.then_some(Fidelity::Strict));
                let models = (!models.is_empty()).then_some(models);
                wait_for(with_store(file, async |store| create(store, name, models, expires, fidelity).await))
            }
            Self::List => wait_for(with_store(file, list)),
            Self::Revoke { id } => wait_for(with_store(file, async |store| revoke(store, id).await)),
        }
    }
}

fn fidelity(name: &str) -> Result<Fidelity, String> {
    Fidelity::parse(name).ok_or_else(|| "expected strict, warn or lenient".to_owned())
}

fn read_time(text: &str) -> anyhow::Result<i64> {
    let time = clock::parse(text).with_context(|| format!("--expires {text:?} is not a time such as 2030-01-31"))?;
    if time <= clock::now_micros() {
        bail!("--expires {text:?} is in the past");
    }
    Ok(time)
}

async fn create(
    store: &Store,
    name: String,
    allowed_models: Option<Vec<String>>,
    expires_at: Option<i64>,
    fidelity: Option<Fidelity>,
) -> anyhow::Result<Exit> {
    let key = secret::generate("sk-");
    let text = key.expose_secret();
    let row = ApiKey {
        id: store.new_id(Noun::ApiKey).await?,
        name,
        prefix: secret::mask(text),
        hash: KeyHash::of(text),
        enabled: true,
        fidelity,
        allowed_models,
        expires_at,
        created_at: clock::now_micros(),
        revoked_at: None,
    };
    store.insert_key(&row).await?;
    say(text)?;
    super::complain(&format!("key {} is shown this once. {RUNNING}", row.id));
    Ok(Exit::Ok)
}

async fn list(store: &Store) -> anyhow::Result<Exit> {
    let now = clock::now_micros();
    for key in store.keys().await? {
        let state = match (key.is_live(now), key.revoked_at, key.enabled) {
            (true, ..) => "live",
            (_, Some(_), _) => "revoked",
            (_, _, false) => "disabled",
            _ => "expired",
        };
        let models = key.allowed_models.map_or_else(|| "all models".to_owned(), |models| models.join(","));
        let made = clock::rfc3339(key.created_at);
        say(format_args!("{}\t{}\t{state}\t{}\tmade {made}\t{models}", key.id, key.prefix, key.name))?;
    }
    Ok(Exit::Ok)
}

async fn revoke(store: &Store, id: i64) -> anyhow::Result<Exit> {
    if !store.revoke_key(id, clock::now_micros()).await? {
        bail!("there is no key with the id {id}");
    }
    say(format_args!("Key {id} is revoked. {RUNNING}"))?;
    Ok(Exit::Ok)
}
