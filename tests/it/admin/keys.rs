//! Keys that the command line makes and takes back, beside a gateway that is running.

use serde_json::json;

use crate::support::{Gateway, Request, eventually};

#[tokio::test]
async fn a_running_gateway_takes_notice_of_keys_that_the_command_line_makes_and_revokes() {
    let gateway = Gateway::start().await;
    let key = gateway.run(&["keys", "create", "laptop"]).trim().to_owned();
    let status = async || gateway.send(Request::get("/v1/models").bearer(&key)).await.status;
    eventually("the key to be known", async || (status().await == 200).then_some(())).await;
    let listed = gateway.admin_get("/admin/keys").await;
    let rows = listed.as_array().cloned().unwrap_or_default();
    let id = rows.iter().find(|row| row["name"] == json!("laptop")).map(|row| row["id"].to_string()).unwrap();
    gateway.run(&["keys", "revoke", &id]);
    eventually("the key to be unknown", async || (status().await == 401).then_some(())).await;
}
