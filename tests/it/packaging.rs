//! What the program is shipped in fits the program: variables, commands, versions, scripts.

use std::{
    fs,
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    process::{Command, Output},
};

use crate::support::environment::{Environment, PACKAGING};

const PROGRAM: &str = env!("CARGO_BIN_EXE_llm-orchestrator");

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn is_variable(name: &str) -> bool {
    let sane = |letter: char| letter.is_ascii_uppercase() || letter.is_ascii_digit() || letter == '_';
    name.contains('_') && name.starts_with(|letter: char| letter.is_ascii_uppercase()) && name.chars().all(sane)
}

/// The lines of a YAML mapping whose keys are variables.
fn mapped(text: &str) -> Vec<(&str, &str)> {
    let pairs = text.lines().filter_map(|line| line.trim().split_once(": "));
    pairs.filter(|(name, _)| is_variable(name)).collect()
}

/// What the image sets.
fn image() -> Vec<(String, String)> {
    let dockerfile = read("Dockerfile");
    let last_stage = dockerfile.rsplit("\nFROM ").next().expect("an image is from another");
    let words = last_stage.split_whitespace().filter_map(|word| word.split_once('='));
    words.filter(|(name, _)| is_variable(name)).map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

/// What the unit sets, with its folder below `state`.
fn unit(state: &Path) -> Vec<(String, String)> {
    let unit = read("deploy/systemd/llm-orchestrator.service").replace("%S", &state.display().to_string());
    let settings = unit.lines().filter_map(|line| line.strip_prefix("Environment=")?.split_once('='));
    settings.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()
}

fn check_config(settings: &[(String, String)], folder: &Path) -> Output {
    let mut command = Command::new(PROGRAM);
    let settings = settings.iter().map(|(name, value)| (name, value));
    command.arg("check-config").env_clear().envs(settings).current_dir(folder).output().expect("the program can be run")
}

#[test]
fn image_and_unit_set_what_the_program_understands() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for settings in [image(), unit(folder.path())] {
        assert!(settings.len() >= 2, "{settings:?}");
        let output = check_config(&settings, folder.path());
        assert!(output.status.success(), "{settings:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
}

#[test]
fn compose_file_and_chart_set_what_the_program_understands() {
    let known = read("config.example.toml");
    let compose = read("compose.yaml");
    let gateway = compose.split("\n  postgres:").next().expect("the gateway comes first");
    let gateway = gateway.split("environment:").nth(1).expect("it has settings");
    let secret = read("deploy/helm/llm-orchestrator/templates/secret.yaml");
    for (file, settings) in [("compose.yaml", mapped(gateway)), ("secret.yaml", mapped(&secret))] {
        assert!(settings.len() >= 6, "{file}: {settings:?}");
        for (name, _) in settings {
            assert!(
                known.contains(&format!("Environment: {name} or ")) || known.contains(&format!("{name}\n")),
                "{name}"
            );
        }
    }
    for (name, _) in read(".env.example").lines().filter_map(|line| line.split_once('=')) {
        assert!(
            compose.contains(&format!("${{{name}:")) || compose.contains(&format!("environment: {name}\n")),
            "{name}"
        );
    }
}

#[test]
fn the_image_is_asked_for_its_health_by_a_command_that_there_is() {
    let dockerfile = read("Dockerfile");
    let check = dockerfile.lines().find(|line| line.starts_with("HEALTHCHECK")).expect("the image has a check");
    let (_, command) = check.split_once("CMD ").expect("it runs a command");
    let command: Vec<String> = serde_json::from_str(command).expect("without a shell");
    let output = Command::new(PROGRAM).args(&command[1..]).arg("--help").output().expect("the program can be run");
    assert!(output.status.success(), "{command:?}");
    assert!(dockerfile.contains(&format!("ENTRYPOINT [\"{}\"]", command[0])), "{command:?}");
}

#[test]
fn the_build_of_the_image_sees_everything_that_it_reads() {
    let ignore = read(".dockerignore");
    let allowed: Vec<&str> = ignore.lines().filter_map(|line| line.strip_prefix('!')).collect();
    for name in &allowed {
        assert!(root().join(name).exists(), "{name} is let in and is not there");
    }
    let program = ["Cargo.toml", "Cargo.lock", "build.rs", "src", "crates", "migrations", "prices", "benches"];
    for name in program.iter().chain(&["scripts/build-release"]) {
        assert!(allowed.contains(name), "{name} is needed");
    }
}

/// Helm, the schemas of Kubernetes, and that of Compose: no cluster and no container engine is asked.
#[tokio::test]
async fn chart_and_compose_file_are_what_their_tools_take() {
    let Some(tools) = Environment::prepare(&PACKAGING).await else { return };
    let path = std::env::var("PATH").unwrap_or_default();
    let path = format!("{}:{path}", tools.folder().join("venv/bin").display());
    let output =
        Command::new(root().join("scripts/check-packaging")).env("PATH", path).output().expect("it can be run");
    let told = [output.stdout, output.stderr].concat();
    let told = String::from_utf8_lossy(&told);
    assert!(output.status.success(), "{told}");
    let passed = |check: &str| told.lines().filter(|line| line.starts_with("passed:") && line.contains(check)).count();
    let values = fs::read_dir(root().join("deploy/helm/llm-orchestrator/ci")).expect("the folder is there").count();
    let got = ["refused_without_secrets", "helm lint", "rendered", "compose.yaml"].map(passed);
    assert_eq!(got, [1, values, 2 * values, 1], "{told}");
}

#[test]
fn the_chart_is_of_the_same_version_as_the_program() {
    let version = concat!("appVersion: ", env!("CARGO_PKG_VERSION"), "\n");
    assert!(read("deploy/helm/llm-orchestrator/Chart.yaml").contains(version));
}

/// A folder with the scripts, this settings file and the program where the scripts look for it.
fn installation(settings: &str) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    let at = |name: &str| folder.path().join(name);
    fs::create_dir_all(at("scripts")).expect("a folder can be made");
    fs::create_dir_all(at("target/release")).expect("a folder can be made");
    for script in ["start.sh", "test_api.sh"] {
        fs::copy(root().join("scripts").join(script), at("scripts").join(script)).expect("a script can be copied");
    }
    std::os::unix::fs::symlink(PROGRAM, at("target/release/llm-orchestrator")).expect("a link can be made");
    fs::write(at(".env"), settings).expect("a file can be written");
    let start = at("scripts/start.sh");
    (folder, start)
}

fn run(script: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> (bool, String) {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let mut command = Command::new("sh");
    command.arg(script).args(arguments).env_clear().env("PATH", path).envs(settings.iter().copied());
    let output = command.current_dir("/").output().expect("a shell can be run");
    let told = [output.stdout, output.stderr].concat();
    (output.status.success(), String::from_utf8_lossy(&told).into_owned())
}

#[test]
fn the_start_script_reads_the_settings_file_and_runs_nothing_in_it() {
    let settings =
        "# a comment\n\nAPP_PORT=9123\nADMIN_KEY=$(touch${IFS}ran)`touch${IFS}ran`\nnot a line\n1BAD=x\nLOG_LEVEL=warn";
    let (folder, start) = installation(settings);
    let (ok, told) = run(&start, &["check-config"], &[]);
    assert!(ok, "{told}");
    assert!(!folder.path().join("ran").exists());
    let (ok, told) = run(&start, &["check-config"], &[("LOG_LEVEL", "loud")]);
    assert!(!ok && told.contains("LOG_LEVEL"), "what is set already wins: {told}");
    fs::write(folder.path().join(".env"), "APP_PORT=http\n").expect("a file can be written");
    let (ok, told) = run(&start, &["check-config"], &[]);
    assert!(!ok && told.contains("APP_PORT"), "{told}");
}

#[test]
fn the_test_script_is_the_programs_own_test() {
    let (folder, _start) = installation("");
    let (ok, told) = run(&folder.path().join("scripts/test_api.sh"), &["--help"], &[]);
    assert!(ok && told.contains("--admin-key"), "{told}");
}

#[test]
fn scripts_can_be_run_and_those_for_windows_end_their_lines_so() {
    for entry in fs::read_dir(root().join("scripts")).expect("the folder is there") {
        let path = entry.expect("it can be listed").path();
        let text = fs::read_to_string(&path).expect("scripts are text");
        if path.extension().is_some_and(|ending| ending == "bat") {
            assert!(text.lines().count() == text.matches("\r\n").count(), "{}", path.display());
        } else {
            let mode = fs::metadata(&path).expect("it is there").permissions().mode();
            assert!(text.starts_with("#!") && mode & 0o111 == 0o111, "{}", path.display());
        }
    }
}
