//! The real program as a child process, with a folder, a database and a port of its own.

use std::{
    io::{BufRead, BufReader, Read},
    net::SocketAddr,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{Arc, Mutex, MutexGuard},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tempfile::TempDir;

use super::{PATIENCE, Reply, Request, Upstream, eventually};
use crate::store::postgres::Database;

pub const ADMIN_KEY: &str = "admin-key-of-the-tests";
pub const API_KEY: &str = "sk-client-key-of-the-tests";

/// A hand on the ears of whoever reads what the program writes.
#[expect(dead_code, reason = "it is held")]
pub struct Unread<'a>(MutexGuard<'a, Vec<String>>);

/// A running gateway. Dropping it kills the process.
pub struct Gateway {
    child: Child,
    folder: TempDir,
    settings: Vec<(String, String)>,
    /// What starts the program: a command that ends by becoming it, or nothing.
    launcher: Vec<String>,
    address: SocketAddr,
    output: Arc<Mutex<Vec<String>>>,
    /// Goes when the process is gone.
    _database: Option<Database>,
}

impl Gateway {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    /// Starts with these environment variables on top of those that every test wants.
    pub async fn with(settings: &[(&str, &str)]) -> Self {
        Self::without(&[], settings).await
    }

    /// The same, with some of those that every test wants left out.
    pub async fn without(missing: &[&str], settings: &[(&str, &str)]) -> Self {
        Self::launched(&[], missing, settings).await
    }

    /// The same, started by a command that is given the program as its last argument and becomes it.
    pub async fn launched(launcher: &[&str], missing: &[&str], settings: &[(&str, &str)]) -> Self {
        let folder = tempfile::tempdir().expect("a temporary folder can be made");
        let given = settings.iter().any(|(name, _)| *name == "DATABASE_URL") || missing.contains(&"DATABASE_URL");
        let database = if given { None } else { Database::if_asked_for().await };
        let path = |name: &str| folder.path().join(name).display().to_string();
        let mut all: Vec<(String, String)> = [
            ("APP_PORT", "0".to_owned()),
            (
                "DATABASE_URL",
                database.as_ref().map_or_else(|| format!("sqlite://{}", path("db")), |one| one.url.clone()),
            ),
            ("ADMIN_KEY", ADMIN_KEY.into()),
            ("API_KEYS", API_KEY.into()),
            ("ORCHESTRATOR_AUTH_MASTER_KEY_FILE", path("master.key")),
            ("ORCHESTRATOR_JOURNAL_FLUSH_INTERVAL", "0.02".into()),
            ("ORCHESTRATOR_ROUTING_BACKOFF_BASE", "0.02".into()),
            ("ORCHESTRATOR_ROUTING_BACKOFF_MAX", "0.1".into()),
        ]
        .map(|(name, value)| (name.to_owned(), value))
        .into();
        for (name, value) in settings {
            all.retain(|(known, _)| known != name);
            all.push(((*name).into(), (*value).into()));
        }
        all.retain(|(name, _)| !missing.contains(&name.as_str()));
        let launcher: Vec<String> = launcher.iter().map(|&word| word.to_owned()).collect();
        let (child, address, output) = spawn(&folder, &all, &launcher).await;
        Self { child, folder, settings: all, launcher, address, output, _database: database }
    }

    pub fn address(&self) -> SocketAddr {
        self.address
    }

    pub fn folder(&self) -> &std::path::Path {
        self.folder.path()
    }

    /// The environment that it runs with.
    pub fn settings(&self) -> &[(String, String)] {
        &self.settings
    }

