//! What an operator may say about a provider, and what is checked about it.

use axum::http::Uri;
use llm_protocol::{ProtocolId, ir::ApiError, outbound};
use serde::Deserialize;
use serde_json::{Map, Value};
use utoipa::ToSchema;

use crate::{
    admin::{
        error::invalid,
        input::{Change, checked_name},
    },
    providers::{self, extras},
    secret::MasterKey,
    store::Provider,
};

use super::{
    keys::{self, ProviderKeyInput},
    sealed::{Credential, Sealed, is_credentials},
};

/// The fields of a provider. What is left out stays; `null` clears a field, or puts its default back. A new provider needs
/// at least `name` and `type`.
#[derive(Default, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct ProviderInput {
    /// Unique. No `:`, since `NAME:model` ends the name there.
    #[schema(value_type = Option<String>, example = "openai-primary")]
    #[serde(default)]
    name: Change<String>,
    /// `openai`, `anthropic`, `gemini`, `azure`, `vertex`, `openai_compatible`, `deepseek`, …; an unknown one is answered with
    /// the list.
    #[schema(value_type = Option<String>, example = "openai")]
    #[serde(default)]
    r#type: Change<String>,
    /// With or without a trailing slash, with or without `/v1`. For `azure` the resource's endpoint.
    #[schema(value_type = Option<String>, example = "https://api.openai.com/v1")]
    #[serde(default)]
    base_url: Change<String>,
    /// Stored encrypted and never shown again. For `azure` and `vertex` it may be an object of credentials: an Entra
    /// application (`tenant_id`, `client_id`, `client_secret`), or the JSON file of a Google service account or user.
    #[schema(value_type = Option<String>, example = "sk-...")]
    #[serde(default)]
    api_key: Change<Credential>,
    /// Several keys instead of `api_key`, all of them: requests are spread over them by weight, and one that is refused or at
    /// its limit gives way to another.
    #[schema(value_type = Option<Vec<ProviderKeyInput>>, example = json!([{"name": "team-a", "api_key": "sk-..."}]))]
    #[serde(default)]
    api_keys: Change<Vec<ProviderKeyInput>>,
    #[schema(value_type = Option<bool>, default = true)]
    #[serde(default)]
    enabled: Change<bool>,
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 1000, default = 100)]
    #[serde(default)]
    priority: Change<i64>,
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 1000, default = 100)]
    #[serde(default)]
    weight: Change<i64>,
    /// Seconds.
    #[schema(value_type = Option<i64>, minimum = 1, maximum = 300, default = 60)]
    #[serde(default)]
    timeout: Change<i64>,
    #[schema(value_type = Option<i64>, minimum = 0, maximum = 10, default = 3)]
    #[serde(default)]
    max_retries: Change<i64>,
    /// Requests a minute.
    #[schema(value_type = Option<i64>, minimum = 1)]
    #[serde(default)]
    rate_limit: Change<i64>,
    /// `openai_chat`, `openai_responses`, `anthropic`, `gemini`, `bedrock_converse`.
    #[schema(value_type = Option<Vec<String>>)]
    #[serde(default)]
    protocols: Change<Vec<String>>,
    /// Anything; kept and shown.
    #[schema(value_type = Option<Object>)]
    #[serde(default)]
    metadata: Change<Map<String, Value>>,
    /// Settings of the type. `azure`: `api_version`, `auth`, `authority`, `scope`. `vertex`: `project`, `location`, `auth`,
    /// `metadata_host`.
    #[schema(value_type = Option<Object>, example = json!({"location": "europe-west4"}))]
    #[serde(default)]
    options: Change<Map<String, Value>>,
    /// Headers that go with every request, each a string. Stored encrypted; values are shown as masks, and a mask that is
    /// sent back keeps the value.
    #[schema(value_type = Option<Object>, example = json!({"X-Team": "search"}))]
    #[serde(default)]
    extra_headers: Change<Map<String, Value>>,
    /// Fields for every generating request in which the client did not set them; objects are joined.
    #[schema(value_type = Option<Object>, example = json!({"service_tier": "flex"}))]
    #[serde(default)]
    extra_body: Change<Map<String, Value>>,
    /// `http://`, `https://`, `socks5://` (names are looked up here) or `socks5h://` (by the proxy), with `user:password@` if it
    /// wants that. Stored encrypted; the password is never shown.
    #[schema(value_type = Option<String>, example = "socks5h://proxy.example:1080")]
    #[serde(default)]
    proxy: Change<String>,
}

