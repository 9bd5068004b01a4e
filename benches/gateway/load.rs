//! The clients: as many connections as asked for, each of which asks again as soon as it has its answer, or at a pace.
//!
//! Written on bare sockets, since what it costs is taken from the core that the upstream needs.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, ensure};
use serde::{Deserialize, Serialize};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    task::JoinSet,
    time::{MissedTickBehavior, interval_at},
};

use crate::{
    block_on,
    canned::{CHUNKS, Scenario},
};

#[derive(Clone, Debug, clap::Args)]
pub struct Load {
    pub target: SocketAddr,
    pub scenario: Scenario,
    pub seconds: f64,
    /// Clients [default: as many as the scenario has].
    pub connections: Option<usize>,
}

impl Load {
    fn connections(&self) -> usize {
        self.connections.unwrap_or(self.scenario.connections())
    }
}

/// What was seen, as it is printed. Latencies are microseconds from a request's first byte out to its last byte in.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Seen {
    pub requests: usize,
    pub seconds: f64,
    pub p50: f64,
    pub p99: f64,
}

/// Asks for so long and prints what was seen. One wrong answer fails it.
pub fn run(load: &Load) -> anyhow::Result<()> {
    let seen = block_on(ask_all(load.clone()))?;
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

async fn ask_all(load: Load) -> anyhow::Result<Seen> {
    let mut clients = JoinSet::new();
    let started = Instant::now();
    let until = started + Duration::from_secs_f64(load.seconds);
    for number in 0..load.connections() {
        clients.spawn(ask(load.clone(), number, until));
    }
    let mut latencies = Vec::new();
    while let Some(client) = clients.join_next().await {
        latencies.extend(client??);
    }
    let seconds = started.elapsed().as_secs_f64();
    latencies.sort_unstable();
    ensure!(!latencies.is_empty(), "no request was answered");
    let percentile = |share: f64| latencies[(latencies.len() as f64 * share) as usize].as_secs_f64() * 1e6;
    Ok(Seen { requests: latencies.len(), seconds, p50: percentile(0.50), p99: percentile(0.99) })
}

async fn ask(load: Load, number: usize, until: Instant) -> anyhow::Result<Vec<Duration>> {
    let mut socket = TcpStream::connect(load.target).await?;
    socket.set_nodelay(true)?;
    let request = load.scenario.request(&load.target.to_string());
    let mut latencies = Vec::new();
    let mut answer = Vec::with_capacity(256 * 1024);
    let mut pace = load.scenario.rate().map(|rate| {
        // Each at a moment of its own, so that requests come evenly.
        let first = tokio::time::Instant::now() + Duration::from_secs_f64(number as f64 / rate);
        let mut pace = interval_at(first, Duration::from_secs_f64(load.connections() as f64 / rate));
        pace.set_missed_tick_behavior(MissedTickBehavior::Skip);
        pace
    });
    while Instant::now() < until {
        if let Some(pace) = &mut pace {
            pace.tick().await;
        }
        answer.clear();
        let sent = Instant::now();
        socket.write_all(&request).await?;
        read_answer(&mut socket, &mut answer).await?;
        latencies.push(sent.elapsed());
        check(load.scenario, &answer, latencies.len() == 1)?;
    }
    Ok(latencies)
}

/// Reads one answer to its end, headers and framing included.
async fn read_answer(socket: &mut TcpStream, answer: &mut Vec<u8>) -> anyhow::Result<()> {
    let mut end = None;
    loop {
        let count = socket.read_buf(answer).await?;
        ensure!(count > 0, "the connection was closed within an answer: {}", String::from_utf8_lossy(answer));
        if end.is_none() {
            end = find(answer, b"\r\n\r\n").map(|head| End::of(&answer[..head + 4])).transpose()?;
        }
        let done = match end {
            Some(End::At(length)) => answer.len() >= length,
            // Canned answers hold no such bytes themselves.
            Some(End::LastChunk) => answer.ends_with(b"\r\n0\r\n\r\n"),
            None => false,
        };
        if done {
            return Ok(());
        }
    }
}

/// How to tell that an answer is over.
enum End {
    At(usize),
    LastChunk,
}

impl End {
    fn of(head: &[u8]) -> anyhow::Result<Self> {
        let text = std::str::from_utf8(head)?;
        let length = text.lines().filter_map(|line| line.split_once(':')).find_map(|(name, value)| {
            name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>())
        });
        Ok(length
            .transpose()
            .context("content-length is a number")?
            .map_or(Self::LastChunk, |n| Self::At(head.len() + n)))
    }
}

/// A wrong answer may be faster than a right one. The first of a connection is counted through.
fn check(scenario: Scenario, answer: &[u8], first: bool) -> anyhow::Result<()> {
    let wrong = || String::from_utf8_lossy(&answer[..answer.len().min(600)]).into_owned();
    ensure!(answer.starts_with(b"HTTP/1.1 200"), "wrong answer: {}", wrong());
    if scenario.streams() {
        let tail = &answer[answer.len().saturating_sub(40)..];
        ensure!(find(tail, b"data: [DONE]").is_some(), "the stream has no end: {}", wrong());
    }
    if scenario.streams() && first {
        let chunks = answer.windows(9).filter(|window| *window == b"\"delta\":{").count();
        ensure!(chunks == CHUNKS, "{chunks} chunks of {CHUNKS} arrived");
    }
    Ok(())
}

fn find(text: &[u8], sought: &[u8]) -> Option<usize> {
    text.windows(sought.len()).position(|window| window == sought)
}
