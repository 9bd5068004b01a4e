//! Azure OpenAI: a resource's own address, deployments in the path, and Entra's tokens beside keys.
//!
//! - The classic form: `/openai/deployments/{deployment}/chat/completions?api-version=…`; the model is the deployment.
//! - The v1 form: `/openai/v1/chat/completions`, the deployment in the body, where `api_version` is `v1`, `preview` or
//!   `latest`, or the base URL ends in `/openai/v1`. The Responses protocol takes it too unless a version was set.
//! - Models of other vendors: a base URL that ends in `/models`, the deployment in the body.

use bytes::Bytes;
use futures_util::future::BoxFuture;
use http_body_util::Full;
use hyper::http::{HeaderMap, Request, header::HeaderName};
use llm_protocol::{Outbound, ProtocolId, ir::ApiError};
use secrecy::{ExposeSecret, SecretString};

use super::{
    Fault, Options, Vendor, token,
    vendor::{only_texts, segment, set_bearer, set_secret, text},
};
use crate::{
    catalog::Provider,
    secret::{self, KeyHash},
    upstream::Client,
};

/// The newest dated version of the classic form that is no preview.
const CLASSIC_VERSION: &str = "2024-10-21";
/// The version of the form for other vendors' models.
const MODELS_VERSION: &str = "2024-05-01-preview";
/// The last version in which a resource lists its deployments.
const LISTING_VERSION: &str = "2023-03-15-preview";

const AUTHORITY: &str = "https://login.microsoftonline.com";
const SCOPE: &str = "https://cognitiveservices.azure.com/.default";
const API_KEY: HeaderName = HeaderName::from_static("api-key");

/// Ways to use a key that is no object of credentials.
const AUTH: [&str; 2] = ["api_key", "entra_token"];

#[derive(Debug)]
pub struct Azure;

/// How a resource's paths look.
#[derive(Debug, PartialEq)]
enum Form<'a> {
    Classic {
        root: &'a str,
        version: Option<&'a str>,
    },
    /// With a version such as `preview`, or none.
    V1 {
        root: &'a str,
        version: Option<&'a str>,
    },
    Models {
        base: &'a str,
        root: &'a str,
        version: &'a str,
    },
}

impl<'a> Form<'a> {
    fn of(base: &'a str, options: &'a Options) -> Self {
        let version = text(options, "api_version");
        let undated = version.filter(|version| ["v1", "preview", "latest"].contains(version));
        let of_v1 = base.strip_suffix("/openai/v1");
        // Azure's portal shows the address with a deployment; which one is meant, the model says.
        let classic =
            base.split("/openai/deployments/").next().map(|root| root.strip_suffix("/openai").unwrap_or(root));
        let root = of_v1.or(classic).unwrap_or(base);
        if let Some(root) = base.strip_suffix("/models") {
            return Self::Models { base, root, version: version.unwrap_or(MODELS_VERSION) };
        }
        match (of_v1, undated) {
            (None, None) => Self::Classic { root, version },
            _ => Self::V1 { root, version: undated.filter(|version| *version != "v1") },
        }
    }

    /// The address of `path`, for a deployment where the path is one of a deployment's.
    fn address(&self, path: &str, deployment: Option<&str>) -> String {
        let (address, version) = match (self, deployment) {
            (Self::Models { base, version, .. }, _) => (format!("{base}{path}"), Some(*version)),
            (Self::V1 { root, version }, _) => (format!("{root}/openai/v1{path}"), *version),
            (Self::Classic { root, version: None }, _) if path.starts_with("/responses") => {
                (format!("{root}/openai/v1{path}"), None)
            }
            (Self::Classic { root, version }, Some(deployment)) if !path.starts_with("/responses") => {
                let deployment = segment(deployment);
                (format!("{root}/openai/deployments/{deployment}{path}"), Some(version.unwrap_or(CLASSIC_VERSION)))
            }
            (Self::Classic { root, version }, _) => {
                (format!("{root}/openai{path}"), Some(version.unwrap_or(CLASSIC_VERSION)))
            }
        };
        match version {
            None => address,
            Some(version) => {
                let mark = if address.contains('?') { '&' } else { '?' };
                format!("{address}{mark}api-version={}", segment(version))
            }
        }
    }

