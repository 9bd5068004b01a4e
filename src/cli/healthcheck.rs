//! `healthcheck`: for supervisors that run a command, in containers without a tool for HTTP.

use std::{path::Path, time::Duration};

use super::{
    Exit,
    api_test::client::{Client, Reply},
    complain, say, wait_for,
};
use crate::config::{Config, ServerConfig};

/// A process that needs longer to say that it lives might as well not.
const PATIENCE: Duration = Duration::from_secs(5);

#[derive(clap::Args)]
pub struct Args {
    /// Address of the gateway, such as http://127.0.0.1:8000 [default: the configured one]
    url: Option<String>,
}

impl Args {
    pub fn run(&self, file: Option<&Path>) -> anyhow::Result<Exit> {
        let url = match &self.url {
            Some(url) => url.clone(),
            None => address(&Config::load(file)?.server),
        };
        let client = Client::new(&url, PATIENCE)?;
        wait_for(async {
            match client.get("/healthz", None).await {
                Ok(Reply { status: 200, .. }) => {
                    say("healthy")?;
                    Ok(Exit::Ok)
                }
                Ok(reply) => {
                    complain(&format!("{url} answered with status {}", reply.status));
                    Ok(Exit::Failure)
                }
                Err(why) => {
                    complain(&format!("{url}: {why}"));
                    Ok(Exit::Failure)
                }
            }
        })
    }
}

/// Where to find a gateway on this machine that listens as configured.
fn address(server: &ServerConfig) -> String {
    let host = match server.host.trim_matches(['[', ']']) {
        "0.0.0.0" => "127.0.0.1".to_owned(),
        "::" => "[::1]".to_owned(),
        host if host.contains(':') => format!("[{host}]"),
        host => host.to_owned(),
    };
    format!("http://{host}:{}", server.port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_for_everybody_is_asked_on_this_machine() {
        let at = |host: &str| address(&ServerConfig { host: host.to_owned(), ..ServerConfig::default() });
        assert_eq!(at("0.0.0.0"), "http://127.0.0.1:8000");
        assert_eq!(at("::"), "http://[::1]:8000");
        assert_eq!(at("::1"), "http://[::1]:8000");
        assert_eq!(at("gateway"), "http://gateway:8000");
    }
}
