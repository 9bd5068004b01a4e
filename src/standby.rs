//! What a gateway starts with while its database server is away: the last configuration that it had read from there.
//!
//! It is kept in a file, as the database keeps it: providers' keys sealed, clients' keys as hashes.

use std::{
    fs,
    io::{self, Write as _},
    os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _},
    path::{Path, PathBuf},
};

use anyhow::Context as _;
use serde::{Deserialize, Serialize};

use crate::{secret::KeyHash, store::Snapshot};

/// What the file holds.
#[derive(Serialize, Deserialize)]
pub struct Standby {
    /// Which database it comes from, as [`Store::describe`](crate::store::Store::describe) says.
    pub database: String,
    /// What opens the admin API.
    pub admin_key: KeyHash,
    pub snapshot: Snapshot,
}

impl Standby {
    /// Reads what was kept of `database`.
    pub fn read(file: &Path, database: &str) -> anyhow::Result<Self> {
        let text = fs::read(file).with_context(|| format!("{} cannot be read", file.display()))?;
        let kept: Self = serde_json::from_slice(&text)
            .with_context(|| format!("{} is damaged, or of another version", file.display()))?;
        anyhow::ensure!(kept.database == database, "{} is of another database: {}", file.display(), kept.database);
        Ok(kept)
    }

    /// Replaces the file, for its owner's eyes only. Whoever reads it meanwhile sees the old one or the new one, whole.
    pub fn write(&self, file: &Path) -> io::Result<()> {
        if let Some(folder) = file.parent().filter(|folder| !folder.as_os_str().is_empty()) {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        }
        let draft = PathBuf::from(format!("{}.{}", file.display(), std::process::id()));
        let mut opened = fs::OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&draft)?;
        opened.write_all(&serde_json::to_vec(self)?)?;
        fs::rename(&draft, file)
    }
}
