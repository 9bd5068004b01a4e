//! Where the blocks of a page run: a folder and a gateway of their own, with providers that answer as the pages show.

use std::{path::Path, process::Command};

use serde_json::{Value, json};

use super::{
    output,
    page::{Block, Page, root},
};
use crate::{
    store::postgres::Server,
    support::{
        ADMIN_KEY, API_KEY, Dialect, Gateway, Script, Upstream,
        environment::{Environment, NODE_TYPESCRIPT, PYTHON, PYTHON_LEGACY, SYSTEM},
        upstream::Seen,
    },
};

/// What the models say.
const ANSWER: &str = "Hello! How can I help you today?";

/// What pages tell to set, and go on from.
const SETTINGS: [(&str, (&str, &str)); 2] = [
    ("docs/caching", ("ORCHESTRATOR_CACHE_ENABLED", "true")),
    ("docs/keys", ("ORCHESTRATOR_JOURNAL_CONTENT", "per_key")),
];

/// Pages that begin with an empty gateway, since they tell how to fill it.
const FROM_NOTHING: [&str; 2] = ["README", "docs/quick-start"];

/// Stands before the output of each block.
const MARK: &str = "\u{1e}block ";

/// What every script begins with: requests that fail are failures, however curl is told to print them, and what asks for a
/// password at a terminal gets one without.
pub const PRELUDE: &str = r#"
curl() {
  case " $* " in
    *" --fail "* | *" -f"*) command curl "$@" ;;
    *) command curl --fail-with-body --silent --show-error "$@" ;;
  esac
}
createuser() { printf 'PASSWORD\nPASSWORD\n' | setsid --wait createuser "$@"; }
"#;

/// What blocks need installed.
pub struct Tools {
    python: Environment,
    legacy: Environment,
    node: Environment,
}

impl Tools {
    /// `None` where they cannot be had.
    pub async fn prepare() -> Option<Self> {
        Environment::prepare(&SYSTEM).await?;
        Some(Self {
            python: Environment::prepare(&PYTHON).await?,
            legacy: Environment::prepare(&PYTHON_LEGACY).await?,
            node: Environment::prepare(&NODE_TYPESCRIPT).await?,
        })
    }
}

/// A gateway for one page.
pub struct Sandbox {
    gateway: Gateway,
    upstreams: [Upstream; 4],
    /// Where the page wants one.
    server: Option<Server>,
}

impl Sandbox {
    pub async fn for_page(page: &Page) -> Self {
        let own = SETTINGS.iter().filter(|(name, _)| page.path.starts_with(name)).map(|(_, setting)| *setting);
        let usual = [
            ("LOG_LEVEL", "debug"),
            ("HEALTH_CHECK_ENABLED", "false"),
            ("DATABASE_URL", "sqlite://./data/llm-orchestrator.db"),
            ("ORCHESTRATOR_AUTH_MASTER_KEY_FILE", "./data/master.key"),
            ("ORCHESTRATOR_METRICS_TOKEN", "token-of-the-metrics"),
        ];
        let gateway = Gateway::with(&own.chain(usual).collect::<Vec<_>>()).await;
        let wants_server = page.blocks().iter().any(Block::needs_postgresql);
        let server = if wants_server { Server::start().await } else { None };
        let upstreams = [
            Upstream::start("openai-primary").await,
            Upstream::start("anthropic").await,
            Upstream::start("gemini").await,
            Upstream::start("ollama").await,
        ];
        let models: [&[&str]; 4] = [
            &["gpt-4o", "gpt-5.4-mini", "gpt-3.5-turbo-instruct", "text-embedding-3-small", "gpt-image-1", "tts-1"],
            &["claude-sonnet-5"],
            &["gemini-flash-latest"],
            &["qwen3"],
        ];
        for (upstream, models) in upstreams.iter().zip(models) {
            upstream.lists(models).answers_by(answer);
        }
        if !FROM_NOTHING.iter().any(|name| page.path.starts_with(name)) {
            let [openai, anthropic, gemini, _] = &upstreams;
            gateway.provider("openai-primary", "openai", openai, json!({"priority": 200})).await;
            gateway.provider("anthropic", "anthropic", anthropic, json!({})).await;
            gateway.provider("gemini", "gemini", gemini, json!({})).await;
        }
        for name in ["examples", "scripts", "deploy", "prices"] {
            std::os::unix::fs::symlink(root().join(name), gateway.folder().join(name)).expect("a link can be made");
        }
        Self { gateway, upstreams, server }
    }

