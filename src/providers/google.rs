//! Google's credentials: what they hold, and how a token is had with them.

use std::sync::LazyLock;

use aws_lc_rs::{
    rand::SystemRandom,
    signature::{RSA_PKCS1_SHA256, RsaKeyPair},
};
use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use bytes::Bytes;
use http_body_util::Full;
use hyper::http::{HeaderValue, Request};
use llm_protocol::ir::{ApiError, ErrorKind};
use rustls_pki_types::{PrivateKeyDer, pem::PemObject as _};
use secrecy::{ExposeSecret, SecretString};
use serde::Deserialize;
use serde_json::json;

use super::token::{self, Grant};
use crate::{clock, upstream::Client};

/// What Google's access tokens begin with.
pub const TOKEN_PREFIX: &str = "ya29.";

const SCOPE: &str = "https://www.googleapis.com/auth/cloud-platform";
const TOKEN_URI: &str = "https://oauth2.googleapis.com/token";
const JWT_GRANT: &str = "urn:ietf:params:oauth:grant-type:jwt-bearer";
/// Seconds for which an assertion holds; Google takes no more.
const ASSERTION_LIFETIME: i64 = 3600;
const METADATA_HOST: &str = "metadata.google.internal";

/// The variable by which Google's own tools are told where the metadata service is.
static METADATA_HOST_IN_ENVIRONMENT: LazyLock<Option<String>> =
    LazyLock::new(|| std::env::var("GCE_METADATA_HOST").ok().filter(|host| !host.is_empty()));

/// With what tokens are fetched.
#[derive(Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Credentials {
    ServiceAccount(ServiceAccount),
    AuthorizedUser(AuthorizedUser),
    /// The account of the machine that the gateway runs on, by the host of its metadata service.
    #[serde(skip)]
    Machine(String),
}

#[derive(Deserialize)]
pub struct ServiceAccount {
    client_email: String,
    private_key: SecretString,
    #[serde(default)]
    private_key_id: Option<String>,
    #[serde(default)]
    project_id: Option<String>,
    #[serde(default)]
    token_uri: Option<String>,
}

#[derive(Deserialize)]
pub struct AuthorizedUser {
    client_id: String,
    client_secret: SecretString,
    refresh_token: SecretString,
    #[serde(default)]
    quota_project_id: Option<String>,
    #[serde(default)]
    token_uri: Option<String>,
}

impl Credentials {
    /// Reads a file of credentials as Google's tools write it. The error says what is wrong with the key.
    pub fn read(key: &SecretString) -> Result<Self, String> {
        serde_json::from_str(key.expose_secret()).map_err(|error| {
            format!("`api_key` as an object must be a `service_account` or an `authorized_user` as Google gives it out: {error}")
        })
    }

    /// The account of the machine, whose metadata service is at `host`, or where the environment or Google says.
    pub fn machine(host: Option<&str>) -> Self {
        let known = METADATA_HOST_IN_ENVIRONMENT.as_deref();
        Self::Machine(host.or(known).unwrap_or(METADATA_HOST).to_owned())
    }

    /// Whether the private key, if there is one, can sign.
    pub fn can_sign(&self) -> bool {
        match self {
            Self::ServiceAccount(account) => account.signer().is_some(),
            Self::AuthorizedUser(_) | Self::Machine(_) => true,
        }
    }

    /// The project that they belong to.
    pub fn project(&self) -> Option<&str> {
        match self {
            Self::ServiceAccount(account) => account.project_id.as_deref(),
            Self::AuthorizedUser(user) => user.quota_project_id.as_deref(),
            Self::Machine(_) => None,
        }
    }

    /// The project whose quota requests count against, where that must be said.
    pub fn quota_project(&self) -> Option<&str> {
        match self {
            Self::AuthorizedUser(user) => user.quota_project_id.as_deref(),
            Self::ServiceAccount(_) | Self::Machine(_) => None,
        }
    }

    pub async fn fetch(&self, client: &Client) -> Result<Grant, ApiError> {
        match self {
            Self::ServiceAccount(account) => {
                let fields = [("grant_type", JWT_GRANT), ("assertion", &account.assertion()?)];
                token::ask(client, token::form(account.endpoint(), &fields)?).await
            }
            Self::AuthorizedUser(user) => {
                let fields = [
                    ("grant_type", "refresh_token"),
                    ("client_id", &user.client_id),
                    ("client_secret", user.client_secret.expose_secret()),
                    ("refresh_token", user.refresh_token.expose_secret()),
                ];
                token::ask(client, token::form(user.token_uri.as_deref().unwrap_or(TOKEN_URI), &fields)?).await
            }
            // The metadata service is a neighbour: no proxy leads to it.
            Self::Machine(host) => token::ask(&client.via(None), metadata_request(host)?).await,
        }
    }
}

fn metadata_request(host: &str) -> Result<Request<Full<Bytes>>, ApiError> {
    let address = format!("http://{host}/computeMetadata/v1/instance/service-accounts/default/token");
    let mut request = Request::new(Full::new(Bytes::new()));
    *request.uri_mut() = token::address(&address)?;
    request.headers_mut().insert("metadata-flavor", HeaderValue::from_static("Google"));
    Ok(request)
}

impl ServiceAccount {
    fn endpoint(&self) -> &str {
        self.token_uri.as_deref().unwrap_or(TOKEN_URI)
    }

    fn signer(&self) -> Option<RsaKeyPair> {
        match PrivateKeyDer::from_pem_slice(self.private_key.expose_secret().as_bytes()).ok()? {
            PrivateKeyDer::Pkcs8(key) => RsaKeyPair::from_pkcs8(key.secret_pkcs8_der()).ok(),
            PrivateKeyDer::Pkcs1(key) => RsaKeyPair::from_der(key.secret_pkcs1_der()).ok(),
            _ => None,
        }
    }

    /// A signed statement of who asks (RFC 7523).
    fn assertion(&self) -> Result<String, ApiError> {
        let unusable = || token::failed(ErrorKind::UpstreamAuth, "the service account's private key cannot be used");
        let signer = self.signer().ok_or_else(unusable)?;
        let now = clock::now_micros() / 1_000_000;
        let header = json!({"alg": "RS256", "typ": "JWT", "kid": self.private_key_id});
        let claims = json!({
            "iss": self.client_email,
            "scope": SCOPE,
            "aud": self.endpoint(),
            "iat": now,
            "exp": now + ASSERTION_LIFETIME,
        });
        let [header, claims] = [header, claims].map(|part| URL_SAFE_NO_PAD.encode(part.to_string()));
        let said = format!("{header}.{claims}");
        let mut signature = vec![0; signer.public_modulus_len()];
        signer
            .sign(&RSA_PKCS1_SHA256, &SystemRandom::new(), said.as_bytes(), &mut signature)
            .map_err(|_| unusable())?;
        Ok(format!("{said}.{}", URL_SAFE_NO_PAD.encode(signature)))
    }
}
