//! The Redis server: how it is reached, and what is asked of it. Each question is one script, and so one round trip that nothing
//! comes between.

use std::{sync::LazyLock, time::Duration};

use percent_encoding::percent_decode_str;
use redis::{
    AsyncConnectionConfig, Client, ConnectionAddr, RedisError, Script,
    aio::MultiplexedConnection,
    sentinel::{SentinelClient, SentinelClientBuilder, SentinelServerType},
};
use secrecy::{ExposeSecret, SecretString};

use super::{Absence, Bill, Reason};
use crate::limits::{Allowance, Left, Limit, Spent};

/// Why the server could not be asked.
#[derive(Debug, thiserror::Error)]
#[error("{0}")]
pub struct Trouble(String);

impl From<RedisError> for Trouble {
    fn from(error: RedisError) -> Self {
        Self(error.to_string())
    }
}

impl Trouble {
    /// It did not answer in so long.
    pub fn late(waited: Duration) -> Self {
        Self(format!("no answer within {} ms", waited.as_millis()))
    }
}

/// Where the server is.
pub enum Server {
    One(Box<Client>),
    /// Sentinels say which server is the one that is written to. They are asked anew for every connection.
    Watched(Box<SentinelClient>),
}

/// Begin addresses of Sentinels; the second kind asks for TLS to the server.
pub const WATCHED: [&str; 2] = ["redis+sentinel://", "rediss+sentinel://"];

/// Where Sentinels listen.
const SENTINEL_PORT: u16 = 26_379;

impl Server {
    /// Reads `redis://`, `rediss://`, `unix://`, or `redis+sentinel://USER:PASSWORD@HOST:PORT,HOST:PORT/SERVICE/DATABASE`.
    pub fn parse(url: &SecretString) -> Result<Self, Trouble> {
        let url = url.expose_secret();
        match WATCHED.iter().position(|scheme| url.starts_with(scheme)) {
            None => Ok(Self::One(Box::new(Client::open(url)?))),
            Some(at) => Ok(Self::Watched(Box::new(watched(&url[WATCHED[at].len()..], at == 1)?))),
        }
    }

    /// A new connection to who has this key, which waits so long for the server and for each of its answers.
    pub async fn connect(&mut self, key: &str, patience: Duration) -> Result<Connection, Trouble> {
        let config =
            AsyncConnectionConfig::new().set_connection_timeout(Some(patience)).set_response_timeout(Some(patience));
        let client = match self {
            Self::One(client) => Client::clone(client),
            Self::Watched(sentinels) => sentinels.async_get_client().await?,
        };
        let mut connection = client.get_multiplexed_async_connection_with_config(&config).await?;
        // Other errors are those of whatever is asked next.
        let asked: Result<bool, RedisError> = redis::cmd("EXISTS").arg(key).query_async(&mut connection).await;
        let Some(elsewhere) = asked.err().and_then(|error| elsewhere(&client, &error)) else {
            return Ok(Connection(connection));
        };
        Ok(Connection(elsewhere?.get_multiplexed_async_connection_with_config(&config).await?))
    }
}

/// Where a server of a cluster sends those who ask for a key of another one; `None` where the error is not about that.
///
/// All keys are in one place of a cluster, and so one connection is enough. After they have moved it fails, and the next one finds
/// them.
fn elsewhere(client: &Client, error: &RedisError) -> Option<Result<Client, RedisError>> {
    let (address, _) = error.redirect_node()?;
    let (host, port) = address.rsplit_once(':')?;
    let (host, port) = (host.to_owned(), port.parse().ok()?);
    let known = client.get_connection_info();
    let address = match known.addr().clone() {
        // A server that does not know its name stands for the one that was asked.
        ConnectionAddr::Tcp(same, _) => ConnectionAddr::Tcp(if host.is_empty() { same } else { host }, port),
        ConnectionAddr::TcpTls { host: same, insecure, tls_params, .. } => {
            ConnectionAddr::TcpTls { host: if host.is_empty() { same } else { host }, port, insecure, tls_params }
        }
        _ => return None,
    };
    Some(Client::open(known.clone().set_addr(address)))
}