    /// Runs all blocks of the page that can run, in their order and in one shell, and compares what they print with what the
    /// page shows. Returns the calls that were made, as `GET /path`, or what went wrong.
    pub async fn run(&self, page: &Page, tools: &Tools) -> Result<Vec<String>, String> {
        let blocks = page.blocks();
        let mut command = Command::new("timeout");
        command.args(["180", "bash", "-euo", "pipefail", "-c", &self.script(&blocks)]);
        command.current_dir(self.gateway.folder()).env_clear();
        command.envs(self.gateway.settings().iter().map(|(name, value)| (name, value)));
        command.env("PATH", with_own_program());
        if let Some((host, user)) = self.server.as_ref().and_then(Server::place) {
            command.env("PGHOST", host).env("PGUSER", user);
        }
        command.env("HOME", self.gateway.folder()).env("PYTHON", tools.python.program());
        command.env("PYTHON_LEGACY", tools.legacy.program()).env("MODULES", tools.node.folder().join("node_modules"));
        command.env("TYPESCRIPT", tools.node.program());
        let url = format!("http://{}", self.gateway.address());
        for (name, value) in [("URL", url.as_str()), ("ADMIN_KEY", ADMIN_KEY), ("CLIENT_KEY", API_KEY)] {
            command.env(name, value);
        }
        command.env("OPENAI_BASE_URL", format!("{url}/v1")).env("OPENAI_API_BASE", format!("{url}/v1"));
        command.env("OPENAI_API_KEY", API_KEY).env("LLM_ORCHESTRATOR", env!("CARGO_BIN_EXE_llm-orchestrator"));
        let output = tokio::task::spawn_blocking(move || command.output()).await.expect("running does not panic");
        let output = output.expect("a shell can be run");
        let printed = String::from_utf8_lossy(&output.stdout).into_owned();
        let complaints = String::from_utf8_lossy(&output.stderr);
        if !output.status.success() {
            let line = printed.rsplit(MARK).next().and_then(|part| part.lines().next()).unwrap_or_default();
            return Err(format!("{}:{line}: {}\n{printed}\n{complaints}", page.path, output.status));
        }
        self.compare(&blocks, &printed).map_err(|difference| format!("{}:{difference}", page.path))?;
        Ok(called(&self.gateway.output()))
    }

    fn script(&self, blocks: &[Block]) -> String {
        let mut script = PRELUDE.to_owned();
        let here = |block: &&Block| runs(block) && (self.server.is_some() || !block.needs_postgresql());
        for block in blocks.iter().filter(here) {
            let (line, text) = (block.line, self.filled(&block.text));
            script.push_str(&format!("printf '\\n{MARK}%s\\n' {line}\n"));
            let commands = match block.language.as_str() {
                // In a shell of its own, as the gateway runs already.
                "bash" if block.is_for_start() => format!("({text}\nllm-orchestrator check-config)\n"),
                "bash" => text,
                "python" if block.tag("sdk") == Some("0.28") => heredoc(line, "py", &text, "\"$PYTHON_LEGACY\" FILE"),
                "python" => heredoc(line, "py", &text, "\"$PYTHON\" FILE"),
                "js" => heredoc(line, "mjs", &text, "ln -sfn \"$MODULES\" node_modules\nnode FILE"),
                _ => heredoc(line, "ts", &text, "\"$TYPESCRIPT\" FILE"),
            };
            script.push_str(&if block.is("fails") {
                format!("set +e\n(set -e\n{commands}\n)\nfailed=$?\nset -e\n[ $failed != 0 ] || {{ echo line {line} fails not; exit 1; }}\n")
            } else {
                commands
            });
        }
        script
    }

    /// The text with the addresses and keys of this sandbox in place of those that readers have.
    fn filled(&self, text: &str) -> String {
        let [openai, anthropic, gemini, ollama] = &self.upstreams;
        let address = self.gateway.address().to_string();
        let server = self.server.as_ref().and_then(Server::place);
        let socket = server.map_or_else(String::new, |(folder, _)| folder.display().to_string());
        let places = [
            ("127.0.0.1/orchestrator", format!("localhost/orchestrator?host={socket}")),
            ("ADMIN_KEY=… CLIENT_KEY=…", format!("ADMIN_KEY={ADMIN_KEY} CLIENT_KEY={API_KEY}")),
            ("127.0.0.1:8000", address),
            ("http://127.0.0.1:11434/v1", ollama.url()),
            ("https://api.openai.com/v1", openai.url()),
            ("https://api.anthropic.com", anthropic.url()),
            ("https://generativelanguage.googleapis.com", gemini.url()),
            ("YOUR_API_KEY", API_KEY.to_owned()),
            ("YOUR_ADMIN_KEY", ADMIN_KEY.to_owned()),
            ("sk-…", "sk-of-a-provider".to_owned()),
        ];
        places.iter().fold(text.to_owned(), |text, (theirs, ours)| text.replace(theirs, ours))
    }

