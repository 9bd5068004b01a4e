//! Configuration from a file and the environment, and how mistakes in them are told.

use std::{io::Write, path::Path, time::Duration};

use llm_orchestrator::config::{self, Config, Environment, LogFormat};
use secrecy::ExposeSecret;

/// Reads an empty file, so that a `config.toml` in the working directory does not matter.
fn from(variables: &[(&str, &str)]) -> Result<Config, String> {
    from_file("", variables)
}

fn from_file(text: &str, variables: &[(&str, &str)]) -> Result<Config, String> {
    let mut file = tempfile::NamedTempFile::new().unwrap();
    file.write_all(text.as_bytes()).unwrap();
    let environment: Environment = variables.iter().copied().collect();
    let name = file.path().display().to_string();
    Config::load_from(Some(file.path()), &environment).map_err(|error| error.to_string().replace(&name, "FILE"))
}

/// What the loader says about one variable.
fn refusal(name: &str, value: &str) -> String {
    let error = from(&[(name, value)]).expect_err(name);
    assert_eq!(error.lines().count(), 1, "one line: {error}");
    error
}

#[test]
fn the_example_file_is_the_one_the_code_writes() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("config.example.toml");
    let text = std::fs::read_to_string(path).unwrap();
    let hint = "run `llm-orchestrator check-config --example > config.example.toml`";
    assert!(text == config::example(), "config.example.toml is out of date: {hint}");
}

#[test]
fn the_example_file_says_what_holds_without_a_file() {
    let shown = from_file(&config::example(), &[]).unwrap();
    assert_eq!(format!("{shown:?}"), format!("{:?}", Config::default()));
}

#[test]
fn every_key_that_the_example_file_shows_as_a_comment_may_be_set() {
    let uncommented: Vec<String> = config::example()
        .lines()
        .map(|line| if line.starts_with("# ") && line.contains(" = ") { line[2..].to_owned() } else { line.to_owned() })
        .collect();
    let config = from_file(&uncommented.join("\n"), &[]).unwrap();
    assert!(config.redis.url.is_some() && config.auth.admin_key.is_some() && config.models.rules_file.is_some());
}

#[test]
fn the_environment_wins_over_the_file_and_the_file_over_the_defaults() {
    let text = "[server]\nport = 9000\nbody_timeout = 2.5\n";
    let config = from_file(text, &[("APP_PORT", "9001"), ("ORCHESTRATOR_ROUTING_MAX_TIMEOUT", "30")]).unwrap();
    assert_eq!(config.server.port, 9001);
    assert_eq!(config.server.body_timeout, Duration::from_millis(2500));
    assert_eq!(config.server.header_timeout, Duration::from_secs(10));
    assert_eq!(config.routing.max_timeout, Duration::from_secs(30));
}

