//! Outbound proxies: what an operator may name as one, and connecting through it.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll},
};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use hyper::http::{HeaderValue, Uri};
use hyper_rustls::{HttpsConnector, MaybeHttpsStream};
use hyper_util::{
    client::legacy::connect::{
        HttpConnector,
        proxy::{SocksV5, Tunnel},
    },
    rt::TokioIo,
};
use secrecy::{ExposeSecret, SecretString};
use tokio::net::TcpStream;
use tower::Service;

use super::{lookup::Lookups, pool::BoxError};
use crate::secret::KeyHash;

/// A proxy through which providers are reached.
#[derive(Clone, Debug)]
pub struct Proxy {
    scheme: Scheme,
    /// Scheme, host and port.
    address: Uri,
    user: Option<(String, SecretString)>,
    hash: KeyHash,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Scheme {
    /// A tunnel by `CONNECT`; with `https` the way to the proxy is encrypted as well.
    Http,
    /// The name is looked up here.
    Socks,
    /// The name is looked up by the proxy.
    SocksWithNames,
}

/// User and password together; the handshake's buffer has no room for more beside a long host name.
const LONGEST_CREDENTIALS: usize = 128;
/// A host name, for the same reason.
const LONGEST_HOST: usize = 110;

impl Proxy {
    /// Reads `http://`, `https://`, `socks5://` or `socks5h://`, perhaps with `user:password@`, a host and perhaps a port.
    /// The error says what is wrong, and is to follow the field's name.
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text.contains('…') {
            return Err("has a mask in place of the password: leave it out to keep the stored one");
        }
        let (scheme, rest) =
            text.split_once("://").ok_or("must begin with http://, https://, socks5:// or socks5h://")?;
        let (scheme, tls, port) = match scheme.to_ascii_lowercase().as_str() {
            "http" => (Scheme::Http, false, 80),
            "https" => (Scheme::Http, true, 443),
            "socks5" => (Scheme::Socks, false, 1080),
            "socks5h" => (Scheme::SocksWithNames, false, 1080),
            _ => return Err("must begin with http://, https://, socks5:// or socks5h://"),
        };
        let rest = rest.trim_end_matches('/');
        let (user, host) = match rest.rsplit_once('@') {
            Some((user, host)) => (Some(credentials(user)?), host),
            None => (None, rest),
        };
        let scheme_of_uri = if tls { "https" } else { "http" };
        let uri: Uri = format!("{scheme_of_uri}://{host}").parse().map_err(|_| "is no address of a proxy")?;
        let behind_brackets = host.rsplit_once(']').map_or(host, |(_, rest)| rest);
        let has_port = behind_brackets.contains(':');
        let named = uri.port_u16().filter(|port| *port > 0);
        if has_port && named.is_none() {
            return Err("must have a port from 1 to 65535, or none");
        }
        if uri.host().is_none_or(str::is_empty) || uri.path() != "/" || uri.query().is_some() || host.contains('#') {
            return Err("must be a scheme, a host and perhaps a port, and nothing behind them");
        }
        let address = if has_port { uri } else { with_port(&uri, port).map_err(|_| "is no address of a proxy")? };
        Ok(Self { scheme, address, user, hash: KeyHash::of(text) })
    }

    /// Tells this proxy apart from others, its credentials included.
    pub(super) fn hash(&self) -> KeyHash {
        self.hash
    }
}

/// What may be shown of a proxy: everything but the password.
pub fn mask_proxy(text: &str) -> String {
    let Some((scheme, rest)) = text.split_once("://") else { return "…".to_owned() };
    match rest.rsplit_once('@') {
        None => text.to_owned(),
        Some((user, host)) => {
            let user = user.split_once(':').map_or(user, |(user, _)| user);
            format!("{scheme}://{user}:…@{host}")
        }
    }
}

