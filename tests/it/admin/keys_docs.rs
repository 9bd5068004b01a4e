//! The lines of the pages about keys run as they stand there.

use std::{path::Path, process::Command};

use crate::support::{
    ADMIN_KEY, Gateway,
    environment::{Environment, SYSTEM},
};

/// All lines of a page that are for a shell.
fn script(page: &str) -> String {
    let text = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(page)).unwrap();
    let blocks = text.split("```bash\n").skip(1);
    blocks.map(|block| block.split("```").next().unwrap_or_default()).collect()
}

#[tokio::test]
async fn every_line_of_the_pages_about_keys_runs() {
    if Environment::prepare(&SYSTEM).await.is_none() {
        return;
    }
    let program = Path::new(env!("CARGO_BIN_EXE_llm-orchestrator")).parent().unwrap().display().to_string();
    let path = format!("{program}:{}", std::env::var("PATH").unwrap());
    for page in ["keys.md", "keys.zh-CN.md"] {
        let gateway = Gateway::start().await;
        let script = script(page);
        assert!(script.matches("llm-orchestrator").count() >= 7 && script.matches("admin ").count() >= 7, "{script}");
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", &script]).current_dir(gateway.folder()).env_clear().env("PATH", &path);
        let settings = gateway.settings().iter().map(|(name, value)| (name.as_str(), value.as_str()));
        command.envs(settings).env("URL", format!("http://{}", gateway.address())).env("ADMIN_KEY", ADMIN_KEY);
        let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
        let said = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
        assert!(output.status.success(), "{page}: {}\n{said}", output.status);
        assert!(said.contains("is revoked") && said.contains("is deleted"), "{page}: {said}");
    }
}