impl ProviderInput {
    /// Makes `row` what the operator wants, or says what stands against it.
    pub fn apply(&self, row: &mut Provider, master_key: &MasterKey) -> Result<(), ApiError> {
        let default = Provider::with_defaults(row.id, row.created_at);
        self.name.or_default(&mut row.name, String::new());
        self.r#type.or_default(&mut row.kind, String::new());
        self.base_url.trimmed().or_none(&mut row.base_url);
        self.apply_keys(row, &Sealed { master_key, id: row.id })?;
        self.enabled.or_default(&mut row.enabled, default.enabled);
        self.priority.within("priority", 0..=1000)?.or_default(&mut row.priority, default.priority);
        self.weight.within("weight", 0..=1000)?.or_default(&mut row.weight, default.weight);
        self.timeout.within("timeout", 1..=300)?.or_default(&mut row.timeout, default.timeout);
        self.max_retries.within("max_retries", 0..=10)?.or_default(&mut row.max_retries, default.max_retries);
        self.rate_limit.within("rate_limit", 1..=u32::MAX.into())?.or_none(&mut row.rate_limit);
        self.protocols.or_none(&mut row.protocols);
        row.protocols = row.protocols.take().filter(|protocols| !protocols.is_empty());
        self.metadata.or_none(&mut row.metadata);
        self.options.or_none(&mut row.options);
        self.extra_body.or_none(&mut row.extra_body);
        for object in [&mut row.options, &mut row.extra_body] {
            *object = object.take().filter(|object| !object.is_empty());
        }
        let sealed = Sealed { master_key, id: row.id };
        row.extra_headers = sealed.headers(&self.extra_headers, row.extra_headers.take());
        row.proxy = sealed.proxy(&self.proxy.trimmed(), row.proxy.take());
        check(row, &sealed)
    }

    fn apply_keys(&self, row: &mut Provider, sealed: &Sealed<'_>) -> Result<(), ApiError> {
        let only = match &self.api_key {
            Change::Keep => return keys::apply(&self.api_keys, row, sealed),
            Change::Set(_) if matches!(self.api_keys, Change::Set(_)) => {
                return Err(invalid(
                    "api_keys",
                    "`api_keys` and `api_key` cannot be set together: give all in `api_keys`",
                ));
            }
            Change::Clear => None,
            Change::Set(key) => key.read()?,
        };
        row.api_key = only.map(|key| sealed.seal(&key));
        row.api_keys = None;
        keys::apply(&self.api_keys, row, sealed)
    }

    /// Whether this changes the keys.
    pub fn rekeys(&self) -> bool {
        self.api_keys != Change::Keep
    }

    /// Whether this may change where or as whom the provider is asked, so that what was learnt about it no longer holds.
    pub fn moves(&self) -> bool {
        self.r#type != Change::Keep
            || self.base_url != Change::Keep
            || self.api_key != Change::Keep
            || self.protocols != Change::Keep
            || self.options != Change::Keep
            || self.extra_headers != Change::Keep
            || self.proxy != Change::Keep
    }
}

fn check(row: &Provider, sealed: &Sealed<'_>) -> Result<(), ApiError> {
    checked_name("name", &row.name)?;
    if row.name.contains(':') {
        return Err(invalid("name", "`name` must not hold a `:`, since `NAME:model` ends the name there"));
    }
    let Some(kind) = providers::find(&row.kind) else {
        let known: Vec<_> = providers::all().map(|kind| kind.name).collect();
        let known = known.join(", ");
        return Err(invalid("type", format!("`type` must be one of {known}, not `{}`", row.kind)));
    };
    let options = row.options.clone().unwrap_or_default();
    match &row.base_url {
        Some(url) => checked_url(url)?,
        None if kind.base_url.is_none() && kind.vendor.address(&options).is_none() => {
            let message = format!("`base_url` is required: type `{}` has no address of its own", kind.name);
            return Err(invalid("base_url", message));
        }
        None => {}
    }
    for name in row.protocols.iter().flatten() {
        if ProtocolId::parse(name).and_then(outbound).is_none() {
            let known: Vec<_> =
                ProtocolId::ALL.into_iter().filter(|id| outbound(*id).is_some()).map(ProtocolId::as_str).collect();
            let known = known.join(", ");
            return Err(invalid("protocols", format!("`protocols` may hold {known}, not `{name}`")));
        }
    }
    let keys = keys::known(row, sealed);
    if !kind.vendor.takes_credentials() && keys.iter().any(|key| is_credentials(&key.key)) {
        let message = format!("`api_key` must be a string: type `{}` takes no object of credentials", kind.name);
        return Err(invalid("api_key", message));
    }
    let each = keys.iter().map(|key| Some(&key.key)).chain(keys.is_empty().then_some(None));
    for key in each {
        kind.vendor.check(&options, key).map_err(|(field, message)| invalid(field, message))?;
    }
    if let Some(fields) = &row.extra_body {
        extras::Fields::read(fields).map_err(|message| invalid("extra_body", message))?;
    }
    sealed.check(row, !keys.is_empty())
}