fn credentials(text: &str) -> Result<(String, SecretString), &'static str> {
    if text.len() > LONGEST_CREDENTIALS {
        return Err("must not have a user and a password of more than 128 characters together");
    }
    let (user, password) = text.split_once(':').unwrap_or((text, ""));
    let plain = |text: &str| -> Result<String, &'static str> {
        // A form's decoding would take `+` for a space.
        let pairs = text.replace('+', "%2B");
        let decoded = form_urlencoded::parse(pairs.as_bytes()).next().map(|(name, _)| name.into_owned());
        let decoded = decoded.unwrap_or_default();
        if decoded.chars().any(char::is_control) || text.contains(['&', '=']) {
            return Err("must have a user and a password without control characters; write `&` and `=` as %26 and %3D");
        }
        Ok(decoded)
    };
    Ok((plain(user)?, SecretString::from(plain(password)?)))
}

/// The address with a port that is told, since what stands below takes 443 where none is.
fn with_port(uri: &Uri, port: u16) -> Result<Uri, hyper::http::Error> {
    let host = uri.host().unwrap_or_default();
    let scheme = uri.scheme_str().unwrap_or("http");
    Uri::builder().scheme(scheme).authority(format!("{host}:{port}")).path_and_query("/").build()
}

/// A proxy that could not be reached, refused, or did not understand.
#[derive(Debug, thiserror::Error)]
#[error("the proxy made no connection: {0}")]
pub(super) struct ByProxy(BoxError);

type Connecting<T, E> = Pin<Box<dyn Future<Output = Result<T, E>> + Send>>;

/// The way to an address: straight, or through a proxy.
#[derive(Clone, Debug)]
pub(super) enum Route {
    Direct(HttpConnector<Lookups>),
    Tunnel(Tunnel<HttpsConnector<HttpConnector<Lookups>>>),
    /// Names are looked up here if there is something to look with.
    Socks {
        by: SocksV5<HttpConnector<Lookups>>,
        lookups: Option<Lookups>,
    },
}

/// A connection on any route; encrypted here means encrypted on the way to the proxy.
pub(super) type Leg = MaybeHttpsStream<TokioIo<TcpStream>>;

impl Route {
    /// The way through `proxy`. `plain` connects, `tls` connects to proxies that want encryption, `lookups` find the
    /// addresses of names that the proxy is not to look up.
    pub(super) fn through(
        proxy: &Proxy,
        plain: HttpConnector<Lookups>,
        tls: HttpsConnector<HttpConnector<Lookups>>,
        lookups: &Lookups,
    ) -> Self {
        let address = proxy.address.clone();
        if proxy.scheme != Scheme::Http {
            let mut by = SocksV5::new(address, plain);
            if let Some((user, password)) = &proxy.user {
                by = by.with_auth(user.clone(), password.expose_secret().to_owned());
            }
            let lookups = (proxy.scheme == Scheme::Socks).then(|| lookups.clone());
            return Self::Socks { by, lookups };
        }
        let tunnel = Tunnel::new(address, tls);
        let Some((user, password)) = &proxy.user else { return Self::Tunnel(tunnel) };
        let proof = STANDARD.encode(format!("{user}:{}", password.expose_secret()));
        match HeaderValue::try_from(format!("Basic {proof}")) {
            Ok(proof) => Self::Tunnel(tunnel.with_auth(proof)),
            // Base64 is always visible ASCII.
            Err(_) => Self::Tunnel(tunnel),
        }
    }
}

impl Service<Uri> for Route {
    type Response = Leg;
    type Error = BoxError;
    type Future = Connecting<Leg, BoxError>;

    fn poll_ready(&mut self, cx: &mut Context<'_>) -> Poll<Result<(), BoxError>> {
        match self {
            Self::Direct(connector) => connector.poll_ready(cx).map_err(Into::into),
            Self::Tunnel(tunnel) => tunnel.poll_ready(cx).map_err(Into::into),
            Self::Socks { by, .. } => by.poll_ready(cx).map_err(Into::into),
        }
    }

