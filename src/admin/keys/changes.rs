//! What can be done with keys, for the admin API and the command line alike.

use llm_protocol::ir::{ApiError, ErrorKind};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use utoipa::ToSchema;

use super::input::KeyInput;
use crate::{
    admin::error::{invalid, no_such, taken},
    clock,
    config::JournalConfig,
    http::error::Failure,
    secret::{self, KeyHash},
    store::{ApiKey, Noun, Store},
};

/// What every key begins with that is made here.
const SCHEME: &str = "sk-";

/// Longest time that a rotated key's old text is good for, in seconds: thirty days.
const LONGEST_OVERLAP: i64 = 30 * 24 * 3600;

/// How a key is rotated.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Rotation {
    /// Seconds for which the old text stays good, up to thirty days.
    #[schema(minimum = 0, maximum = 2_592_000, default = 0)]
    pub overlap: i64,
}

/// Makes a key, and says its text unless the operator brought it. What is `reserved` opens something already.
pub async fn create(
    store: &Store,
    journal: &JournalConfig,
    input: &KeyInput,
    reserved: impl Fn(&KeyHash) -> bool,
) -> Result<(Option<SecretString>, ApiKey), Failure> {
    input.check_allowed(journal)?;
    let own = input.own_text()?.cloned();
    let text = own.clone().unwrap_or_else(|| secret::generate(SCHEME));
    let in_use = || "`key` is in use already".to_owned();
    if reserved(&KeyHash::of(text.expose_secret())) {
        return Err(invalid("key", in_use()).into());
    }
    let mut row = ApiKey::new(0, "", text.expose_secret(), clock::now_micros());
    input.apply(&mut row)?;
    input.check_providers(store).await?;
    row.id = store.new_id(Noun::ApiKey).await?;
    store.insert_key(&row).await.map_err(|error| taken(error, "key", in_use))?;
    Ok((own.is_none().then_some(text), row))
}

/// Changes what a key is for.
pub async fn change(store: &Store, journal: &JournalConfig, id: i64, input: &KeyInput) -> Result<ApiKey, Failure> {
    input.refuse_text()?;
    input.check_allowed(journal)?;
    input.check_providers(store).await?;
    let edited = store.edit_key(id, |row| input.apply(row).map_err(Failure::from)).await?;
    edited.ok_or_else(|| no_such("key", id))
}

/// Gives a key another text, which is said once.
pub async fn rotate(store: &Store, id: i64, rotation: &Rotation) -> Result<(SecretString, ApiKey), Failure> {
    if !(0..=LONGEST_OVERLAP).contains(&rotation.overlap) {
        let message = format!("`overlap` must be from 0 to {LONGEST_OVERLAP} seconds, not {}", rotation.overlap);
        return Err(invalid("overlap", message).into());
    }
    let text = secret::generate(SCHEME);
    let edited = store.edit_key(id, |row| {
        if row.revoked_at.is_some() {
            let message = format!("key {id} is revoked for good: create another one");
            return Err(Failure::from(ApiError::new(ErrorKind::Conflict, message)));
        }
        row.rotate(text.expose_secret(), clock::now_micros(), rotation.overlap * 1_000_000);
        Ok(())
    });
    let row = edited.await?.ok_or_else(|| no_such("key", id))?;
    Ok((text, row))
}

/// Makes a key useless for good. Revoking twice keeps the first time.
pub async fn revoke(store: &Store, id: i64) -> Result<ApiKey, Failure> {
    let edited = store.edit_key::<Failure>(id, |row| {
        row.revoked_at.get_or_insert_with(clock::now_micros);
        Ok(())
    });
    edited.await?.ok_or_else(|| no_such("key", id))
}

/// Removes a key; what its requests left in the log stays.
pub async fn delete(store: &Store, id: i64) -> Result<(), Failure> {
    if store.delete_key(id).await? { Ok(()) } else { Err(no_such("key", id)) }
}

/// Which keys are wanted. What is `None` does not matter.
#[derive(Default)]
pub struct Filter {
    pub owner: Option<String>,
    pub tag: Option<String>,
    pub enabled: Option<bool>,
    /// Text somewhere in the name, the owner, the tags or the mask, whatever its case.
    pub text: Option<String>,
}

impl Filter {
    pub fn admits(&self, key: &ApiKey) -> bool {
        let mut texts = [&key.name, &key.prefix].into_iter().chain(&key.owner).chain(&key.tags);
        let wanted = self.text.as_ref().map(|text| text.to_lowercase());
        self.owner.as_ref().is_none_or(|owner| key.owner.as_ref() == Some(owner))
            && self.tag.as_ref().is_none_or(|tag| key.tags.contains(tag))
            && self.enabled.is_none_or(|enabled| key.enabled == enabled)
            && wanted.is_none_or(|wanted| texts.any(|text| text.to_lowercase().contains(&wanted)))
    }
}
