//! The command line: one file a command.

mod api_test;
mod check_config;
mod db;
mod doctor;
mod exit;
mod healthcheck;
mod keys;
mod openapi;
mod serve;

use std::{
    io::{self, Write},
    path::{Path, PathBuf},
};

use anyhow::Context;
use clap::{Parser, Subcommand};

pub use self::exit::Exit;
use crate::{
    config::{Config, ConfigError},
    store::Store,
};

/// One address in front of every large-language-model provider
#[derive(Parser)]
#[command(name = "llm-orchestrator", version, after_help = exit::HELP)]
struct Cli {
    /// Configuration file [default: $ORCHESTRATOR_CONFIG, else ./config.toml if it exists]
    #[arg(long, global = true, value_name = "PATH")]
    config: Option<PathBuf>,

    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Serve requests until told to stop (what happens without a command)
    Serve,
    /// Look after the database
    #[command(subcommand)]
    Db(db::Command),
    /// Make, list, change, rotate and revoke API keys
    #[command(subcommand)]
    Keys(keys::Command),
    /// Check the configuration, or print an example with every key
    CheckConfig(check_config::Args),
    /// Find out which protocols providers really speak and what their models can really do
    Doctor(doctor::Args),
    /// Ask a running gateway whether it lives
    Healthcheck(healthcheck::Args),
    /// Try the API of a running gateway
    ApiTest(api_test::Args),
    /// Print the OpenAPI document
    Openapi,
}

/// Does what the command line of this process says.
pub fn run() -> Exit {
    let cli = match Cli::try_parse() {
        Ok(cli) => cli,
        Err(error) => {
            // Help that nobody reads is not a failure.
            let _ = error.print();
            return if error.use_stderr() { Exit::Usage } else { Exit::Ok };
        }
    };
    match cli.run() {
        Ok(exit) => exit,
        Err(error) if error.is::<ConfigError>() => {
            complain(&format!("bad configuration: {error:#}"));
            Exit::BadConfig
        }
        Err(error) => {
            complain(&format!("{error:#}"));
            Exit::Failure
        }
    }
}

impl Cli {
    fn run(self) -> anyhow::Result<Exit> {
        let file = self.config.as_deref();
        match self.command.unwrap_or(Command::Serve) {
            Command::Serve => serve::run(Config::load(file)?),
            Command::Db(command) => command.run(file),
            Command::Keys(command) => command.run(file),
            Command::CheckConfig(args) => args.run(file),
            Command::Doctor(args) => args.run(file),
            Command::Healthcheck(args) => args.run(file),
            Command::ApiTest(args) => args.run(),
            Command::Openapi => openapi::run(),
        }
    }
}

/// Runs a short command to its end.
fn wait_for<T>(work: impl Future<Output = anyhow::Result<T>>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.context("cannot start the runtime")?.block_on(work)
}

/// Does something with the configured database, whose schema has been brought up to date.
async fn with_store<T>(file: Option<&Path>, work: impl AsyncFnOnce(&Store) -> anyhow::Result<T>) -> anyhow::Result<T> {
    let store = Store::open(&Config::load(file)?.database.url)?;
    store.migrate().await?;
    let outcome = work(&store).await;
    store.close().await;
    outcome
}

/// Writes a line. A reader that has read enough is no failure.
fn say(line: impl std::fmt::Display) -> anyhow::Result<()> {
    match writeln!(io::stdout(), "{line}") {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error).context("cannot write the output"),
        _ => Ok(()),
    }
}

fn complain(line: &str) {
    // If standard error is closed, the exit code is all that can be told.
    let _ = writeln!(io::stderr(), "llm-orchestrator: {line}");
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    #[test]
    fn verify_cli() {
        Cli::command().debug_assert();
    }

    #[test]
    fn no_command_means_serve() {
        assert!(Cli::parse_from(["llm-orchestrator"]).command.is_none());
        assert!(matches!(Cli::parse_from(["llm-orchestrator", "serve"]).command, Some(Command::Serve)));
    }
}