    fn call(&mut self, target: Uri) -> Self::Future {
        match self {
            Self::Direct(connector) => {
                let connecting = connector.call(target);
                Box::pin(async move { Ok(MaybeHttpsStream::Http(connecting.await?)) })
            }
            Self::Tunnel(tunnel) => {
                let mut tunnel = tunnel.clone();
                Box::pin(async move { tunnel.call(told(&target)?).await.map_err(|error| ByProxy(error.into()).into()) })
            }
            Self::Socks { by, lookups } => {
                let (mut by, lookups) = (by.clone(), lookups.clone());
                Box::pin(async move {
                    let target = told(&target)?;
                    let target = match lookups {
                        Some(lookups) => looked_up(&target, &lookups).await?,
                        None => target,
                    };
                    if target.host().is_some_and(|host| host.len() > LONGEST_HOST) {
                        return Err("the host's name is too long for a SOCKS proxy".into());
                    }
                    let connected = by.call(target).await.map_err(|error| ByProxy(error.into()))?;
                    Ok(MaybeHttpsStream::Http(connected))
                })
            }
        }
    }
}

/// The target with its port told.
fn told(target: &Uri) -> Result<Uri, BoxError> {
    let usual = if target.scheme_str() == Some("https") { 443 } else { 80 };
    Ok(with_port(target, target.port_u16().unwrap_or(usual))?)
}

async fn looked_up(target: &Uri, lookups: &Lookups) -> Result<Uri, BoxError> {
    let host = target.host().unwrap_or_default().trim_start_matches('[').trim_end_matches(']');
    let found = lookups.look_up(host).await?.into_iter().next();
    let mut found = found.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the name has no address"))?;
    found.set_port(target.port_u16().unwrap_or(443));
    Ok(Uri::builder().scheme("http").authority(found.to_string()).path_and_query("/").build()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn proxies_are_read_with_their_usual_ports() {
        for (text, address) in [
            ("http://proxy", "http://proxy:80/"),
            ("HTTPS://proxy.example/", "https://proxy.example:443/"),
            ("socks5://10.0.0.1:9050", "http://10.0.0.1:9050/"),
            ("socks5h://[::1]", "http://[::1]:1080/"),
        ] {
            assert_eq!(Proxy::parse(text).unwrap().address, address.parse::<Uri>().unwrap(), "{text}");
        }
        let proxy = Proxy::parse("http://bob%40corp:p%3Aw+d@proxy:3128").unwrap();
        let (user, password) = proxy.user.as_ref().unwrap();
        assert_eq!((user.as_str(), password.expose_secret()), ("bob@corp", "p:w+d"));
        assert!(!format!("{proxy:?}").contains("p:w+d"));
    }

    #[test]
    fn what_is_no_proxy_is_refused_with_what_would_be_one() {
        for (text, problem) in [
            ("proxy:3128", "must begin with"),
            ("http://bob:…@proxy", "has a mask"),
            ("ftp://proxy", "must begin with"),
            ("http://", "is no address"),
            ("http://proxy:0", "must have a port"),
            ("http://proxy:99999", "must have a port"),
            ("http://proxy/path", "nothing behind"),
            ("socks5://a b", "is no address"),
        ] {
            let message = Proxy::parse(text).unwrap_err();
            assert!(message.contains(problem), "{text}: {message}");
        }
        let long = format!("socks5://{}:x@proxy", "u".repeat(200));
        assert!(Proxy::parse(&long).unwrap_err().contains("128"));
    }

    #[test]
    fn a_mask_shows_where_and_who_but_no_password() {
        assert_eq!(mask_proxy("socks5h://bob:pw@proxy:1080"), "socks5h://bob:…@proxy:1080");
        assert_eq!(mask_proxy("http://proxy:3128"), "http://proxy:3128");
    }
}
