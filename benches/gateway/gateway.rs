//! The gateway as it is installed by default, with one provider: the upstream.

use std::{net::SocketAddr, path::Path};

use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{
    block_on,
    canned::API_KEY,
    exchange::call,
    process::{Server, pinned},
};

const ADMIN_KEY: &str = "admin-benchmark-key";

/// A running gateway with a folder of its own.
pub struct Gateway {
    pub server: Server,
    _folder: TempDir,
}

impl Gateway {
    pub fn start(core: Option<usize>, program: &Path, upstream: SocketAddr) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let mut command = pinned(core, program);
        let path = std::env::var_os("PATH");
        command
            .env_clear()
            .envs(path.map(|path| ("PATH", path)))
            .env("APP_PORT", "0")
            .env("ADMIN_KEY", ADMIN_KEY)
            .env("API_KEYS", API_KEY)
            .current_dir(folder.path());
        let gateway = Self { server: Server::start(command)?, _folder: folder };
        let provider = json!({
            "name": "upstream", "type": "openai", "base_url": format!("http://{upstream}/v1"), "api_key": "sk-upstream",
        });
        gateway.admin("POST", "/admin/providers", &provider)?;
        Ok(gateway)
    }

    /// Rows that the log holds.
    pub fn log_rows(&self) -> anyhow::Result<u64> {
        let page = self.admin("GET", "/admin/logs?page_size=1", &Value::Null)?;
        Ok(page["total"].as_u64().unwrap_or_default())
    }

    fn admin(&self, method: &str, path: &str, body: &Value) -> anyhow::Result<Value> {
        block_on(call(method, &format!("http://{}{path}", self.server.address), ADMIN_KEY, body))
    }
}