fn checked_url(url: &str) -> Result<(), ApiError> {
    let problem = match url.parse::<Uri>() {
        Err(_) => "is no URL",
        Ok(uri) if !matches!(uri.scheme_str(), Some("http" | "https")) => "must begin with http:// or https://",
        Ok(uri) if uri.host().is_none_or(str::is_empty) => "names no host",
        Ok(uri) if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) => {
            "must not hold a password: put it into api_key"
        }
        // Such a port would be taken for none, and the key go to whoever listens on the usual one.
        Ok(uri) if has_bad_port(&uri) => "must have a port from 1 to 65535, or none",
        Ok(uri) if uri.query().is_some() || url.contains('#') => "must not have a query or a fragment",
        Ok(_) => return Ok(()),
    };
    Err(invalid("base_url", format!("`base_url` {problem} (for example https://api.example.com/v1)")))
}

fn has_bad_port(uri: &Uri) -> bool {
    let authority = uri.authority().map_or("", |authority| authority.as_str());
    // The colons of an IPv6 address stand between brackets.
    let behind_host = authority.rsplit_once(']').map_or(authority, |(_, rest)| rest);
    behind_host.split_once(':').is_some_and(|(_, port)| !port.parse::<u16>().is_ok_and(|port| port > 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn applied(body: &str) -> Result<Provider, String> {
        let master_key = MasterKey::derive(b"a long enough master key");
        let mut row = Provider { name: "main".into(), kind: "openai".into(), ..Provider::with_defaults(1, 0) };
        let input: ProviderInput = serde_json::from_str(body).unwrap();
        input.apply(&mut row, &master_key).map_err(|error| error.message)?;
        Ok(row)
    }

    #[test]
    fn null_clears_what_may_be_empty_and_resets_what_may_not() {
        let row = applied(r#"{"priority": null, "base_url": null, "rate_limit": 5, "metadata": {"a": 1}}"#).unwrap();
        assert_eq!((row.priority, row.base_url, row.rate_limit), (100, None, Some(5)));
        assert_eq!(applied(r#"{"base_url": "  ", "api_key": "", "protocols": []}"#).unwrap(), applied("{}").unwrap());
    }

    #[test]
    fn a_key_is_sealed_before_it_goes_anywhere() {
        let sealed = applied(r#"{"api_key": "sk-secret"}"#).unwrap().api_key.unwrap();
        assert!(sealed.starts_with("v1:") && !sealed.contains("secret"));
        assert!(applied(r#"{"api_key": "sk-…a1b2"}"#).unwrap_err().contains("mask"));
        assert!(applied(r#"{"api_key": "two words"}"#).unwrap_err().contains("visible ASCII"));
    }

    #[test]
    fn mistakes_are_answered_with_what_would_be_right() {
        for (body, expected) in [
            (r#"{"name": null}"#, "`name` must not be empty"),
            (r#"{"name": "a:b"}"#, "`name` must not hold a `:`"),
            (r#"{"type": "opnai"}"#, "`type` must be one of openai, anthropic, gemini, "),
            (r#"{"type": "vllm"}"#, "`base_url` is required: type `vllm`"),
            (r#"{"weight": 1001}"#, "`weight` must be an integer from 0 to 1000, not 1001"),
            (r#"{"timeout": 0}"#, "`timeout` must be an integer from 1 to 300, not 0"),
            (r#"{"max_retries": 11}"#, "`max_retries` must be an integer from 0 to 10, not 11"),
            (r#"{"rate_limit": 0}"#, "`rate_limit` must be an integer from 1 to "),
            (r#"{"base_url": "api.example.com"}"#, "`base_url` must begin with http"),
            (r#"{"base_url": "ftp://example.com"}"#, "`base_url` must begin with http"),
            (r#"{"base_url": "https://bob:pw@example.com"}"#, "`base_url` must not hold a password"),
            (r#"{"base_url": "https://example.com/v1?key=1"}"#, "`base_url` must not have a query"),
            (r#"{"base_url": "https://"}"#, "`base_url` is no URL"),
            (r#"{"base_url": "http://127.0.0.1:99999"}"#, "`base_url` must have a port from 1"),
            (r#"{"base_url": "http://[::1]:0/v1"}"#, "`base_url` must have a port from 1"),
            (r#"{"base_url": "http://example.com:/v1"}"#, "`base_url` must have a port from 1"),
            (r#"{"protocols": ["telex"]}"#, "`protocols` may hold "),
        ] {
            let message = applied(body).unwrap_err();
            assert!(message.contains(expected), "{body}: {message}");
        }
    }
}