    fn compare(&self, blocks: &[Block], printed: &str) -> Result<(), String> {
        let mut before = None;
        for block in blocks {
            if !block.is_output() {
                before = Some(block);
                continue;
            }
            let source =
                before.filter(|source| runs(source)).ok_or(format!("{}: nothing that runs prints this", block.line))?;
            let begin = format!("{MARK}{}\n", source.line);
            let (_, part) = printed.split_once(&begin).expect("the block ran");
            let part = part.split(MARK).next().unwrap_or_default();
            if let Some(difference) = output::differs(&self.filled(&block.text), part) {
                return Err(format!("{}: {difference}\n--- printed\n{part}", block.line));
            }
        }
        Ok(())
    }
}

/// Where programs are looked for: the tests' own first.
pub fn with_own_program() -> String {
    let own = Path::new(env!("CARGO_BIN_EXE_llm-orchestrator")).parent().expect("a program lies in a folder");
    format!("{}:{}", own.display(), std::env::var("PATH").expect("there is a path"))
}

/// A file with this text, and what is done with it.
fn heredoc(line: usize, ending: &str, text: &str, command: &str) -> String {
    let file = format!("block-{line}.{ending}");
    format!("cat >{file} <<'END-OF-BLOCK'\n{text}END-OF-BLOCK\n{}\n", command.replace("FILE", &file))
}

/// Whether a block is a program that can run here.
pub fn runs(block: &Block) -> bool {
    matches!(block.language.as_str(), "bash" | "python" | "js" | "ts")
        && block.skipped().is_none()
        && !block.is_output()
}

/// The calls that the gateway's log tells of, except those for which there is nothing.
fn called(log: &str) -> Vec<String> {
    let call = |line: &str| {
        let (before, after) = line.split_once(" \"/")?;
        let (path, status) = after.split_once("\" ")?;
        if status.starts_with("404") || status.starts_with("405") {
            return None;
        }
        Some(format!("{} /{path}", before.split_whitespace().next_back()?))
    };
    log.lines().filter_map(call).collect()
}

/// What providers answer.
fn answer(seen: &Seen) -> Script {
    let path = seen.path.split('?').next().unwrap_or_default();
    let body: Value = serde_json::from_slice(&seen.body).unwrap_or_default();
    let file = || json!({"id": "file-1", "object": "file", "bytes": 3, "created_at": 1, "filename": "questions.jsonl", "purpose": "batch", "status": "processed"});
    let batch = || {
        json!({"id": "batch_1", "object": "batch", "endpoint": "/v1/chat/completions", "input_file_id": "file-1",
        "completion_window": "24h", "status": "in_progress", "created_at": 1})
    };
    let list = |item: Value| json!({"object": "list", "data": [item], "has_more": false});
    let usage = json!({"prompt_tokens": 5, "completion_tokens": 2, "total_tokens": 7});
    let answer = match (seen.method.as_str(), path.rsplit('/').next().unwrap_or_default()) {
        ("POST", "count_tokens" | "input_tokens") => json!({"object": "response.input_tokens", "input_tokens": 11}),
        ("POST", name) if name.ends_with(":countTokens") => json!({"totalTokens": 11}),
        ("POST", "embeddings") => json!({"object": "list", "model": "text-embedding-3-small", "usage": usage,
            "data": [{"object": "embedding", "index": 0, "embedding": [0.1, -0.2]}]}),
        ("POST", "completions") if !path.contains("/chat/") => json!({"id": "cmpl-1", "object": "text_completion",
            "created": 1, "model": "m", "usage": usage,
            "choices": [{"text": "there was a gateway.", "index": 0, "logprobs": null, "finish_reason": "stop"}]}),
        ("POST", "generations" | "edits") => json!({"created": 1, "data": [{"b64_json": "aGk="}]}),
        ("POST", "transcriptions" | "translations") => json!({"text": "hi"}),
        ("POST", "speech") => return Script::bytes(200, "audio/mpeg", b"\xff\xfb\x00sound"),
        ("POST", "moderations") => json!({"id": "modr-1", "model": "omni-moderation-latest",
            "results": [{"flagged": false, "categories": {}, "category_scores": {}}]}),
        ("POST", "rerank") => json!({"results": [{"index": 1, "relevance_score": 0.9}]}),
        ("POST", "files") => file(),
        ("GET", "files") => list(file()),
        ("GET", "content") => return Script::bytes(200, "application/octet-stream", "{}\n"),
        ("DELETE", _) => json!({"id": "file-1", "object": "file", "deleted": true}),
        ("GET", "file-1") => file(),
        ("GET", "batches") => list(batch()),
        (_, "batches" | "batch_1" | "cancel") => batch(),
        ("POST", _) => return said(path, &body),
        _ => return Script::error(404, "No such page"),
    };
    Script::json(200, &answer)
}

/// The answer of a model, in the dialect of the request.
fn said(path: &str, body: &Value) -> Script {
    let dialect = Dialect::of(path);
    if body["stream"] == true || path.contains("streamGenerateContent") {
        let (first, rest) = ANSWER.split_at(6);
        return Script::sse(&dialect.stream(&[first, rest]));
    }
    Script::json(200, &dialect.whole(ANSWER))
}