fn watched(address: &str, tls: bool) -> Result<SentinelClient, Trouble> {
    let (user, rest) = address.rsplit_once('@').map_or((None, address), |(user, rest)| (Some(user), rest));
    let mut path = rest.split('/');
    let hosts = path.next().unwrap_or_default().split(',').map(|host| {
        let (name, port) = host.rsplit_once(':').unwrap_or((host, ""));
        let port = if port.is_empty() { Some(SENTINEL_PORT) } else { port.parse().ok() };
        Some(ConnectionAddr::Tcp(name.to_owned(), port.filter(|_| !name.is_empty())?))
    });
    let hosts: Option<Vec<_>> = hosts.collect();
    let (Some(hosts), Some(service)) = (hosts, path.next().filter(|service| !service.is_empty())) else {
        return Err(Trouble("it must be redis+sentinel://HOST:PORT,HOST:PORT/SERVICE".to_owned()));
    };
    let mut builder = SentinelClientBuilder::new(hosts, service, SentinelServerType::Master)?;
    if tls {
        builder = builder.set_client_to_redis_tls_mode(redis::TlsMode::Secure);
    }
    if let Some(database) = path.next().filter(|database| !database.is_empty()) {
        let database = database.parse().map_err(|_| Trouble("its database is not a number".to_owned()))?;
        builder = builder.set_client_to_redis_db(database);
    }
    let (name, password) = user.map_or(("", ""), |user| user.split_once(':').unwrap_or(("", user)));
    if !name.is_empty() {
        builder = builder.set_client_to_redis_username(percent_decode_str(name).decode_utf8_lossy());
    }
    if !password.is_empty() {
        builder = builder.set_client_to_redis_password(percent_decode_str(password).decode_utf8_lossy());
    }
    Ok(builder.build()?)
}

static ADMIT: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("window.lua"), include_str!("admit.lua"))));
static SETTLE: LazyLock<Script> =
    LazyLock::new(|| Script::new(concat!(include_str!("window.lua"), include_str!("settle.lua"))));
static RENEW: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("renew.lua")));
static ABSENCES: LazyLock<Script> = LazyLock::new(|| Script::new(include_str!("absences.lua")));

/// What the server says of a request.
pub enum Said {
    Admitted {
        left: Vec<(Option<Left>, Option<Left>)>,
        /// In which it is noted, by the server's clock.
        second: i64,
    },
    Refused {
        /// Which claim refuses.
        at: usize,
        limit: Limit,
        wait: Duration,
        left: Vec<(Option<Left>, Option<Left>)>,
    },
}

/// Keys that are looked at in one go.
const SCANNED: usize = 1000;

/// A connection, on which many may ask at once.
pub struct Connection(MultiplexedConnection);

impl Connection {
    /// Makes the scripts known to the server, so that no request has to.
    pub async fn prepare(&self) -> Result<(), Trouble> {
        for script in [&ADMIT, &SETTLE, &RENEW, &ABSENCES] {
            script.load_async(&mut self.0.clone()).await?;
        }
        Ok(())
    }

    /// Asks whether a request is admitted. `keys` holds two for each bill, and a lease holds for `hold`.
    pub async fn admit(&self, keys: &[String], bills: &[Bill], lease: &str, hold: Duration) -> Result<Said, Trouble> {
        let mut call = ADMIT.prepare_invoke();
        call.key(keys).arg(lease).arg(millis(hold));
        for Bill { claim, tokens } in bills {
            let Allowance { requests_per_minute, tokens_per_minute, concurrent_requests } = claim.allowance;
            call.arg(whole(*tokens));
            call.arg(requests_per_minute.map_or(-1, i64::from)).arg(tokens_per_minute.map_or(-1, whole));
            call.arg(concurrent_requests.map_or(-1, i64::from));
        }
        let told: Vec<i64> = call.invoke_async(&mut self.0.clone()).await?;
        said(&told, bills).ok_or_else(|| Trouble("its answer cannot be read".to_owned()))
    }

    /// Says how a request ended for which `reserved` tokens were noted in `second`, by bill.
    pub async fn settle(
        &self,
        keys: &[String],
        lease: &str,
        second: i64,
        reserved: &[u64],
        spent: Spent,
    ) -> Result<(), Trouble> {
        let mut call = SETTLE.prepare_invoke();
        call.key(keys).arg(lease).arg(second).arg(match spent {
            Spent::Unknown => -1,
            Spent::Nothing => -2,
            Spent::Tokens(tokens) => whole(tokens),
        });
        for tokens in reserved {
            call.arg(whole(*tokens));
        }
        Ok(call.invoke_async(&mut self.0.clone()).await?)
    }

    /// Prolongs leases by `hold`: each by the key of what its subject has running.
    pub async fn renew(&self, leases: &[(String, String)], hold: Duration) -> Result<(), Trouble> {
        let mut call = RENEW.arg(millis(hold));
        for (key, lease) in leases {
            call.key(key).arg(lease);
        }
        Ok(call.invoke_async(&mut self.0.clone()).await?)
    }