    /// Where the resource lists its deployments; the list of models is that of all that could be deployed.
    fn deployments(&self) -> String {
        let (Self::Classic { root, .. } | Self::V1 { root, .. } | Self::Models { root, .. }) = self;
        format!("{root}/openai/deployments?api-version={LISTING_VERSION}")
    }
}

impl Vendor for Azure {
    fn takes_credentials(&self) -> bool {
        true
    }

    fn check(&self, options: &Options, key: Option<&SecretString>) -> Result<(), Fault> {
        only_texts(options, &["api_version", "auth", "authority", "scope"])?;
        if let Some(auth) = text(options, "auth").filter(|auth| !AUTH.contains(auth)) {
            return Err(("options", format!("`options.auth` must be {}, not `{auth}`", AUTH.join(" or "))));
        }
        if let Some(authority) = text(options, "authority")
            && token::address(authority).is_err()
        {
            return Err((
                "options",
                "`options.authority` must be a URL such as https://login.microsoftonline.com".into(),
            ));
        }
        let Some(key) = key.filter(|key| secret::credentials(key.expose_secret()).is_some()) else { return Ok(()) };
        let needed = "`api_key` as an object must hold `tenant_id`, `client_id` and `client_secret`, each a string";
        Application::read(key).map(|_| ()).ok_or_else(|| ("api_key", needed.to_owned()))
    }

    fn generate(&self, provider: &Provider, outbound: &dyn Outbound, model: &str, stream: bool) -> String {
        let deployment = (outbound.id() == ProtocolId::OpenAiChat).then_some(model);
        Form::of(&provider.base_url, &provider.options).address(&outbound.endpoint(model, stream), deployment)
    }

    /// Azure counts no tokens.
    fn count(&self, _: &Provider, _: &dyn Outbound, _: &str) -> Option<String> {
        None
    }

    fn operation(&self, provider: &Provider, path: &str, model: Option<&str>) -> String {
        let form = Form::of(&provider.base_url, &provider.options);
        let lists = path.split('?').next() == Some("/models");
        if lists { form.deployments() } else { form.address(path, model) }
    }

    fn authenticate(&self, key: Option<&SecretString>, headers: &mut HeaderMap) {
        if let Some(key) = key.filter(|key| secret::credentials(key.expose_secret()).is_none()) {
            set_secret(headers, API_KEY, key.expose_secret());
        }
    }

    fn authorize<'a>(
        &'a self,
        provider: &'a Provider,
        client: &'a Client,
        request: &'a mut Request<Full<Bytes>>,
    ) -> Option<BoxFuture<'a, Result<(), ApiError>>> {
        let key = provider.key.as_ref()?;
        let Some(application) = Application::read(key) else {
            if text(&provider.options, "auth") == Some("entra_token") {
                request.headers_mut().remove(API_KEY);
                set_bearer(request.headers_mut(), key);
            }
            return None;
        };
        Some(Box::pin(async move {
            let asked = application.endpoint(&provider.options);
            let (client, scope) = (client.clone(), scope(&provider.options).to_owned());
            let token = token::get(token_key(provider, key), move || {
                Box::pin(async move { application.fetch(&client, &asked, &scope).await })
            });
            set_bearer(request.headers_mut(), &token.await?);
            Ok(())
        }))
    }

    fn refused(&self, provider: &Provider) {
        if let Some(key) = &provider.key {
            token::forget(token_key(provider, key));
        }
    }
}

fn scope(options: &Options) -> &str {
    text(options, "scope").unwrap_or(SCOPE)
}

fn token_key(provider: &Provider, key: &SecretString) -> token::Key {
    let authority = text(&provider.options, "authority").unwrap_or_default();
    let all = format!("{}\n{authority}\n{}", key.expose_secret(), scope(&provider.options));
    (provider.id, KeyHash::of(&all))
}

