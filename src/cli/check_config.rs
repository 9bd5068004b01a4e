//! `check-config`: tells whether the gateway would start with this configuration.

use std::path::Path;

use super::{Exit, say};
use crate::config::{self, Config};

#[derive(clap::Args)]
pub struct Args {
    /// Print an example file with every key and its default instead
    #[arg(long)]
    example: bool,

    /// Print the tables of the documentation's configuration reference instead
    #[arg(long, conflicts_with = "example")]
    reference: bool,
}

impl Args {
    pub fn run(&self, file: Option<&Path>) -> anyhow::Result<Exit> {
        if self.example {
            say(config::example().trim_end())?;
            return Ok(Exit::Ok);
        }
        if self.reference {
            say(config::reference().trim_end())?;
            return Ok(Exit::Ok);
        }
        let config = Config::load(file)?;
        say(format_args!("The configuration is good: it listens on {}:{}.", config.server.host, config.server.port))?;
        Ok(Exit::Ok)
    }
}
