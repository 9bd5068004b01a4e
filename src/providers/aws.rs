//! Amazon's credentials of the machine that the gateway runs on: those of its container, else those of its role.
//!
//! They end after some hours. Each set is kept as a token is (`token`), in the form in which an operator would give it as a key,
//! and fetched anew before it ends.

use std::{path::PathBuf, sync::LazyLock, time::Duration};

use bytes::Bytes;
use http_body_util::Full;
use hyper::http::{HeaderName, HeaderValue, Method, Request, header};
use llm_protocol::ir::{ApiError, ErrorKind};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;
use tokio::time::Instant;

use super::token::{self, Grant};
use crate::{
    clock,
    upstream::{Client, read_whole},
};

/// Where a container finds what its relative address is below.
const CONTAINER_HOST: &str = "http://169.254.170.2";
/// Where a machine finds out about itself.
const METADATA_HOST: &str = "http://169.254.169.254";
/// The path below which a machine's role and its credentials stand.
const ROLE_PATH: &str = "/latest/meta-data/iam/security-credentials/";
/// Seconds for which one round of questions about the machine may last.
const SESSION_LIFETIME: HeaderValue = HeaderValue::from_static("60");
const SESSION_LIFETIME_HEADER: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token-ttl-seconds");
const SESSION_HEADER: HeaderName = HeaderName::from_static("x-aws-ec2-metadata-token");

/// Where Amazon's own programs are told to look, as it was at the start.
struct Environment {
    container: Option<String>,
    authorization: Option<SecretString>,
    /// Rewritten while the gateway runs.
    authorization_file: Option<PathBuf>,
    metadata: String,
}

static ENVIRONMENT: LazyLock<Environment> = LazyLock::new(|| {
    let variable = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    let relative = || Some(format!("{CONTAINER_HOST}{}", variable("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI")?));
    let metadata = variable("AWS_EC2_METADATA_SERVICE_ENDPOINT");
    Environment {
        container: variable("AWS_CONTAINER_CREDENTIALS_FULL_URI").or_else(relative),
        authorization: variable("AWS_CONTAINER_AUTHORIZATION_TOKEN").map(SecretString::from),
        authorization_file: variable("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE").map(PathBuf::from),
        metadata: metadata.map_or_else(|| METADATA_HOST.to_owned(), |host| host.trim_end_matches('/').to_owned()),
    }
});

/// The credentials of the machine, as an object of `access_key_id`, `secret_access_key` and `session_token`.
pub async fn fetch(client: &Client) -> Result<Grant, ApiError> {
    // Both services are neighbours: no proxy leads to them.
    let client = client.via(None);
    match &ENVIRONMENT.container {
        Some(address) => of_container(&client, address).await,
        None => of_role(&client, &ENVIRONMENT.metadata).await,
    }
}

async fn of_container(client: &Client, address: &str) -> Result<Grant, ApiError> {
    let mut request = get(address)?;
    let read = match &ENVIRONMENT.authorization_file {
        Some(file) => tokio::fs::read_to_string(file).await.ok().map(SecretString::from),
        None => ENVIRONMENT.authorization.clone(),
    };
    if let Some(proof) = &read {
        set(&mut request, header::AUTHORIZATION, proof.expose_secret().trim())?;
    }
    grant(&ask(client, request).await?)
}

async fn of_role(client: &Client, metadata: &str) -> Result<Grant, ApiError> {
    let mut request = get(&format!("{metadata}/latest/api/token"))?;
    *request.method_mut() = Method::PUT;
    request.headers_mut().insert(SESSION_LIFETIME_HEADER, SESSION_LIFETIME);
    let session = ask(client, request).await?;
    let question = |path: &str| {
        let mut request = get(&format!("{metadata}{ROLE_PATH}{path}"))?;
        set(&mut request, SESSION_HEADER, session.trim())?;
        Ok::<_, ApiError>(request)
    };
    let roles = ask(client, question("")?).await?;
    let role = roles.lines().next().unwrap_or_default().trim();
    grant(&ask(client, question(role)?).await?)
}

fn get(address: &str) -> Result<Request<Full<Bytes>>, ApiError> {
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.uri_mut() = token::address(address)?;
    Ok(request)
}

fn set(request: &mut Request<Full<Bytes>>, name: HeaderName, secret: &str) -> Result<(), ApiError> {
    let mut value = HeaderValue::from_str(secret).map_err(|_| unreadable())?;
    value.set_sensitive(true);
    request.headers_mut().insert(name, value);
    Ok(())
}

async fn ask(client: &Client, request: Request<Full<Bytes>>) -> Result<String, ApiError> {
    let unreachable = |error: ApiError| {
        token::failed(
            error.kind,
            "the service that gives out this machine's credentials for the provider did not answer",
        )
    };
    let (head, body) = client.send(request).await.map_err(unreachable)?.into_parts();
    let deadline = Instant::now() + token::PATIENCE;
    let body = read_whole(body, &head.headers, token::ANSWER_LIMIT, deadline).await.map_err(unreachable)?;
    if !head.status.is_success() {
        let status = head.status.as_u16();
        let message = format!("this machine was given no credentials for the provider ({status})");
        return Err(token::failed(ErrorKind::UpstreamAuth, &message));
    }
    String::from_utf8(body.to_vec()).map_err(|_| unreadable())
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Answer {
    access_key_id: String,
    secret_access_key: String,
    token: Option<String>,
    expiration: String,
}

fn grant(answer: &str) -> Result<Grant, ApiError> {
    let answer: Answer = serde_json::from_str(answer).map_err(|_| unreadable())?;
    let ends = clock::parse(&answer.expiration).ok_or_else(unreadable)?;
    let left = u64::try_from(ends - clock::now_micros()).unwrap_or(0);
    let keys = json!({
        "access_key_id": answer.access_key_id,
        "secret_access_key": answer.secret_access_key,
        "session_token": answer.token,
    });
    Ok(Grant { token: SecretString::from(keys.to_string()), lifetime: Duration::from_micros(left) })
}

fn unreadable() -> ApiError {
    token::failed(ErrorKind::Upstream, "this machine's credentials for the provider could not be read")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_are_kept_as_a_key_and_for_as_long_as_they_hold() {
        let ends = clock::rfc3339(clock::now_micros() + 3_600_000_000);
        let answer = json!({"AccessKeyId": "a", "SecretAccessKey": "b", "Token": "c", "Expiration": ends, "Type": "x"});
        let grant = grant(&answer.to_string()).unwrap();
        assert_eq!(grant.token.expose_secret(), r#"{"access_key_id":"a","secret_access_key":"b","session_token":"c"}"#);
        assert!((3500..=3600).contains(&grant.lifetime.as_secs()), "{:?}", grant.lifetime);
    }

    #[test]
    fn what_is_no_set_of_credentials_is_not_kept() {
        for wrong in ["", "{}", r#"{"AccessKeyId":"a","SecretAccessKey":"b","Expiration":"soon"}"#] {
            assert_eq!(grant(wrong).err().map(|error| error.kind), Some(ErrorKind::Upstream), "{wrong}");
        }
    }
}
