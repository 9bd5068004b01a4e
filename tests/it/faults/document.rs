//! Requests made up from the API's own document, right and wrong ones, by Schemathesis (`pip install schemathesis`): none of
//! them makes the gateway fail, and every answer and error is as the document says.

use std::process::Command;

use serde_json::{Value, json};

use super::measured;
use crate::support::{ADMIN_KEY, API_KEY, Gateway, Upstream};

/// Where the program is.
fn program() -> String {
    std::env::var("SCHEMATHESIS").unwrap_or_else(|_| "schemathesis".into())
}

const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance";

/// What operators call to have a provider asked: where it is made up, it fails, and says so.
const ASK_PROVIDERS: &str = r"^/admin/providers/\{id\}/(doctor|models|models/import|test)$";

/// Makes up requests for so many seconds. Says how many there were.
async fn explored(gateway: &Gateway, tag: &str, key: &str, seconds: u32) -> String {
    let mut command = Command::new(program());
    command.arg("run").arg(format!("http://{}/openapi.json", gateway.address()));
    command.args(["--include-tag", tag, "--exclude-path-regex", ASK_PROVIDERS, "--checks", CHECKS, "--seed", "1"]);
    command.args(["--phases", "coverage,fuzzing", "--max-time", &seconds.to_string(), "--continue-on-failure"]);
    command.arg("--header").arg(format!("Authorization: Bearer {key}")).current_dir(gateway.folder());
    let output = tokio::task::spawn_blocking(move || command.output()).await.unwrap().unwrap();
    let told = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{told}");
    let cases = told.lines().find(|line| line.contains(" generated, "));
    cases.unwrap_or_else(|| panic!("{told}")).split_whitespace().next().unwrap().to_owned()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
#[ignore = "minutes, and needs Schemathesis: `pip install schemathesis`"]
async fn nothing_that_can_be_made_up_from_the_document_makes_the_gateway_fail() {
    if Command::new(program()).arg("--version").output().is_err() {
        println!("SKIPPED: there is no Schemathesis here: `pip install schemathesis`, or say where by SCHEMATHESIS");
        return;
    }
    let mut cases = Vec::new();
    for (tag, key) in [("client", API_KEY), ("admin", ADMIN_KEY)] {
        let (gateway, a) = (Gateway::start().await, Upstream::start("a").await);
        a.lists(&["gpt-4o"]);
        gateway.provider("a", "openai", &a, json!({})).await;
        cases.push(explored(&gateway, tag, key, 150).await);
        gateway.admin("GET", "/healthz", Value::Null).await.assert_ok();
        let output = gateway.output();
        let wrong: Vec<&str> = output.lines().filter(|line| line.contains(" ERROR ")).collect();
        assert!(wrong.is_empty(), "{wrong:#?}");
    }
    measured(
        "made_up",
        &format!("{} requests of clients and {} of operators made up from the API's document", cases[0], cases[1]),
    );
}
