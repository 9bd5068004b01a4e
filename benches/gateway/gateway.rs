//! The gateway as it is installed by default, with two providers, both of which are the upstream.

use std::{net::SocketAddr, path::Path};

use anyhow::Context;
use tempfile::TempDir;

use crate::{
    block_on,
    canned::API_KEY,
    exchange,
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
            .env("OPENAI_API_KEY", "sk-upstream")
            .env("OPENAI_BASE_URL", format!("http://{upstream}/v1"))
            .env("ANTHROPIC_API_KEY", "sk-ant-upstream")
            .env("ANTHROPIC_BASE_URL", format!("http://{upstream}/v1"))
            .current_dir(folder.path());
        let server = Server::start(command, &folder.path().join("gateway.log"))?;
        Ok(Self { server, _folder: folder })
    }

    /// Rows that the log holds.
    pub fn log_rows(&self) -> anyhow::Result<u64> {
        let url = format!("http://{}/admin/logs?page_size=1", self.server.address);
        let page = block_on(exchange::get(&url, ADMIN_KEY))?;
        page["total"].as_u64().context("the log page says how many rows there are")
    }
}