/// An application registered with Entra, as whom tokens are fetched.
struct Application {
    tenant: String,
    id: String,
    secret: SecretString,
}

impl Application {
    fn read(key: &SecretString) -> Option<Self> {
        let credentials = secret::credentials(key.expose_secret())?;
        let member = |name: &str| credentials.get(name)?.as_str().filter(|text| !text.is_empty()).map(str::to_owned);
        Some(Self {
            tenant: member("tenant_id")?,
            id: member("client_id")?,
            secret: SecretString::from(member("client_secret")?),
        })
    }

    fn endpoint(&self, options: &Options) -> String {
        let authority = text(options, "authority").unwrap_or(AUTHORITY).trim_end_matches('/');
        format!("{authority}/{}/oauth2/v2.0/token", segment(&self.tenant))
    }

    async fn fetch(&self, client: &Client, endpoint: &str, scope: &str) -> Result<token::Grant, ApiError> {
        let fields = [
            ("grant_type", "client_credentials"),
            ("client_id", &self.id),
            ("client_secret", self.secret.expose_secret()),
            ("scope", scope),
        ];
        token::ask(client, token::form(endpoint, &fields)?).await
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn address(base: &str, version: Option<&str>, path: &str) -> String {
        let mut options = Options::new();
        if let Some(version) = version {
            options.insert("api_version".into(), version.into());
        }
        Form::of(base, &options).address(path, Some("my gpt"))
    }

    #[test]
    fn the_model_is_a_deployment_in_the_path_of_the_classic_form() {
        for path in ["", "/openai", "/openai/deployments/other/chat/completions"] {
            let base = &format!("https://n.openai.azure.com{path}");
            let classic = "https://n.openai.azure.com/openai/deployments/my%20gpt/chat/completions?api-version=";
            assert_eq!(address(base, None, "/chat/completions"), format!("{classic}2024-10-21"));
            let dated = Some("2025-04-01-preview");
            assert_eq!(address(base, dated, "/chat/completions"), format!("{classic}2025-04-01-preview"));
            let responses = "https://n.openai.azure.com/openai/responses?api-version=2025-04-01-preview";
            assert_eq!(address(base, dated, "/responses"), responses);
            assert_eq!(
                address(base, None, "/responses/r_1?a=b"),
                "https://n.openai.azure.com/openai/v1/responses/r_1?a=b"
            );
        }
    }

    #[test]
    fn the_newer_form_has_the_model_in_the_body() {
        let v1 = "https://n.openai.azure.com/openai/v1/embeddings";
        assert_eq!(address("https://n.openai.azure.com/openai/v1", None, "/embeddings"), v1);
        assert_eq!(address("https://n.openai.azure.com", Some("v1"), "/embeddings"), v1);
        assert_eq!(
            address("https://n.openai.azure.com/openai", Some("preview"), "/embeddings"),
            format!("{v1}?api-version=preview")
        );
        assert_eq!(
            address("https://n.services.ai.azure.com/models", None, "/chat/completions"),
            "https://n.services.ai.azure.com/models/chat/completions?api-version=2024-05-01-preview"
        );
    }

    #[test]
    fn what_is_missing_or_unknown_is_named() {
        let check = |options: serde_json::Value, key: &str| {
            Azure.check(options.as_object().unwrap(), Some(&SecretString::from(key)))
        };
        assert!(check(json!({"api-version": "x"}), "k").unwrap_err().1.contains("not `api-version`"));
        assert!(check(json!({"auth": "magic"}), "k").unwrap_err().1.contains("options.auth"));
        assert!(check(json!({"authority": "nowhere"}), "k").unwrap_err().1.contains("options.authority"));
        assert_eq!(check(json!({}), r#"{"client_id":"a"}"#).unwrap_err().0, "api_key");
        assert!(check(json!({}), r#"{"tenant_id":"t","client_id":"a","client_secret":"s"}"#).is_ok());
    }
}