    /// Tells which providers are left alone here, and returns which are elsewhere.
    pub async fn absences(&self, key: &str, node: &str, here: &[Absence]) -> Result<Vec<Absence>, Trouble> {
        let mut call = ABSENCES.key(key);
        call.arg(node);
        for Absence { provider, reason, left } in here {
            call.arg(format!("{provider}:{}", reason.name())).arg(millis(*left));
        }
        let told: Vec<(String, u64)> = call.invoke_async(&mut self.0.clone()).await?;
        // What a newer gateway tells may mean nothing to this one.
        Ok(told.iter().filter_map(|(what, millis)| absence(what, *millis)).collect())
    }

    pub async fn get(&self, key: &str) -> Result<Option<Vec<u8>>, Trouble> {
        Ok(redis::cmd("GET").arg(key).query_async(&mut self.0.clone()).await?)
    }

    /// Sets a value that goes after `ttl`.
    pub async fn set(&self, key: &str, value: &[u8], ttl: Duration) -> Result<(), Trouble> {
        let lasting = millis(ttl).max(1);
        Ok(redis::cmd("SET").arg(key).arg(value).arg("PX").arg(lasting).query_async(&mut self.0.clone()).await?)
    }

    /// Some of the keys that fit `pattern`, and where to go on; 0 is the end.
    pub async fn scan(&self, cursor: u64, pattern: &str) -> Result<(u64, Vec<String>), Trouble> {
        let mut call = redis::cmd("SCAN");
        call.arg(cursor).arg("MATCH").arg(pattern).arg("COUNT").arg(SCANNED);
        Ok(call.query_async(&mut self.0.clone()).await?)
    }

    /// Removes keys; how many there were.
    pub async fn unlink(&self, keys: &[String]) -> Result<u64, Trouble> {
        Ok(redis::cmd("UNLINK").arg(keys).query_async(&mut self.0.clone()).await?)
    }
}

fn absence(what: &str, millis: u64) -> Option<Absence> {
    let (provider, reason) = what.split_once(':')?;
    let reason = [Reason::Rest, Reason::Ejection].into_iter().find(|known| known.name() == reason)?;
    Some(Absence { provider: provider.parse().ok()?, reason, left: Duration::from_millis(millis) })
}

fn said(told: &[i64], bills: &[Bill]) -> Option<Said> {
    let ([refused, kind, wait, second], used) = told.split_first_chunk()?;
    let left = bills.iter().zip(used.chunks_exact(4)).map(|(bill, used)| {
        let left = |limit: u64, used: i64, reset: i64| Left {
            limit,
            remaining: limit.saturating_sub(used.unsigned_abs()),
            reset: Duration::from_millis(reset.unsigned_abs()),
        };
        let Allowance { requests_per_minute, tokens_per_minute, .. } = bill.claim.allowance;
        let requests = requests_per_minute.map(|limit| left(limit.into(), used[0], used[1]));
        (requests, tokens_per_minute.map(|limit| left(limit, used[2], used[3])))
    });
    let left = left.collect();
    let Some(at) = usize::try_from(*refused).ok()?.checked_sub(1) else {
        return Some(Said::Admitted { left, second: *second });
    };
    let Bill { claim, tokens } = bills.get(at)?;
    let limit = match kind {
        1 => Limit::Requests(claim.allowance.requests_per_minute?),
        2 => Limit::Tokens { limit: claim.allowance.tokens_per_minute?, needed: *tokens },
        _ => Limit::Concurrent(claim.allowance.concurrent_requests?),
    };
    Some(Said::Refused { at, limit, wait: Duration::from_millis(wait.unsigned_abs()), left })
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

/// As a script can count it: exactly up to 2^53.
fn whole(count: u64) -> i64 {
    count.min(1 << 53).cast_signed()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_of_sentinels_is_read_or_refused() {
        let parse = |url: &str| Server::parse(&SecretString::from(url));
        for url in ["redis+sentinel://a:1,b:2/main", "rediss+sentinel://user:p%40ss@a/main/3", "redis://h:1/0"] {
            assert!(parse(url).is_ok(), "{url}");
        }
        for url in
            ["redis+sentinel://a:1", "redis+sentinel://a:x/main", "redis+sentinel:///main", "redis+sentinel://a/m/x"]
        {
            assert!(parse(url).is_err(), "{url}");
        }
    }
}
