//! The settings for nginx that the page on deployment gives, in front of a gateway.

use std::{
    fs,
    net::TcpListener,
    path::Path,
    process::{Child, Command, Stdio},
};

use rcgen::{CertifiedKey, generate_simple_self_signed};
use serde_json::json;
use tempfile::TempDir;

use super::page::Page;
use crate::support::{ADMIN_KEY, API_KEY, Dialect, Gateway, PATIENCE, Script, Upstream, eventually};

/// nginx with the page's settings, over TLS on a port of its own, as one process that ends when it is killed.
struct Nginx {
    child: Child,
    url: String,
    _folder: TempDir,
}

impl Nginx {
    /// `None` where it is not installed.
    fn start(gateway: &Gateway) -> Option<Self> {
        Command::new("nginx").arg("-v").stderr(Stdio::null()).status().ok()?;
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let at = folder.path();
        let CertifiedKey { cert, signing_key } =
            generate_simple_self_signed(["llm.example.com".to_owned()]).expect("a certificate can be made");
        fs::write(at.join("llm.example.com.pem"), cert.pem()).expect("the folder can be written");
        fs::write(at.join("llm.example.com.key"), signing_key.serialize_pem()).expect("the folder can be written");
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address").to_string();
        drop(listener);
        fs::write(at.join("nginx.conf"), settings(at, &address, gateway)).expect("the folder can be written");
        let mut command = Command::new("nginx");
        command.arg("-p").arg(at).args(["-c", "nginx.conf", "-e", "stderr", "-g", "daemon off; master_process off;"]);
        let child = command.spawn().expect("nginx starts");
        Some(Self { child, url: format!("https://{address}"), _folder: folder })
    }

    /// What curl prints of an answer.
    async fn get(&self, path: &str, more: &[&str]) -> String {
        let mut command = Command::new("curl");
        command.args(["--silent", "--show-error", "--insecure", "--max-time", "20"]).args(more);
        command.arg(format!("{}{path}", self.url));
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("running does not panic");
        String::from_utf8_lossy(&output.expect("curl runs").stdout).into_owned()
    }
}

impl Drop for Nginx {
    fn drop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }
}

/// The page's block, with the addresses and files of this test, and what nginx wants around it.
fn settings(folder: &Path, address: &str, gateway: &Gateway) -> String {
    let blocks = Page::read("docs/deployment.md").blocks();
    let block = blocks.iter().find(|block| block.language == "nginx").expect("the page has settings for nginx");
    let block = block.text.replace("listen 443", &format!("listen {address}"));
    let block = block.replace("/etc/ssl", &folder.display().to_string());
    let block = block.replace("127.0.0.1:8000", &gateway.address().to_string());
    let paths = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let paths: String = paths.iter().map(|kind| format!("{kind}_temp_path {kind};\n")).collect();
    format!("pid nginx.pid;\nevents {{}}\nhttp {{\naccess_log off;\n{paths}{block}}}\n")
}

#[tokio::test(flavor = "multi_thread")]
async fn the_proxy_that_the_pages_tell_of_passes_streams_on_as_they_come_and_keeps_operators_apart() {
    let gateway = Gateway::with(&[("ORCHESTRATOR_SERVER_TRUSTED_PROXIES", "127.0.0.1")]).await;
    let upstream = Upstream::start("a").await;
    upstream.lists(&["gpt-4o"]);
    gateway.provider("a", "openai", &upstream, json!({})).await;
    let Some(nginx) = Nginx::start(&gateway) else {
        assert!(std::env::var("CI").as_deref() != Ok("true"), "nginx is not installed, and CI must test with it");
        eprintln!("*** SKIPPED, NOTHING WAS TESTED: nginx is not installed");
        return;
    };
    eventually("the proxy", async || nginx.get("/health", &[]).await.contains("healthy").then_some(())).await;

    // A stream that never ends: what is read of it was passed on before its end.
    let begun: Vec<String> = Dialect::OpenAi.begun(&["Hello"]);
    upstream.next(Script::sse(&begun).then_stall());
    let body = json!({"model": "gpt-4o", "stream": true, "messages": [{"role": "user", "content": "Hi"}]}).to_string();
    let bearer = format!("Authorization: Bearer {API_KEY}");
    let asked = ["--no-buffer", "--max-time", "3", "-H", &bearer, "-H", "Content-Type: application/json", "-d", &body];
    let said = tokio::time::timeout(PATIENCE, nginx.get("/v1/chat/completions", &asked)).await;
    let said = said.expect("curl gives up by itself");
    assert!(said.contains("Hello"), "the stream was held back: {said:?}");

    let admin = format!("Authorization: Bearer {ADMIN_KEY}");
    for path in ["/admin/providers", "/api/admin/providers", "/metrics"] {
        let refused = nginx.get(path, &["-H", &admin, "--write-out", "%{http_code}"]).await;
        assert!(refused.ends_with("403") && refused.contains("nginx"), "{path}: {refused}");
    }
    let row = gateway.logs(1).await.remove(0);
    assert_eq!(row["ip_address"], "127.0.0.1", "{row}");
}