    /// The address of its database.
    pub fn database(&self) -> String {
        let database = self.settings.iter().find(|(name, _)| name == "DATABASE_URL");
        database.map(|(_, url)| url.clone()).expect("the test did not leave it out")
    }

    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Nobody reads what the program writes, for as long as this is held.
    pub fn unread(&self) -> Unread<'_> {
        Unread(self.output.lock().expect("no holder panics"))
    }

    /// Every line that the program wrote so far.
    pub fn output(&self) -> String {
        self.output.lock().expect("no holder panics").join("\n")
    }

    /// Waits until it has written this, which it does on a thread of its own, after it has answered.
    pub async fn tells(&self, what: &str) {
        eventually(&format!("a line that says {what:?}"), async || self.output().contains(what).then_some(())).await;
    }

    /// Runs another command of the same installation beside it, and returns what it printed.
    pub fn run(&self, arguments: &[&str]) -> String {
        let (code, printed) = self.try_run(arguments);
        assert_eq!(code, 0, "{arguments:?}: {printed}");
        printed
    }

    /// The same for a command that may fail: its exit code and what it printed. What it complained of is shown if the test
    /// fails.
    pub fn try_run(&self, arguments: &[&str]) -> (i32, String) {
        let settings = self.settings.iter().map(|(name, value)| (name, value));
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_llm-orchestrator"));
        let output = command.args(arguments).env_clear().envs(settings).current_dir(self.folder()).output();
        let output = output.expect("the program can be run");
        eprintln!("{arguments:?}: {}", String::from_utf8_lossy(&output.stderr));
        (output.status.code().unwrap_or(-1), String::from_utf8_lossy(&output.stdout).into_owned())
    }

    // === Requests ===

    pub async fn send(&self, request: Request) -> Reply {
        request.send(self.address).await
    }

    pub async fn get(&self, target: &str) -> Reply {
        self.send(Request::get(target).bearer(API_KEY)).await
    }

    /// Asks the admin API; `Value::Null` sends no body.
    pub async fn admin(&self, method: &str, target: &str, body: Value) -> Reply {
        let request = Request::new(method, target).bearer(ADMIN_KEY);
        self.send(if body.is_null() { request } else { request.json(&body) }).await
    }

    pub async fn admin_get(&self, target: &str) -> Value {
        let reply = self.admin("GET", target, Value::Null).await;
        assert_eq!(reply.status, 200, "{target}: {}", reply.text());
        reply.json()
    }

    pub async fn chat(&self, body: Value) -> Reply {
        self.send(chat(&body)).await
    }

    /// Asks for a short answer of a model.
    pub async fn ask(&self, model: &str) -> Reply {
        self.chat(question(model)).await
    }

    /// Asks for it as a stream.
    pub async fn ask_stream(&self, model: &str) -> Reply {
        let mut body = question(model);
        body["stream"] = true.into();
        self.chat(body).await
    }

    // === What there is to know of it ===

    /// Creates a provider from the fields given, on top of a name, a type and a base URL, and returns its id.
    pub async fn provider(&self, name: &str, kind: &str, upstream: &Upstream, more: Value) -> i64 {
        let asked = upstream.model_lists();
        let enabled = more["enabled"] != false;
        let id = self.provider_at(name, kind, &upstream.url(), more).await;
        if !enabled {
            return id;
        }
        // A new provider is asked for its models at once; a test begins when that is over.
        upstream.asked_for_models(asked + 1).await;
        if upstream.has_models() {
            eventually("the list of models to be in force", async || {
                let provider = self.admin_get(&format!("/admin/providers/{id}")).await;
                (!provider["listed_models"].is_null()).then_some(())
            })
            .await;
        }
        id
    }

    pub async fn provider_at(&self, name: &str, kind: &str, base_url: &str, more: Value) -> i64 {
        let mut body = json!({"name": name, "type": kind, "base_url": base_url, "api_key": format!("sk-of-{name}")});
        for (key, value) in more.as_object().into_iter().flatten() {
            body[key] = value.clone();
        }
        let reply = self.admin("POST", "/admin/providers", body).await;
        assert_eq!(reply.status, 201, "{}", reply.text());
        reply.json()["id"].as_i64().expect("a provider has an id")
    }

    /// What the health page says of a provider.
    pub async fn health_of(&self, name: &str) -> Value {
        let health = self.admin_get("/admin/health").await;
        let rows = health["providers"].as_array().cloned().unwrap_or_default();
        rows.into_iter().find(|row| row["provider_name"] == name).unwrap_or(Value::Null)
    }

    /// All log rows, oldest first, as soon as there are at least so many.
    pub async fn logs(&self, count: usize) -> Vec<Value> {
        let mut rows = eventually(&format!("{count} log rows"), async || {
            let page = self.admin_get("/admin/logs?page_size=100").await;
            let rows = page["logs"].as_array().cloned().expect("logs is a list");
            (rows.len() >= count).then_some(rows)
        })
        .await;
        rows.reverse();
        rows
    }

    /// The one row that the one request of a test left; fails if there are more.
    pub async fn row(&self) -> Value {
        self.logs(1).await;
        tokio::time::sleep(Duration::from_millis(120)).await;
        let rows = self.logs(1).await;
        assert_eq!(rows.len(), 1, "one request leaves one row: {rows:#?}");
        rows[0].clone()
    }

    /// Checks that there is exactly one row and that it holds these values.
    pub async fn assert_row(&self, expected: Value) -> Value {
        let row = self.row().await;
        for (key, value) in expected.as_object().expect("rows are compared field by field") {
            assert_eq!(&row[key], value, "{key} of {row:#}");
        }
        row
    }

    // === Life and death ===

    /// Asks it to stop, as an operator would.
    pub fn terminate(&self) {
        self.signal("TERM");
    }

    /// Sends it a signal by its name.
    pub fn signal(&self, name: &str) {
        let status = Command::new("sh").arg("-c").arg(format!("kill -{name} {}", self.pid())).status();
        assert!(status.is_ok_and(|status| status.success()), "a running process takes a signal");
    }

    /// Stops it as a power cut would, and waits until it is gone.
    pub fn kill(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Waits until the process ended by itself.
    pub async fn exit(&mut self) -> ExitStatus {
        let deadline = Instant::now() + 3 * PATIENCE;
        loop {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return status;
            }
            assert!(Instant::now() < deadline, "the process does not end: {}", self.output());
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
    }

    /// Starts again on the same folder, and so on the same database, after an end of any kind.
    /// Ends the program, starts it again with `settings` on top, and returns what it says of why it will not start.
    pub fn refuses_to_start(&mut self, settings: &[(&str, &str)]) -> String {
        self.kill();
        let known = self.settings.iter().map(|(name, value)| (name.as_str(), value.as_str()));
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_llm-orchestrator"));
        command.env_clear().envs(known).envs(settings.iter().copied()).current_dir(self.folder());
        let output = command.output().expect("the program can be run");
        assert!(!output.status.success(), "it started and ended well");
        String::from_utf8_lossy(&output.stderr).into_owned()
    }

    /// Stops it as an operator does, so that it may finish what it has begun to write, and starts it again.
    pub async fn stop_and_start(&mut self) {
        self.terminate();
        self.exit().await;
        self.restart().await;
    }

    pub async fn restart(&mut self) {
        self.restart_with(&[]).await;
    }

    /// The same with these settings on top, from now on.
    pub async fn restart_with(&mut self, settings: &[(&str, &str)]) {
        self.kill();
        for (name, value) in settings {
            self.settings.retain(|(known, _)| known != name);
            self.settings.push(((*name).into(), (*value).into()));
        }
        (self.child, self.address, self.output) = spawn(&self.folder, &self.settings, &self.launcher).await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("--- the gateway's output ---\n{}\n---", self.output());
        }
    }
}

