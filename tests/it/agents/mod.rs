//! Coding agents as people install them, without a terminal, doing a task with tools in front of another vendor's models.
//!
//! They are large downloads, so these tests run when asked for: `cargo test --test it agents:: -- --ignored`. What each agent is
//! set to here is what `docs/clients/` tells people to set.

use std::{fs, path::Path};

use serde_json::json;
use tempfile::TempDir;

use crate::support::{
    API_KEY, Dialect, Gateway, Upstream,
    acting::{Step, act},
    environment::{CLAUDE_CODE, CODEX, Environment, GEMINI_CLI, Needs},
};

/// What the model says when its tools have done their work. It appears nowhere else.
const LAST_WORDS: &str = "The heron counted seven herrings.";

/// The words that the first tool writes and the second reads back.
const WRITTEN: &str = "written by the agent";

const TASK: &str = "Write a note into note.txt, read it back, and tell me when it is done.";

/// An agent at work, in a folder of its own, behind a gateway whose only provider speaks `dialect`.
struct Desk {
    agent: Environment,
    gateway: Gateway,
    upstream: Upstream,
    folder: TempDir,
}

impl Desk {
    async fn set_up(agent: &'static Needs, dialect: Dialect, steps: Vec<Step>) -> Option<Self> {
        let agent = Environment::prepare(agent).await?;
        let gateway = Gateway::with(&[("HEALTH_CHECK_ENABLED", "false")]).await;
        let upstream = Upstream::start("elsewhere").await;
        upstream.lists(&[dialect.model()]);
        upstream.answers_by(move |seen| act(seen, &steps, LAST_WORDS));
        gateway.provider("elsewhere", dialect.kind(), &upstream, json!({})).await;
        Some(Self { agent, gateway, upstream, folder: tempfile::tempdir().expect("a temporary folder can be made") })
    }

    fn folder(&self) -> &Path {
        self.folder.path()
    }

    fn url(&self) -> String {
        format!("http://{}", self.gateway.address())
    }

    /// The task was done: by both tools, with their results before the model, and its last words before the person.
    fn check(&self, said: &str, results: usize) {
        assert!(said.contains(LAST_WORDS), "the last words did not arrive: {said}");
        let note = fs::read_to_string(self.folder().join("note.txt")).expect("the tool wrote the note");
        assert_eq!(note.trim(), WRITTEN);
        let seen = self.upstream.seen();
        let told = seen.iter().filter(|seen| String::from_utf8_lossy(&seen.body).contains(WRITTEN)).count();
        assert!(told >= results, "the model saw {told} requests with what the tools had found");
    }
}

fn write_note() -> String {
    format!("echo '{WRITTEN}' > note.txt")
}

async fn claude_code_works(dialect: Dialect) {
    let steps = |folder: &Path| {
        vec![
            Step { tool: "Bash", arguments: json!({"command": write_note(), "description": "Write the note"}) },
            Step { tool: "Read", arguments: json!({"file_path": folder.join("note.txt")}) },
        ]
    };
    let Some(desk) = Desk::set_up(&CLAUDE_CODE, dialect, Vec::new()).await else { return };
    let steps = steps(desk.folder());
    desk.upstream.answers_by(move |seen| act(seen, &steps, LAST_WORDS));
    let (url, model) = (desk.url(), dialect.model());
    let settings = [
        ("ANTHROPIC_BASE_URL", url.as_str()),
        ("ANTHROPIC_AUTH_TOKEN", API_KEY),
        ("ANTHROPIC_MODEL", model),
        ("ANTHROPIC_DEFAULT_HAIKU_MODEL", model),
        ("CLAUDE_CODE_DISABLE_NONESSENTIAL_TRAFFIC", "1"),
        ("DISABLE_AUTOUPDATER", "1"),
    ];
    let arguments = ["-p", TASK, "--output-format", "json", "--allowedTools", "Bash", "Read", "Write"];
    let said = desk.agent.execute(&arguments, &settings, desk.folder()).await;
    desk.check(&said, 2);
}

