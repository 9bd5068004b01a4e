//! What the gateway costs: measures the real program beside a proxy that only passes bytes on.
//!
//! `cargo bench --bench gateway` starts everything itself: an upstream with canned answers, the gateway as it is
//! installed by default (authentication, routing, health, metering, a log in SQLite), a pass-through proxy on the same HTTP
//! library, and a load generator. The two proxies are measured in turns on one core, the rest runs on another one.

mod canned;
mod curves;
mod exchange;
mod gateway;
mod load;
mod pass_through;
mod process;
mod report;
mod rounds;
mod upstream;

use std::{net::SocketAddr, path::PathBuf, process::ExitCode};

use anyhow::Context;
use clap::Parser;

use canned::Scenario;

/// The allocator of the program that is measured, so that the pass-through has the same.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Measures the gateway beside a pass-through proxy.
#[derive(Debug, Parser)]
struct Options {
    /// Fewer and shorter rounds: enough to see a mistake, not enough to quote.
    #[arg(long)]
    quick: bool,
    /// Rounds per scenario; medians are reported [default: 5, quick: 3].
    #[arg(long)]
    rounds: Option<usize>,
    /// Seconds of load per round and proxy [default: 1.5, quick: 0.5].
    #[arg(long)]
    seconds: Option<f64>,
    /// Only these scenarios.
    #[arg(long)]
    only: Vec<Scenario>,
    /// The gateway to measure [default: the one built with this benchmark].
    #[arg(long)]
    gateway: Option<PathBuf>,
    /// Which one of the parts this process is; without it, it runs the others.
    #[command(subcommand)]
    part: Option<Part>,
    /// Cargo says so when it runs benchmarks, and does not when it runs tests.
    #[arg(long, hide = true, global = true)]
    bench: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Part {
    /// Answers as a provider would.
    Upstream,
    /// Passes everything on to an upstream and parses nothing.
    PassThrough { upstream: SocketAddr },
    /// Asks as fast as answers come, and prints one line of JSON.
    Load(load::Load),
    /// How the cost of a request grows with providers, keys and streams.
    Curves,
}

impl Options {
    /// Rounds, the seconds of each, and the gateway that is measured.
    fn extent(&self) -> anyhow::Result<(usize, f64, PathBuf)> {
        let rounds = self.rounds.unwrap_or(if self.quick { 3 } else { 5 }).max(1);
        let seconds = self.seconds.unwrap_or(if self.quick { 0.5 } else { 1.5 });
        let program = self.gateway.clone().unwrap_or_else(|| PathBuf::from(env!("CARGO_BIN_EXE_llm-orchestrator")));
        let program = program.canonicalize().with_context(|| format!("no gateway at {}", program.display()))?;
        Ok((rounds, seconds, program))
    }
}

fn main() -> ExitCode {
    let options = Options::parse();
    let done = match &options.part {
        Some(Part::Upstream) => upstream::run(),
        Some(Part::PassThrough { upstream }) => pass_through::run(*upstream),
        Some(Part::Load(load)) => load::run(load),
        Some(Part::Curves) => curves::run(&options),
        None if !options.bench => {
            println!("Nothing is measured in a test run: use `cargo bench --bench gateway`.");
            Ok(())
        }
        None => rounds::run(&options),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("error: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// The runtime of every part: one thread, as it has one core.
fn block_on<T>(job: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(job)
}
