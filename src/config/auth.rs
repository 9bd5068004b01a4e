//! Who may use the gateway, and the key that guards what it keeps secret.

use std::path::PathBuf;

use secrecy::{ExposeSecret, SecretString};

use super::section::section;

/// Fewest characters of a master key that can't be guessed in practice.
const MASTER_KEY_CHARACTERS: usize = 16;

/// Fewest characters of an admin key, and fewest that nobody is warned of.
const ADMIN_KEY_CHARACTERS: usize = 8;
const SAFE_ADMIN_KEY_CHARACTERS: usize = 16;

section! {
    /// Who may use the gateway, and the key that guards what it keeps secret.
    pub struct AuthConfig in "auth" {
        /// Key of the operator, for everything under /admin; without one the first start makes one and prints it once.
        pub admin_key: Option<SecretString> = None, env "ADMIN_KEY", example "\"choose-a-long-random-text\"";
        /// Keys that clients may use, besides those made through the admin API.
        pub api_keys: Vec<SecretString> = Vec::new(), env "API_KEYS";
        /// Serve /v1 to clients without any key; only on a loopback address.
        pub allow_anonymous: bool = false;
        /// Secret of at least 16 characters that encrypts stored provider keys; takes the place of master_key_file.
        pub master_key: Option<SecretString> = None, env "MASTER_KEY", example "\"at-least-16-characters-that-nobody-guesses\"";
        /// File that holds the secret when master_key is not set; made on the first start.
        pub master_key_file: PathBuf = PathBuf::from("./data/master.key");
    }
}

impl AuthConfig {
    pub(super) fn check(&self) -> Result<(), String> {
        let keys = self.admin_key.iter().map(|key| ("auth.admin_key (ADMIN_KEY)", key));
        let keys = keys.chain(self.api_keys.iter().map(|key| ("auth.api_keys (API_KEYS)", key)));
        for (name, key) in keys {
            if !key.expose_secret().bytes().all(|byte| byte.is_ascii_graphic()) {
                return Err(format!(
                    "{name} has a character that a header cannot carry: use letters, digits and signs without spaces"
                ));
            }
        }
        self.check_admin_key()?;
        self.check_master_key()
    }

    /// One key cannot be both: an API key is refused under /admin, whatever it says.
    fn check_admin_key(&self) -> Result<(), String> {
        let Some(admin) = &self.admin_key else { return Ok(()) };
        if self.api_keys.iter().any(|key| key.expose_secret() == admin.expose_secret()) {
            return Err(
                "auth.admin_key (ADMIN_KEY) is also in auth.api_keys (API_KEYS): choose a key of its own for the \
                        operator"
                    .to_owned(),
            );
        }
        let characters = admin.expose_secret().chars().count();
        if characters < ADMIN_KEY_CHARACTERS {
            return Err(format!(
                "auth.admin_key (ADMIN_KEY) has {characters} characters: give it at least {ADMIN_KEY_CHARACTERS}, better \
                 {SAFE_ADMIN_KEY_CHARACTERS}"
            ));
        }
        Ok(())
    }

    /// Whether there is an admin key that is short enough to be tried out.
    pub fn has_weak_admin_key(&self) -> bool {
        self.admin_key.as_ref().is_some_and(|key| key.expose_secret().chars().count() < SAFE_ADMIN_KEY_CHARACTERS)
    }

    fn check_master_key(&self) -> Result<(), String> {
        let characters = self.master_key.as_ref().map(|key| key.expose_secret().chars().count());
        match characters {
            Some(characters) if characters < MASTER_KEY_CHARACTERS => Err(format!(
                "auth.master_key (MASTER_KEY) has {characters} characters: give it at least {MASTER_KEY_CHARACTERS}"
            )),
            _ => Ok(()),
        }
    }
}