/// A chat request with the tests' key.
pub fn chat(body: &Value) -> Request {
    Request::post("/v1/chat/completions", body).bearer(API_KEY)
}

/// The body of a small question.
pub fn question(model: &str) -> Value {
    json!({"model": model, "messages": [{"role": "user", "content": "Say hello"}]})
}

async fn spawn(
    folder: &TempDir,
    settings: &[(String, String)],
    launcher: &[String],
) -> (Child, SocketAddr, Arc<Mutex<Vec<String>>>) {
    let mut words = launcher.iter().map(String::as_str).chain([env!("CARGO_BIN_EXE_llm-orchestrator")]);
    let mut child = Command::new(words.next().expect("the program at least"))
        .args(words)
        .env_clear()
        .envs(std::env::var_os("PATH").map(|path| ("PATH", path)))
        .envs(std::env::var_os("LLVM_PROFILE_FILE").map(|path| ("LLVM_PROFILE_FILE", path)))
        .envs(settings.iter().map(|(name, value)| (name, value)))
        .current_dir(folder.path())
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary starts");
    let output = Arc::new(Mutex::new(Vec::new()));
    keep_lines(child.stdout.take().expect("stdout is piped"), &output);
    keep_lines(child.stderr.take().expect("stderr is piped"), &output);
    let deadline = Instant::now() + PATIENCE;
    let address = loop {
        if let Some(address) = listening(&output.lock().expect("no holder panics")) {
            break address;
        }
        let so_far = || output.lock().expect("no holder panics").join("\n");
        if let Ok(Some(status)) = child.try_wait() {
            panic!("the gateway ended with {status}:\n{}", so_far());
        }
        assert!(Instant::now() < deadline, "the gateway never listened:\n{}", so_far());
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    (child, address, output)
}

fn listening(lines: &[String]) -> Option<SocketAddr> {
    lines.iter().find_map(|line| line.split_once("listening on http://")?.1.trim().parse().ok())
}

fn keep_lines(pipe: impl Read + Send + 'static, lines: &Arc<Mutex<Vec<String>>>) {
    let lines = Arc::clone(lines);
    std::thread::spawn(move || {
        for line in BufReader::new(pipe).lines().map_while(Result::ok) {
            lines.lock().expect("no holder panics").push(line);
        }
    });
}
