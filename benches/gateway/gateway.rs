//! The gateway as it is installed by default, with providers all of which are the upstream.

use std::{
    net::SocketAddr,
    path::{Path, PathBuf},
};

use anyhow::Context;
use serde_json::json;
use tempfile::TempDir;

use crate::{
    block_on,
    canned::API_KEY,
    exchange,
    process::{Server, pinned},
};

const ADMIN_KEY: &str = "admin-benchmark-key";

/// What a gateway has to look after.
#[derive(Clone, Copy, Debug)]
pub struct Size {
    /// Of OpenAI's type, each of which serves all its models.
    pub providers: usize,
    /// That may call.
    pub keys: usize,
}

impl Default for Size {
    fn default() -> Self {
        Self { providers: 1, keys: 1 }
    }
}

/// A running gateway with a folder of its own.
pub struct Gateway {
    pub server: Server,
    core: Option<usize>,
    program: PathBuf,
    upstream: SocketAddr,
    folder: TempDir,
}

impl Gateway {
    pub fn start(core: Option<usize>, program: &Path, upstream: SocketAddr, size: Size) -> anyhow::Result<Self> {
        let folder = tempfile::tempdir()?;
        let keys: Vec<_> =
            (1..size.keys).map(|number| format!("sk-another-key-{number}")).chain([API_KEY.into()]).collect();
        std::fs::write(folder.path().join("config.toml"), format!("[auth]\napi_keys = {}\n", json!(keys)))?;
        let server = serve(core, program, upstream, folder.path())?;
        let gateway = Self { server, core, program: program.to_owned(), upstream, folder };
        for number in 1..size.providers {
            let url = format!("http://{}/admin/providers", gateway.server.address);
            let base_url = format!("http://{upstream}/v1");
            let name = format!("provider-{number}");
            let provider = json!({"name": name, "type": "openai", "base_url": base_url, "api_key": "sk-upstream"});
            block_on(exchange::post(&url, ADMIN_KEY, &provider))?;
        }
        Ok(gateway)
    }

    /// Ends the process and waits until another one answers.
    pub fn restart(&mut self) -> anyhow::Result<()> {
        self.server.stop();
        self.server = serve(self.core, &self.program, self.upstream, self.folder.path())?;
        block_on(exchange::get(&format!("http://{}/readyz", self.server.address), ADMIN_KEY)).map(|_| ())
    }

    /// Rows that the log holds.
    pub fn log_rows(&self) -> anyhow::Result<u64> {
        let url = format!("http://{}/admin/logs?page_size=1", self.server.address);
        let page = block_on(exchange::get(&url, ADMIN_KEY))?;
        page["total"].as_u64().context("the log page says how many rows there are")
    }
}

fn serve(core: Option<usize>, program: &Path, upstream: SocketAddr, folder: &Path) -> anyhow::Result<Server> {
    let mut command = pinned(core, program);
    let path = std::env::var_os("PATH");
    command
        .env_clear()
        .envs(path.map(|path| ("PATH", path)))
        .env("APP_PORT", "0")
        .env("ADMIN_KEY", ADMIN_KEY)
        .env("OPENAI_API_KEY", "sk-upstream")
        .env("OPENAI_BASE_URL", format!("http://{upstream}/v1"))
        .env("ANTHROPIC_API_KEY", "sk-ant-upstream")
        .env("ANTHROPIC_BASE_URL", format!("http://{upstream}/v1"))
        .current_dir(folder);
    Server::start(command, &folder.join("gateway.log"))
}
