//! The run: starts all parts, measures the proxies in turns, and prints what came out.

use std::{net::SocketAddr, path::PathBuf, process::Stdio};

use anyhow::Context;
use tempfile::TempDir;

use crate::{
    Options,
    canned::Scenario,
    gateway::{Gateway, Size},
    load::Seen,
    process::{Cores, Server, pinned},
    report::{self, Memory, Row},
};

/// What one round of load on one server came to.
#[derive(Clone, Copy, Debug)]
pub struct Round {
    pub requests: usize,
    pub requests_per_second: f64,
    /// Of the server, what it does after the last answer included.
    pub cpu_seconds_per_1000: f64,
    /// Microseconds.
    pub p50: f64,
    /// Microseconds.
    pub p99: f64,
}

pub fn run(options: &Options) -> anyhow::Result<()> {
    let (rounds, seconds, program) = options.extent()?;
    let scenarios = if options.only.is_empty() { Scenario::ALL.to_vec() } else { options.only.clone() };
    let parts = Parts::new()?;
    let cores = parts.cores;
    println!("{}", report::preamble(cores, rounds, seconds));

    let upstream = parts.server(cores.load, &["upstream"])?;
    let pass_through = parts.server(cores.proxy, &["pass-through", &upstream.address.to_string()])?;
    let gateway = Gateway::start(cores.proxy, &program, upstream.address, Size::default())?;
    let memory = || anyhow::Ok([pass_through.memory()?, gateway.server.memory()?]);

    let idle = memory()?;
    let mut asked = 0;
    for scenario in scenarios {
        let mut row = Row::new(scenario);
        parts.round(scenario, &pass_through, seconds.min(0.5))?;
        asked += parts.round(scenario, &gateway.server, seconds.min(0.5))?.requests;
        for _ in 0..rounds {
            row.direct.push(parts.round(scenario, &upstream, seconds.min(0.5))?);
            row.pass_through.push(parts.round(scenario, &pass_through, seconds)?);
            row.gateway.push(parts.round(scenario, &gateway.server, seconds)?);
        }
        asked += row.gateway.iter().map(|round| round.requests).sum::<usize>();
        println!("{row}");
    }
    println!("{}", Memory { idle, after: memory()? });
    println!("{}", report::log_line(gateway.log_rows()?, asked));
    Ok(())
}

/// This program, which is all parts but the gateway.
pub struct Parts {
    program: PathBuf,
    pub cores: Cores,
    logs: TempDir,
}

impl Parts {
    pub fn new() -> anyhow::Result<Self> {
        Ok(Self { program: std::env::current_exe()?, cores: Cores::choose(), logs: tempfile::tempdir()? })
    }

    pub fn server(&self, core: Option<usize>, arguments: &[&str]) -> anyhow::Result<Server> {
        let mut command = pinned(core, &self.program);
        command.args(arguments);
        Server::start(command, &self.logs.path().join(arguments[0]))
    }

    fn round(&self, scenario: Scenario, server: &Server, seconds: f64) -> anyhow::Result<Round> {
        self.round_of(scenario, None, server, seconds)
    }

    /// The same with another number of clients than is usual.
    pub fn round_of(
        &self,
        scenario: Scenario,
        connections: Option<usize>,
        server: &Server,
        seconds: f64,
    ) -> anyhow::Result<Round> {
        let before = server.cpu_seconds()?;
        let seen = self.load(scenario, connections, server.address, seconds)?;
        server.settle()?;
        let computed = server.cpu_seconds()? - before;
        Ok(Round {
            requests: seen.requests,
            requests_per_second: seen.requests as f64 / seen.seconds,
            cpu_seconds_per_1000: computed * 1000.0 / seen.requests as f64,
            p50: seen.p50,
            p99: seen.p99,
        })
    }

    fn load(
        &self,
        scenario: Scenario,
        connections: Option<usize>,
        target: SocketAddr,
        seconds: f64,
    ) -> anyhow::Result<Seen> {
        let mut command = pinned(self.cores.load, &self.program);
        command.args(["load", &target.to_string(), scenario.name(), &seconds.to_string()]);
        command.args(connections.map(|count| count.to_string()));
        let output = command.stderr(Stdio::inherit()).output().context("cannot start the load")?;
        anyhow::ensure!(output.status.success(), "the load on {target} failed ({})", scenario.title());
        serde_json::from_slice(&output.stdout).context("the load prints one line of JSON")
    }
}
