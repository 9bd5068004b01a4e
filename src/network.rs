//! Where clients are: ranges of addresses, and whom to believe about an address.

use std::{fmt, net::IpAddr, str::FromStr};

use hyper::http::HeaderMap;
use ipnet::{IpNet, Ipv4Net};

use crate::config::setting::{Given, Setting};

/// A range of addresses such as `10.0.0.0/8` or `2001:db8::/32`, or a single one.
///
/// IPv4 addresses that are written as IPv6 ones (`::ffff:10.0.0.1`) count as what they are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network(IpNet);

impl Network {
    pub fn contains(&self, address: IpAddr) -> bool {
        self.0.contains(&address.to_canonical())
    }
}

/// A text that is neither an address nor a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("neither an address nor a range such as 10.0.0.0/8")]
pub struct NoNetwork;

impl FromStr for Network {
    type Err = NoNetwork;

    fn from_str(text: &str) -> Result<Self, NoNetwork> {
        let range = match text.parse::<IpAddr>() {
            Ok(address) => IpNet::from(address),
            Err(_) => text.parse().map_err(|_| NoNetwork)?,
        };
        Ok(Self(canonical(range).trunc()))
    }
}

/// Bits of an IPv6 address that say that the rest is an IPv4 one.
const MAPPED: u8 = 96;

fn canonical(range: IpNet) -> IpNet {
    let IpNet::V6(v6) = range else { return range };
    let mapped = v6.addr().to_ipv4_mapped().zip(v6.prefix_len().checked_sub(MAPPED));
    mapped.and_then(|(address, length)| Ipv4Net::new(address, length).ok()).map_or(range, IpNet::V4)
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Setting for Vec<Network> {
    fn read(given: &Given<'_>) -> Result<Self, String> {
        let parse = |text: &String| text.parse().map_err(|error| format!("has {text:?}, which is {error}"));
        Vec::<String>::read(given)?.iter().map(parse).collect()
    }

    fn show(&self) -> Option<String> {
        self.iter().map(Network::to_string).collect::<Vec<_>>().show()
    }
}

/// What proxies say about whom they speak for.
const FORWARDED_FOR: &str = "x-forwarded-for";

/// The address that a request comes from: the peer's, or, where that is a `trusted` proxy, what it says. Each proxy adds
/// whom it heard from, so the list is read from its end for as long as whoever wrote the entry is trusted.
pub fn client(peer: IpAddr, headers: &HeaderMap, trusted: &[Network]) -> IpAddr {
    let is_trusted = |address: IpAddr| trusted.iter().any(|range| range.contains(address));
    let lines = headers.get_all(FORWARDED_FOR).iter().rev();
    let mut entries = lines.flat_map(|line| line.to_str().unwrap_or_default().rsplit(','));
    let mut client = peer.to_canonical();
    while is_trusted(client)
        && let Some(before) = entries.next().and_then(entry)
    {
        client = before;
    }
    client
}

/// An address as proxies write it: bare, in brackets, with a port.
fn entry(text: &str) -> Option<IpAddr> {
    let text = text.trim();
    let bare = || text.strip_prefix('[')?.strip_suffix(']')?.parse().ok();
    let with_port = || text.parse().ok().map(|address: std::net::SocketAddr| address.ip());
    text.parse().ok().or_else(bare).or_else(with_port).map(|address: IpAddr| address.to_canonical())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn networks(texts: &[&str]) -> Vec<Network> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn a_range_holds_its_addresses_in_either_spelling() {
        for (range, inside, outside) in [
            ("10.0.0.0/8", "10.255.0.1", "11.0.0.1"),
            ("10.1.2.3/8", "::ffff:10.9.9.9", "::ffff:11.0.0.1"),
            ("::ffff:10.0.0.0/104", "10.4.5.6", "11.0.0.1"),
            ("::ffff:192.0.2.1", "192.0.2.1", "192.0.2.2"),
            ("192.0.2.1", "192.0.2.1", "192.0.2.0"),
            ("2001:db8::/32", "2001:db8:1::1", "2001:db9::1"),
            ("::1", "::1", "127.0.0.1"),
            ("0.0.0.0/0", "203.0.113.9", "2001:db8::1"),
        ] {
            let range: Network = range.parse().unwrap();
            assert!(range.contains(address(inside)), "{inside} in {range}");
            assert!(!range.contains(address(outside)), "{outside} in {range}");
        }
    }

    #[test]
    fn what_is_no_range_is_refused() {
        for text in ["", "10.0.0.0/33", "10.0.0", "example.com", "10.0.0.0/-1", "::/129", "10.0.0.1:80"] {
            assert_eq!(text.parse::<Network>(), Err(NoNetwork), "{text}");
        }
        assert_eq!("10.1.2.3/8".parse::<Network>().unwrap().to_string(), "10.0.0.0/8");
    }

    #[test]
    fn only_a_trusted_proxy_is_believed_and_only_as_far_as_the_chain_is_trusted() {
        let trusted = networks(&["10.0.0.0/8", "::1"]);
        for (peer, lines, expected) in [
            ("203.0.113.9", &["198.51.100.1"][..], "203.0.113.9"),
            ("10.0.0.1", &[], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::ffff:10.0.0.1", &["198.51.100.1"], "198.51.100.1"),
            ("::1", &["[2001:db8::7]:4711"], "2001:db8::7"),
            ("::1", &["[2001:db8::7]"], "2001:db8::7"),
            ("10.0.0.1", &["198.51.100.1:443"], "198.51.100.1"),
            ("10.0.0.1", &["1.2.3.4, 198.51.100.1"], "198.51.100.1"),
            ("10.0.0.1", &["1.2.3.4, 198.51.100.1, 10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["1.2.3.4", "198.51.100.1", "10.0.0.2"], "198.51.100.1"),
            ("10.0.0.1", &["10.0.0.3, 10.0.0.2"], "10.0.0.3"),
            ("10.0.0.1", &["198.51.100.1, unknown"], "10.0.0.1"),
            ("10.0.0.1", &["198.51.100.1, unknown, 10.0.0.2"], "10.0.0.2"),
        ] {
            let headers: HeaderMap =
                lines.iter().map(|line| (FORWARDED_FOR.parse().unwrap(), line.parse().unwrap())).collect();
            assert_eq!(client(address(peer), &headers, &trusted), address(expected), "{peer} {lines:?}");
            assert_eq!(client(address(peer), &headers, &[]), address(peer).to_canonical(), "nobody is trusted");
        }
    }
}
