//! The run: starts all parts, measures the proxies in turns, and prints what came out.

use std::{net::SocketAddr, path::PathBuf, process::Stdio};

use anyhow::Context;
use tempfile::TempDir;

use crate::{
    Options,
    canned::Scenario,
    gateway::Gateway,
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
    let rounds = options.rounds.unwrap_or(if options.quick { 3 } else { 5 }).max(1);
    let seconds = options.seconds.unwrap_or(if options.quick { 0.5 } else { 1.5 });
    let scenarios = if options.only.is_empty() { Scenario::ALL.to_vec() } else { options.only.clone() };
    let program = options.gateway.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_llm-orchestrator")));
    let program = program.canonicalize().with_context(|| format!("no gateway at {}", program.display()))?;
    let cores = Cores::choose();
    println!("{}", report::preamble(cores, rounds, seconds));

    let parts = Parts { program: std::env::current_exe()?, cores, logs: tempfile::tempdir()? };
    let upstream = parts.server(cores.load, &["upstream"])?;
    let pass_through = parts.server(cores.proxy, &["pass-through", &upstream.address.to_string()])?;
    let gateway = Gateway::start(cores.proxy, &program, upstream.address)?;
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
struct Parts {
    program: PathBuf,
    cores: Cores,
    logs: TempDir,
}

impl Parts {
    fn server(&self, core: Option<usize>, arguments: &[&str]) -> anyhow::Result<Server> {
        let mut command = pinned(core, &self.program);
        command.args(arguments);
        Server::start(command, &self.logs.path().join(arguments[0]))
    }

    fn round(&self, scenario: Scenario, server: &Server, seconds: f64) -> anyhow::Result<Round> {
        let before = server.cpu_seconds()?;
        let seen = self.load(scenario, server.address, seconds)?;
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

    fn load(&self, scenario: Scenario, target: SocketAddr, seconds: f64) -> anyhow::Result<Seen> {
        let mut command = pinned(self.cores.load, &self.program);
        command.args(["load", &target.to_string(), scenario.name(), &seconds.to_string()]);
        let output = command.stderr(Stdio::inherit()).output().context("cannot start the load")?;
        anyhow::ensure!(output.status.success(), "the load on {target} failed ({})", scenario.title());
        serde_json::from_slice(&output.stdout).context("the load prints one line of JSON")
    }
}
