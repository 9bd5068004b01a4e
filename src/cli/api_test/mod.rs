//! `api-test`: tries the API of a running gateway, and prints a line a check and a count.

mod checks;
pub mod client;

use std::time::{Duration, Instant};

use super::{Exit, say, wait_for};
use client::Client;

/// Models may think for a while.
const PATIENCE: Duration = Duration::from_secs(120);

#[derive(clap::Args)]
pub struct Args {
    /// Address of the gateway
    #[arg(long, default_value = "http://127.0.0.1:8000")]
    url: String,
    /// Key for the checks of models and chat
    #[arg(long, value_name = "KEY")]
    api_key: Option<String>,
    /// Key for the checks of providers and system
    #[arg(long, value_name = "KEY")]
    admin_key: Option<String>,
    /// What to check
    #[arg(long, value_enum, default_value = "all")]
    test: Test,
    /// Model for the checks of chat [default: the first one in the list]
    #[arg(long)]
    model: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Test {
    Health,
    Models,
    Chat,
    Providers,
    System,
    All,
}

/// What a check came to: a remark, or why it failed.
type Outcome = Result<String, String>;

/// What is being tested, with which keys, and how it goes.
struct Run {
    client: Client,
    api_key: Option<String>,
    admin_key: Option<String>,
    model: Option<String>,
    passed: usize,
    failed: usize,
    skipped: usize,
}

impl Args {
    pub fn run(self) -> anyhow::Result<Exit> {
        let mut run = Run {
            client: Client::new(&self.url, PATIENCE)?,
            api_key: self.api_key,
            admin_key: self.admin_key,
            model: self.model,
            passed: 0,
            failed: 0,
            skipped: 0,
        };
        wait_for(run.all_of(self.test))
    }
}

impl Run {
    async fn all_of(&mut self, test: Test) -> anyhow::Result<Exit> {
        let wanted = |part: Test| test == part || test == Test::All;
        if wanted(Test::Health) {
            self.health().await?;
        }
        if wanted(Test::Models) {
            self.models().await?;
        }
        if wanted(Test::Chat) {
            self.chat().await?;
        }
        // Without the key they cannot pass; that is a fault only if they were asked for by name.
        let skip = test == Test::All && self.admin_key.is_none();
        if skip {
            self.skipped += 2;
            say("SKIP  providers and system: give --admin-key to check them")?;
        }
        if wanted(Test::Providers) && !skip {
            self.providers().await?;
        }
        if wanted(Test::System) && !skip {
            self.system().await?;
        }
        say(format_args!("{} passed, {} failed, {} skipped", self.passed, self.failed, self.skipped))?;
        Ok(if self.failed == 0 { Exit::Ok } else { Exit::Failure })
    }

    /// Counts a check that began at `began` and prints its line.
    fn note(&mut self, name: &str, began: Instant, outcome: Outcome) -> anyhow::Result<()> {
        let took = began.elapsed().as_millis();
        match outcome {
            Ok(remark) => {
                self.passed += 1;
                let remark = if remark.is_empty() { remark } else { format!(": {remark}") };
                say(format_args!("PASS  {name} ({took} ms){remark}"))
            }
            Err(why) => {
                self.failed += 1;
                say(format_args!("FAIL  {name} ({took} ms): {why}"))
            }
        }
    }
}