/// How Codex brings its requests.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Over {
    Posts,
    WebSocket,
}

async fn codex_works(dialect: Dialect, over: Over) {
    let steps = vec![
        Step { tool: "exec_command", arguments: json!({"cmd": write_note()}) },
        Step { tool: "exec_command", arguments: json!({"cmd": "cat note.txt"}) },
    ];
    let Some(desk) = Desk::set_up(&CODEX, dialect, steps).await else { return };
    let config = format!(
        "model = \"{}\"\nmodel_provider = \"orchestrator\"\n\n[model_providers.orchestrator]\nname = \"LLM Orchestrator\"\n\
         base_url = \"{}/v1\"\nenv_key = \"GATEWAY_API_KEY\"\nwire_api = \"responses\"\nsupports_websockets = {}\n",
        dialect.model(),
        desk.url(),
        over == Over::WebSocket
    );
    fs::create_dir(desk.folder().join(".codex")).expect("the agent's folder can be made");
    fs::write(desk.folder().join(".codex/config.toml"), config).expect("its settings can be written");
    let settings = [("GATEWAY_API_KEY", API_KEY)];
    let arguments = ["exec", "--skip-git-repo-check", "--dangerously-bypass-approvals-and-sandbox", TASK];
    let said = desk.agent.execute(&arguments, &settings, desk.folder()).await;
    desk.check(&said, 2);
    // Only over a WebSocket does it ask for a beginning without an answer, for which no provider is asked.
    let rows = desk.gateway.logs(desk.upstream.calls()).await;
    let warmed = rows.iter().filter(|row| row["status_code"] == 200 && row["attempts"] == 0).count();
    assert_eq!(warmed > 0, over == Over::WebSocket, "{rows:?}");
}

async fn gemini_cli_works(dialect: Dialect) {
    let steps = |folder: &Path| {
        vec![
            Step { tool: "run_shell_command", arguments: json!({"command": write_note()}) },
            Step { tool: "read_file", arguments: json!({"file_path": folder.join("note.txt")}) },
        ]
    };
    let Some(desk) = Desk::set_up(&GEMINI_CLI, dialect, Vec::new()).await else { return };
    let steps = steps(desk.folder());
    desk.upstream.answers_by(move |seen| act(seen, &steps, LAST_WORDS));
    let settings = json!({"security": {"auth": {"selectedType": "gemini-api-key"}}});
    fs::create_dir(desk.folder().join(".gemini")).expect("the agent's folder can be made");
    fs::write(desk.folder().join(".gemini/settings.json"), settings.to_string()).expect("its settings can be written");
    let url = desk.url();
    let settings = [("GOOGLE_GEMINI_BASE_URL", url.as_str()), ("GEMINI_API_KEY", API_KEY)];
    let arguments = ["--skip-trust", "-y", "-m", dialect.model(), "-p", TASK, "--output-format", "json"];
    let said = desk.agent.execute(&arguments, &settings, desk.folder()).await;
    desk.check(&said, 2);
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "installs 370 MB from npm"]
async fn claude_code_does_a_task_with_openais_and_googles_models() {
    claude_code_works(Dialect::OpenAi).await;
    claude_code_works(Dialect::Gemini).await;
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "installs 400 MB from npm"]
async fn codex_does_a_task_with_anthropics_googles_and_chat_models() {
    for dialect in [Dialect::Anthropic, Dialect::Gemini, Dialect::OpenAi] {
        codex_works(dialect, Over::Posts).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "installs 400 MB from npm"]
async fn codex_does_a_task_over_one_websocket_whoever_answers() {
    for dialect in Dialect::ALL {
        codex_works(dialect, Over::WebSocket).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
#[ignore = "installs 100 MB from npm"]
async fn gemini_cli_does_a_task_with_openais_and_anthropics_models() {
    gemini_cli_works(Dialect::OpenAi).await;
    gemini_cli_works(Dialect::Anthropic).await;
}
