//! The ways to Redis beside a bare server: TLS, Sentinels, and a cluster.

use std::fs;

use super::{PATIENT, cache_status, gateway};
use crate::support::{Gateway, Redis, Tls, Upstream, eventually};

/// One request a minute, so that the second gateway refuses what the first has admitted.
const ONE: [(&str, &str); 2] = [("ENABLE_RATE_LIMITING", "true"), ("RATE_LIMIT_PER_MINUTE", "1")];

/// Where a server may listen beside its first port.
async fn free_port() -> String {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    listener.local_addr().unwrap().port().to_string()
}

/// Two gateways that reach Redis so share a limit.
async fn share_a_limit(url: &str, more: &[(&str, &str)]) -> [Gateway; 2] {
    let upstream = Upstream::start("a").await;
    let settings = [&[ONE[0], ONE[1], PATIENT], more].concat();
    let (one, other) = (gateway(url, &upstream, &settings).await, gateway(url, &upstream, &settings).await);
    cache_status(&one, "healthy").await;
    cache_status(&other, "healthy").await;
    one.ask("gpt-4o").await.assert_ok();
    other.ask("gpt-4o").await.assert_error(429, "rate_limit_exceeded");
    [one, other]
}

#[tokio::test]
async fn over_tls_a_server_is_trusted_by_its_certificate_and_not_without() {
    let Some(redis) = Redis::start().await else { return };
    let tls = Tls::before(redis.address().to_string()).await;
    let folder = tempfile::tempdir().unwrap();
    let trusted = Tls::trust(&[&tls], folder.path());
    let url = format!("rediss://{}/0", tls.authority());
    share_a_limit(&url, &[("SSL_CERT_FILE", trusted.to_str().unwrap())]).await;
    let upstream = Upstream::start("a").await;
    let stranger = gateway(&url, &upstream, &[PATIENT]).await;
    cache_status(&stranger, "unhealthy").await;
    stranger.ask("gpt-4o").await.assert_ok();
}

#[tokio::test]
async fn a_server_that_speaks_tls_itself_and_wants_a_password_is_reached() {
    let folder = tempfile::tempdir().unwrap();
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let (certificate, key) = (folder.path().join("certificate.pem"), folder.path().join("key.pem"));
    fs::write(&certificate, made.cert.pem()).unwrap();
    fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    let port = free_port().await;
    let (certificate, key) = (certificate.to_str().unwrap(), key.to_str().unwrap());
    let own = ["--tls-port", &port, "--tls-cert-file", certificate, "--tls-key-file", key, "--tls-auth-clients", "no"];
    let Some(_redis) = Redis::with(&[&own[..], &["--requirepass", "of the tests"]].concat()).await else { return };
    let url = format!("rediss://:of%20the%20tests@localhost:{port}/0");
    share_a_limit(&url, &[("SSL_CERT_FILE", certificate)]).await;
}

#[tokio::test]
async fn sentinels_say_which_server_it_is_and_which_one_it_is_after_that_has_died() {
    let Some(mut master) = Redis::with(&["--repl-diskless-sync-delay", "0"]).await else { return };
    master.answers().await;
    let followed = master.address().port().to_string();
    let Some(replica) = Redis::with(&["--replicaof", "127.0.0.1", &followed]).await else { return };
    eventually("the replica to be a copy", async || {
        replica.info("replication").await.contains("master_link_status:up").then_some(())
    })
    .await;
    let folder = tempfile::tempdir().unwrap();
    let file = folder.path().join("sentinel.conf");
    let watch = format!(
        "sentinel monitor main 127.0.0.1 {followed} 1\nsentinel down-after-milliseconds main 500\nsentinel failover-timeout main 2000\n"
    );
    fs::write(&file, watch).unwrap();
    let Some(sentinel) = Redis::sentinel(&file).await else { return };
    let [one, other] = share_a_limit(&format!("redis+sentinel://{}/main/0", sentinel.address()), &[]).await;
    master.kill();
    for gateway in [&one, &other] {
        gateway.tells("Redis can be used again").await;
        cache_status(gateway, "healthy").await;
        // Until it is known that the server has died the gateway may have gone by its own count.
        eventually("the limit to be the one that both share", async || {
            (gateway.ask("gpt-4o").await.status == 429).then_some(())
        })
        .await;
    }
}

/// Two servers that know of each other, of which the first has everything.
async fn cluster() -> Option<[Redis; 2]> {
    let buses = [free_port().await, free_port().await];
    let start = async |bus: &str| Redis::with(&["--cluster-enabled", "yes", "--cluster-port", bus]).await;
    let [one, other] = [start(&buses[0]).await?, start(&buses[1]).await?];
    one.answers().await;
    other.answers().await;
    one.command("CLUSTER ADDSLOTSRANGE 0 16383").await;
    one.command(&format!("CLUSTER MEET 127.0.0.1 {} {}", other.address().port(), buses[1])).await;
    let sends = format!("127.0.0.1:{}", one.address().port());
    eventually("the second to know of the first", async || {
        other.command("EXISTS key").await.contains(&sends).then_some(())
    })
    .await;
    Some([one, other])
}

#[tokio::test]
async fn in_a_cluster_the_server_that_has_the_keys_is_asked_and_the_one_that_they_move_to() {
    let Some([one, other]) = cluster().await else { return };
    let gateways = share_a_limit(&other.url(), &[]).await;
    assert!(one.command("DBSIZE").await.starts_with(':') && !one.command("DBSIZE").await.starts_with(":0"));

    let slot = one.command("CLUSTER KEYSLOT {llm-orchestrator}:x").await;
    let (slot, id) = (slot.trim().trim_start_matches(':'), other.command("CLUSTER MYID").await);
    let id = id.lines().nth(1).expect("a server of a cluster has a name").trim();
    for server in [&other, &one] {
        // Where there are keys they would have to be brought along.
        eventually("the keys to move", async || {
            one.flush().await;
            server.command(&format!("CLUSTER SETSLOT {slot} NODE {id}")).await.starts_with("+OK").then_some(())
        })
        .await;
    }
    for gateway in &gateways {
        gateway.tells("Redis can be used again").await;
        cache_status(gateway, "healthy").await;
    }
    // These have admitted nothing yet themselves.
    share_a_limit(&one.url(), &[]).await;
}
