//! The backups that the page on deployment tells to make: what was changed after them is as it was, once they are put back.

use std::{fs, path::Path, process::Command};

use serde_json::{Value, json};

use super::{
    page::Page,
    sandbox::{PRELUDE, with_own_program},
};
use crate::{
    store::postgres::Server,
    support::{Gateway, Request, Upstream, gateway::question},
};

/// Runs the first block of the page that has this word in it, as somebody in this folder and with these settings would.
fn follow(word: &str, folder: &Path, settings: &[(String, String)]) {
    let blocks = Page::read("docs/deployment.md").blocks();
    let block = blocks.iter().find(|block| block.language == "bash" && block.text.contains(word));
    let text = &block.unwrap_or_else(|| panic!("the page has no block with {word}")).text;
    let socket = settings.iter().find(|(name, _)| name == "PGHOST").map_or("", |(_, folder)| folder);
    let text = text.replace("127.0.0.1/orchestrator", &format!("localhost/orchestrator?host={socket}"));
    let mut command = Command::new("bash");
    command.args(["-euo", "pipefail", "-c", &format!("{PRELUDE}{text}")]).current_dir(folder).env_clear();
    command.envs(settings.iter().map(|(name, value)| (name, value))).env("PATH", with_own_program());
    let output = command.output().expect("a shell can be run");
    assert!(output.status.success(), "{text}\n{}", String::from_utf8_lossy(&output.stderr));
}

/// What there is before the backup.
struct Kept {
    upstream: Upstream,
    provider: i64,
    key_id: Value,
    key: String,
}

impl Kept {
    async fn fill(gateway: &Gateway) -> Self {
        let upstream = Upstream::start("a").await;
        let provider = gateway.provider("a", "openai", &upstream, json!({"priority": 321})).await;
        let made = gateway.admin("POST", "/admin/keys", json!({"name": "team"})).await.json();
        let kept =
            Self { upstream, provider, key_id: made["id"].clone(), key: made["key"].as_str().unwrap().to_owned() };
        assert_eq!(kept.ask(gateway).await, 200);
        gateway.logs(1).await;
        kept
    }

    async fn ask(&self, gateway: &Gateway) -> u16 {
        gateway.send(Request::post("/v1/chat/completions", &question("gpt-4o")).bearer(&self.key)).await.status
    }

    /// Removes it, and asks in vain.
    async fn lose(&self, gateway: &Gateway) {
        for target in [format!("/admin/providers/{}", self.provider), format!("/admin/keys/{}", self.key_id)] {
            assert_eq!(gateway.admin("DELETE", &target, Value::Null).await.status, 204, "{target}");
        }
        assert_eq!(self.ask(gateway).await, 401);
    }

    /// Its log row, its provider with the sealed key, and its own key are there again.
    async fn is_back(&self, gateway: &Gateway) {
        let rows = gateway.logs(1).await;
        assert_eq!((rows.len(), &rows[0]["status_code"]), (1, &json!(200)));
        assert_eq!(gateway.admin_get(&format!("/admin/providers/{}", self.provider)).await["priority"], 321);
        assert_eq!(self.ask(gateway).await, 200);
        assert_eq!(self.upstream.last().header("authorization"), Some("Bearer sk-of-a"));
    }
}

#[tokio::test]
async fn what_an_sqlite_backup_has_is_back_after_it_was_put_back() {
    let own = [
        ("DATABASE_URL", "sqlite://./data/llm-orchestrator.db"),
        ("ORCHESTRATOR_AUTH_MASTER_KEY_FILE", "./data/master.key"),
    ];
    let mut gateway = Gateway::with(&own).await;
    let kept = Kept::fill(&gateway).await;
    follow("backup.db", gateway.folder(), gateway.settings());
    kept.lose(&gateway).await;
    gateway.terminate();
    gateway.exit().await;
    let at = |name: &str| gateway.folder().join(name);
    fs::remove_dir_all(at("data")).unwrap();
    fs::create_dir(at("data")).unwrap();
    fs::copy(at("backup.db"), at("data/llm-orchestrator.db")).unwrap();
    fs::copy(at("backup.key"), at("data/master.key")).unwrap();
    gateway.restart().await;
    kept.is_back(&gateway).await;
}

#[tokio::test]
async fn what_a_postgresql_backup_has_is_back_after_it_was_put_back() {
    let Some(server) = Server::start().await else { return };
    let Some((socket, user)) = server.place() else { return };
    let folder = tempfile::tempdir().unwrap();
    let url = format!("postgres://orchestrator:PASSWORD@localhost/orchestrator?host={}", socket.display());
    let settings = [("PGHOST", socket.to_str().unwrap()), ("PGUSER", user), ("DATABASE_URL", &url)];
    let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned()));
    follow("createdb", folder.path(), &settings);
    let mut gateway = Gateway::with(&[("DATABASE_URL", &url)]).await;
    let kept = Kept::fill(&gateway).await;
    follow("pg_dump", folder.path(), &settings);
    kept.lose(&gateway).await;
    gateway.terminate();
    gateway.exit().await;
    follow("pg_restore", folder.path(), &settings);
    gateway.restart().await;
    kept.is_back(&gateway).await;
}
