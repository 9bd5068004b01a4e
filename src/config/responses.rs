//! What the gateway keeps of answers, for clients of OpenAI's Responses protocol that refer to them.

use std::time::Duration;

use super::{
    section::section,
    setting::{Given, Setting},
};

section! {
    /// What to keep of the answers of providers that keep none themselves, for clients that refer to them.
    pub struct ResponsesConfig in "responses" {
        /// "memory" keeps conversations until a restart at most, "off" keeps none. "database" stores prompts and answers, as
        /// they are, in the database, so that they outlive a restart and every gateway on the same database can go on from them.
        pub store: Keeping = Keeping::Memory;
        /// Most bytes of conversations in memory; the one not used for longest goes first. None that is larger is kept.
        pub max_bytes: usize = 64 << 20, range 0.0..=1e12;
        /// Seconds after which a conversation is forgotten.
        pub ttl: Duration = Duration::from_secs(24 * 3600), range 1.0..=31_536_000.0;
        /// Seconds after which it is forgotten which provider keeps an answer, a container or a thread. Files and batches are
        /// known until they are deleted.
        pub upstream_ttl: Duration = Duration::from_secs(30 * 24 * 3600), range 1.0..=31_536_000.0;
        /// Seconds between two clearings of what is to be forgotten.
        pub sweep_interval: Duration = Duration::from_secs(60), range 1.0..=86_400.0;
        /// Seconds that a WebSocket may be idle.
        pub socket_idle_timeout: Duration = Duration::from_secs(600), range 1.0..=86_400.0;
    }
}

/// Where conversations are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keeping {
    /// In memory only.
    Memory,
    /// In the database, with memory in front of it.
    Database,
    /// Nowhere.
    Off,
}

impl Setting for Keeping {
    fn read(given: &Given<'_>) -> Result<Self, String> {
        match String::read(given)?.trim().to_lowercase().as_str() {
            "memory" => Ok(Self::Memory),
            "database" => Ok(Self::Database),
            "off" => Ok(Self::Off),
            _ => Err("is none of memory, database and off".to_owned()),
        }
    }

    fn show(&self) -> Option<String> {
        let word = match self {
            Self::Memory => "memory",
            Self::Database => "database",
            Self::Off => "off",
        };
        word.to_owned().show()
    }
}
