//! Where and how the gateway listens.

use std::{net::IpAddr, time::Duration};

use super::section::section;
use crate::network::Network;

section! {
    /// Where and how the gateway listens.
    pub struct ServerConfig in "server" {
        /// Address or host name to listen on; "0.0.0.0" means every IPv4 address of the machine.
        pub host: String = "127.0.0.1".to_owned(), env "APP_HOST";
        /// Port to listen on; 0 lets the system choose one.
        pub port: u16 = 8000, env "APP_PORT";
        /// Seconds a client has to send the whole head of a request.
        pub header_timeout: Duration = Duration::from_secs(10), range 0.1..=600.0;
        /// Seconds a client has to send the whole body of a request.
        pub body_timeout: Duration = Duration::from_secs(30), range 0.1..=3600.0;
        /// Seconds after which a client that takes no byte of its answer is dropped.
        pub write_stall_timeout: Duration = Duration::from_secs(60), range 0.1..=3600.0;
        /// Seconds a connection may stay open between two requests.
        pub keep_alive_timeout: Duration = Duration::from_secs(75), range 0.1..=3600.0;
        /// Largest request body in bytes.
        pub max_body_bytes: usize = 32 * 1024 * 1024, range 1024.0..=1_073_741_824.0;
        /// Most bytes of request bodies over 64 KiB that are in memory at a time; what does not fit is refused with 503. What is
        /// sent to a provider takes as much again.
        pub max_buffered_bytes: usize = 1024 * 1024 * 1024, range 1024.0..=1_099_511_627_776.0;
        /// Largest head of a request (request line and headers) in bytes.
        pub max_header_bytes: usize = 64 * 1024, range 8192.0..=1_048_576.0;
        /// Most client connections at a time; further ones wait to be accepted.
        pub max_connections: usize = 10_000, range 1.0..=1_000_000.0;
        /// Seconds that running requests have to finish after a request to stop.
        pub shutdown_grace: Duration = Duration::from_secs(30), range 0.0..=3600.0;
        /// Origins whose pages may call the API from a browser, such as "https://app.example.com"; "*" allows any.
        pub cors_origins: Vec<String> = Vec::new(), env "CORS_ORIGINS";
        /// Addresses or ranges, such as "10.0.0.0/8", of the proxies whose X-Forwarded-For is believed.
        pub trusted_proxies: Vec<Network> = Vec::new();
    }
}

impl ServerConfig {
    /// Whether only programs on this machine can reach the address.
    pub fn is_loopback(&self) -> bool {
        match self.host.trim_matches(['[', ']']).parse::<IpAddr>() {
            Ok(address) => address.is_loopback(),
            Err(_) => self.host.eq_ignore_ascii_case("localhost"),
        }
    }

    pub(super) fn check(&self) -> Result<(), String> {
        if self.max_buffered_bytes < self.max_body_bytes {
            return Err(
                "server.max_buffered_bytes is less than server.max_body_bytes: the largest bodies never fit".to_owned()
            );
        }
        match self.cors_origins.iter().find(|origin| !is_origin(origin)) {
            None => Ok(()),
            Some(origin) => Err(format!(
                "server.cors_origins (CORS_ORIGINS) has {origin:?}, which is not an origin: write \"*\" or a scheme and \
                 a host without a path, such as \"https://app.example.com\""
            )),
        }
    }
}

fn is_origin(text: &str) -> bool {
    let Some((scheme, host)) = text.split_once("://") else {
        return text == "*";
    };
    !scheme.is_empty()
        && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
        && !host.is_empty()
        && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-.:[]_".contains(&byte))
}