#[test]
fn the_short_names_are_understood() {
    let config = from(&[
        ("APP_HOST", "0.0.0.0"),
        ("DATABASE_URL", "postgresql+asyncpg://user:hidden@db/name"),
        ("REDIS_URL", "redis://cache"),
        ("ADMIN_KEY", "operator-key"),
        ("API_KEYS", r#"["one", "two"]"#),
        ("LOG_LEVEL", "DEBUG"),
        ("LOG_FORMAT", "json"),
        ("HEALTH_CHECK_ENABLED", "false"),
        ("HEALTH_CHECK_INTERVAL", "30"),
        ("HEALTH_CHECK_MAX_ERRORS", "3"),
        ("MAX_RETRY_COUNT", "2"),
        ("ENABLE_RATE_LIMITING", "true"),
        ("RATE_LIMIT_PER_MINUTE", "5"),
        ("CORS_ORIGINS", "https://a.example, http://localhost:3000"),
    ])
    .unwrap();
    assert_eq!(config.auth.api_keys[1].expose_secret(), "two");
    assert_eq!(config.logging.format, LogFormat::Json);
    assert!(!config.health.enabled && config.limits.enabled);
    assert_eq!(config.server.cors_origins, ["https://a.example", "http://localhost:3000"]);
    let printed = format!("{config:?}");
    assert!(!printed.contains("hidden") && !printed.contains("operator-key"), "{printed}");
}

#[test]
fn a_bad_value_is_refused_with_the_variable_and_the_reason() {
    assert_eq!(
        refusal("APP_PORT", "80o0"),
        "the environment variable APP_PORT is not a whole number: correct it or unset it"
    );
    assert!(refusal("APP_PORT", "70000").contains("outside the range from 0 to 65535"));
    assert!(refusal("APP_PORT", "tcp://10.0.0.1:80").contains("enableServiceLinks"));
    assert!(refusal("MAX_RETRY_COUNT", "11").contains("outside the range from 0 to 10"));
    assert!(refusal("HEALTH_CHECK_ENABLED", "maybe").contains("neither true nor false"));
    assert!(refusal("LOG_FORMAT", "xml").contains("neither text nor json"));
    assert!(refusal("CORS_ORIGINS", "https://a.example/path").contains("not an origin"));
    assert!(
        refusal("ORCHESTRATOR_SERVER_TRUSTED_PROXIES", "10.0.0.0/8,proxy").contains("neither an address nor a range")
    );
    assert!(refusal("DATABASE_URL", "mysql://root:pass@db").contains("sqlite:// or postgres://"));
}

#[test]
fn empty_and_short_secrets_are_refused_and_never_repeated() {
    assert!(refusal("ADMIN_KEY", "").contains("ADMIN_KEY is empty"));
    assert!(refusal("API_KEYS", "").contains("API_KEYS is empty"));
    assert!(refusal("MASTER_KEY", "too-short-key").contains("has 13 characters"));
    assert!(!refusal("MASTER_KEY", "too-short-key").contains("too-short-key"));
    assert!(refusal("ADMIN_KEY", "seven77").contains("has 7 characters"));
    assert!(!refusal("ADMIN_KEY", "seven77").contains("seven77"));
    assert!(refusal("ADMIN_KEY", "with space").contains("header cannot carry"));
    let both = from(&[("ADMIN_KEY", "same"), ("API_KEYS", "other,same")]).unwrap_err();
    assert!(both.contains("choose a key of its own"), "{both}");
}

#[test]
fn a_variable_that_looks_like_ours_is_refused_with_the_name_that_was_meant() {
    assert!(refusal("ORCHESTRATOR_SERVER_PROT", "1").contains("write ORCHESTRATOR_SERVER_PORT"));
    assert!(refusal("APP_NAME", "x").contains("APP_NAME"));
    assert!(refusal("HEALTH_CHECK_SPEED", "x").contains("none: unset it"));
    assert!(refusal("ADMIN_KEYS", "x").contains("write ADMIN_KEY"));
    assert!(refusal("DATABASE_URI", "x").contains("write DATABASE_URL"));
    assert!(refusal("OPENAI_API_KEYS", "x").contains("write OPENAI_API_KEY"));
    assert!(from(&[("PATH", "/bin"), ("HOME", "/root"), ("EDITOR", "vi"), ("APPDATA", "x")]).is_ok());
}

#[test]
fn variables_that_kubernetes_sets_for_a_service_are_let_be() {
    let links = [
        ("APP_SERVICE_HOST", "10.0.0.1"),
        ("APP_SERVICE_PORT_HTTP", "80"),
        ("APP_PORT_80_TCP", "tcp://10.0.0.1:80"),
        ("APP_PORT_80_TCP_ADDR", "10.0.0.1"),
        ("ORCHESTRATOR_PORT", "tcp://10.0.0.1:80"),
    ];
    assert!(from(&links).is_ok());
}

#[test]
fn two_names_of_one_setting_must_agree() {
    assert!(from(&[("APP_PORT", "1"), ("ORCHESTRATOR_SERVER_PORT", "1")]).is_ok());
    let error = from(&[("APP_PORT", "1"), ("ORCHESTRATOR_SERVER_PORT", "2")]).unwrap_err();
    assert!(error.contains("two names of one setting"), "{error}");
}

#[test]
fn a_mistake_in_the_file_is_told_with_its_line() {
    let refusal = |text: &str| from_file(text, &[]).unwrap_err();
    assert_eq!(
        refusal("[server]\nhost = \"127.0.0.1\"\nprot = 1\n"),
        r#"FILE line 3: "prot" is not a key of [server]: write "port" if that is meant, else remove it"#
    );
    assert!(refusal("[sever]\n").contains(r#"write "server""#));
    assert!(refusal("[server]\nport = \"8000\"").starts_with("FILE line 2: server.port is not a whole number"));
    assert!(refusal("[server]\nport = 1\nport = 2").starts_with("FILE line 3: is not TOML"));
    assert!(refusal("server = 1").contains("write [server]"));
    assert_eq!(refusal("[server]\nport = 1 2\n").lines().count(), 1);
}

#[test]
fn a_file_that_is_named_must_be_there() {
    let environment: Environment = [("ORCHESTRATOR_CONFIG", "/nonexistent/config.toml")].into_iter().collect();
    let error = Config::load_from(None, &environment).unwrap_err().to_string();
    assert!(error.contains("/nonexistent/config.toml cannot be read"), "{error}");
}

#[test]
fn a_door_open_to_everybody_is_refused_beyond_this_machine() {
    let open = [("APP_HOST", "0.0.0.0"), ("ORCHESTRATOR_AUTH_ALLOW_ANONYMOUS", "true")];
    assert!(from(&open).unwrap_err().contains("auth.allow_anonymous"));
    assert!(from(&open[1..]).is_ok());
    assert!(from(&[("APP_HOST", "::1"), open[1]]).is_ok());
}

#[test]
fn the_keys_of_well_known_providers_create_them() {
    let config =
        from(&[("OPENAI_API_KEY", "sk-a"), ("OPENAI_BASE_URL", "http://localhost:1/v1"), ("GEMINI_API_KEY", "")]);
    let providers = config.unwrap().env_providers;
    assert_eq!(providers.len(), 1);
    assert_eq!((providers[0].kind, providers[0].base_url.as_deref()), ("openai", Some("http://localhost:1/v1")));
    assert!(from(&[("OPENAI_API_KEY", "sk-a"), ("OPENAI_BASE_URL", "localhost")]).is_err());
}
