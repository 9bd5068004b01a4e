//! The binary as its users meet it: commands, exit codes, and a whole life from start to stop.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::TcpStream,
    path::Path,
    process::{Child, Command, Output, Stdio},
    time::{Duration, Instant},
};

use tempfile::TempDir;

const ADMIN_KEY: &str = "the-operators-key";

/// The binary in a folder of its own, without the environment of whoever runs the tests.
fn command(folder: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_llm-orchestrator"));
    command.args(arguments).current_dir(folder).env_clear().stdin(Stdio::null());
    command
}

fn run(folder: &TempDir, arguments: &[&str]) -> Output {
    command(folder.path(), arguments).output().unwrap()
}

fn code(output: &Output) -> i32 {
    output.status.code().expect("it ended by itself")
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn folder() -> TempDir {
    tempfile::tempdir().unwrap()
}

/// A gateway on a port of its own; killed when dropped.
struct Gateway {
    process: Child,
    url: String,
    _folder: TempDir,
}

impl Gateway {
    /// Starts it and waits for the line that says where it listens. Nothing further of its output is read.
    fn start(variables: &[(&str, &str)]) -> Self {
        let folder = folder();
        let mut process = command(folder.path(), &["serve"])
            .envs([("APP_PORT", "0"), ("ADMIN_KEY", ADMIN_KEY), ("API_KEYS", "client-key")])
            .envs(variables.iter().copied())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut lines = BufReader::with_capacity(256, process.stdout.as_mut().unwrap()).lines().map(Result::unwrap);
        let line = lines.find(|line| line.contains("listening on ")).expect("it starts");
        let url = line.split_whitespace().find(|word| word.starts_with("http://")).expect("an address").to_owned();
        Self { process, url, _folder: folder }
    }

    fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.url.trim_start_matches("http://")).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(5))).unwrap();
        stream.set_nodelay(true).unwrap();
        stream
    }

    fn stop(&mut self) -> (i32, Duration) {
        let began = Instant::now();
        let id = self.process.id().to_string();
        assert!(Command::new("kill").args(["-TERM", &id]).status().unwrap().success());
        while began.elapsed() < Duration::from_secs(20) {
            if let Some(status) = self.process.try_wait().unwrap() {
                return (status.code().expect("it ended by itself"), began.elapsed());
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        panic!("it did not stop");
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

/// Asks on an open connection and reads the whole answer, whose length its head tells.
fn ask(stream: &mut TcpStream, path: &str) -> String {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: here\r\n\r\n").as_bytes()).unwrap();
    let mut answer = Vec::new();
    let mut block = [0; 4096];
    loop {
        let read = stream.read(&mut block).unwrap();
        assert!(read > 0, "the connection ended early");
        answer.extend_from_slice(&block[..read]);
        let so_far = text(&answer);
        let Some((head, body)) = so_far.split_once("\r\n\r\n") else { continue };
        let length = head.lines().find_map(|line| line.to_lowercase().strip_prefix("content-length: ")?.parse().ok());
        if body.len() >= length.unwrap_or(0) {
            return so_far;
        }
    }
}

#[test]
fn help_names_every_command_and_every_exit_code() {
    let output = run(&folder(), &["--help"]);
    assert_eq!(code(&output), 0);
    let help = text(&output.stdout);
    for word in
        ["serve", "db", "keys", "doctor", "check-config", "healthcheck", "api-test", "openapi", "78", "--config"]
    {
        assert!(help.contains(word), "{word} in {help}");
    }
}

#[test]
fn a_wrong_command_line_ends_with_2_and_a_bad_configuration_with_78() {
    let folder = folder();
    assert_eq!(code(&run(&folder, &["dance"])), 2);
    assert_eq!(code(&run(&folder, &["db", "reset"])), 2);
    for arguments in [&["serve"][..], &[], &["check-config"], &["db", "check"], &["healthcheck"]] {
        let output = command(folder.path(), arguments).env("APP_PORT", "http").output().unwrap();
        assert_eq!(code(&output), 78, "{arguments:?}");
        let complaint = text(&output.stderr);
        assert!(complaint.lines().count() == 1 && complaint.contains("APP_PORT"), "{complaint}");
    }
    let output = run(&folder, &["--config", "missing.toml", "check-config"]);
    assert_eq!(code(&output), 78);
    assert!(std::fs::read_dir(folder.path()).unwrap().next().is_none(), "nothing was made");
}

#[test]
fn a_file_in_the_working_directory_is_read() {
    let folder = folder();
    std::fs::write(folder.path().join("config.toml"), "[server]\nport = 4711\n").unwrap();
    assert!(text(&run(&folder, &["check-config"]).stdout).contains("127.0.0.1:4711"));
}

#[test]
fn the_example_is_printed_as_it_is_kept() {
    let kept = std::fs::read(Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml")).unwrap();
    assert_eq!(text(&run(&folder(), &["check-config", "--example"]).stdout), text(&kept));
}

#[test]
fn the_document_is_printed() {
    let output = run(&folder(), &["openapi"]);
    let document: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert!(document["paths"]["/v1/chat/completions"]["post"].is_object());
}

#[test]
fn a_database_is_made_checked_filled_and_emptied() {
    let folder = folder();
    let says = |arguments: &[&str]| {
        let output = run(&folder, arguments);
        assert_eq!(code(&output), 0, "{arguments:?}: {}", text(&output.stderr));
        text(&output.stdout)
    };
    assert!(says(&["db", "create"]).contains("applied"));
    assert!(says(&["db", "init"]).contains("up to date"));
    assert!(says(&["db", "migrate"]).contains("up to date"));
    assert!(says(&["db", "check"]).contains("in good order"));
    assert!(says(&["db", "sample"]).contains("sample-anthropic added"));
    assert!(says(&["db", "sample"]).contains("sample-anthropic is there already"));
    assert!(says(&["db", "reset", "--force"]).contains("empty"));
    assert!(says(&["db", "sample"]).contains("sample-anthropic added"));
}

#[test]
fn keys_are_made_shown_once_listed_and_revoked() {
    let folder = folder();
    let made = run(&folder, &["keys", "create", "laptop", "--model", "gpt-*", "--expires", "2999-01-01"]);
    let key = text(&made.stdout).trim().to_owned();
    assert!(key.starts_with("sk-") && key.len() > 40, "{key}");
    let list = text(&run(&folder, &["keys", "list"]).stdout);
    assert!(
        list.contains("laptop") && list.contains("live") && list.contains("gpt-*") && !list.contains(&key),
        "{list}"
    );
    assert_eq!(code(&run(&folder, &["keys", "revoke", "1"])), 0);
    assert!(text(&run(&folder, &["keys", "list"]).stdout).contains("revoked"));
    assert_eq!(code(&run(&folder, &["keys", "revoke", "77"])), 1);
    assert_eq!(code(&run(&folder, &["keys", "create", "old", "--expires", "1999-01-01"])), 1);
}

#[test]
fn a_gateway_lives_until_it_is_told_to_stop() {
    let mut gateway = Gateway::start(&[]);
    let folder = folder();
    let healthy = run(&folder, &["healthcheck", &gateway.url]);
    assert_eq!((code(&healthy), text(&healthy.stdout).trim()), (0, "healthy"));
    let mut idle = gateway.connect();
    assert!(ask(&mut idle, "/health").contains(r#""status":"healthy""#));
    let (status, took) = gateway.stop();
    assert_eq!(status, 0);
    assert!(took < Duration::from_secs(3), "an idle gateway stops at once: {took:?}");
    assert_eq!(code(&run(&folder, &["healthcheck", &gateway.url])), 1);
}

#[test]
fn the_api_can_be_tried_part_by_part() {
    let gateway = Gateway::start(&[]);
    let folder = folder();
    let try_part = |part: &str, keys: &[&str]| {
        let output = run(&folder, &[&["api-test", "--url", &gateway.url, "--test", part], keys].concat());
        (code(&output), text(&output.stdout))
    };
    let (status, report) = try_part("health", &[]);
    assert_eq!(status, 0, "{report}");
    assert!(report.ends_with("3 passed, 0 failed, 0 skipped\n"), "{report}");
    let (status, report) = try_part("models", &["--api-key", "client-key"]);
    assert_eq!(status, 0, "{report}");
    let (status, report) = try_part("models", &["--api-key", "wrong"]);
    assert!(status == 1 && report.contains("FAIL  GET /v1/models"), "{report}");
    let (status, report) = try_part("chat", &["--api-key", "client-key"]);
    assert!(status == 1 && report.contains("lists no model"), "{report}");
    let admin = ["--admin-key", ADMIN_KEY];
    for part in ["providers", "system"] {
        let (status, report) = try_part(part, &admin);
        assert_eq!(status, 0, "{report}");
    }
}

#[test]
fn a_log_that_nobody_reads_stops_no_request() {
    let mut gateway = Gateway::start(&[("LOG_LEVEL", "trace")]);
    let mut stream = gateway.connect();
    let mut worst = Duration::ZERO;
    // Far more lines than a pipe and the queue hold.
    for _ in 0..12_000 {
        let began = Instant::now();
        ask(&mut stream, "/health");
        worst = worst.max(began.elapsed());
    }
    assert!(worst < Duration::from_secs(1), "{worst:?}");
    let (status, took) = gateway.stop();
    assert_eq!(status, 0);
    assert!(took < Duration::from_secs(5), "{took:?}");
}
