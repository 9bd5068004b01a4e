//! Configuration: defaults, then a TOML file, then the environment. Everything is checked before anything starts.
//!
//! To add a key, add a field with its sentence and its default to the section's file, and write the example file anew
//! with `llm-orchestrator check-config --example > config.example.toml`.

mod auth;
mod cache;
mod database;
mod environment;
mod error;
mod example;
mod file;
mod health;
mod hedging;
mod journal;
mod limits;
mod logging;
mod metrics;
mod models;
mod pricing;
mod providers;
mod redis;
mod reference;
mod responses;
mod routing;
pub mod section;
mod server;
pub mod setting;
mod telemetry;

use std::path::Path;

pub use self::{
    auth::AuthConfig,
    cache::{Backend as CacheBackend, CacheConfig},
    database::{DatabaseConfig, DatabaseUrl},
    environment::Environment,
    error::ConfigError,
    example::text as example,
    health::HealthConfig,
    hedging::HedgingConfig,
    journal::{JournalConfig, LogContents},
    limits::LimitsConfig,
    logging::{LogFormat, LogLevel, LoggingConfig},
    metrics::MetricsConfig,
    models::ModelsConfig,
    pricing::PricingConfig,
    providers::EnvProvider,
    redis::RedisConfig,
    reference::text as reference,
    responses::{Keeping, ResponsesConfig},
    routing::{Choice, RoutingConfig},
    server::ServerConfig,
    telemetry::{TelemetryConfig, TraceSampler, TraceShare},
};

/// Every key has a variable that begins so.
const PREFIX: &str = "ORCHESTRATOR_";

/// Names the file, when the command line does not.
const FILE_VARIABLE: &str = "ORCHESTRATOR_CONFIG";

/// Everything that can be configured before the start.
#[derive(Debug, Clone, Default)]
pub struct Config {
    /// Where and how to listen.
    pub server: ServerConfig,
    /// Where to store.
    pub database: DatabaseConfig,
    /// What to share with other gateways.
    pub redis: RedisConfig,
    /// Who may come in.
    pub auth: AuthConfig,
    /// What to write to standard output.
    pub logging: LoggingConfig,
    /// Who may read what is counted.
    pub metrics: MetricsConfig,
    /// Where traces go.
    pub telemetry: TelemetryConfig,
    /// How to find out which providers work.
    pub health: HealthConfig,
    /// How to send requests to providers.
    pub routing: RoutingConfig,
    /// When to ask a second provider.
    pub hedging: HedgingConfig,
    /// How much a client may do.
    pub limits: LimitsConfig,
    /// How request logs reach the database.
    pub journal: JournalConfig,
    /// What models cost.
    pub pricing: PricingConfig,
    /// What is known about models.
    pub models: ModelsConfig,
    /// What to keep of answers.
    pub responses: ResponsesConfig,
    /// Which answers to give again.
    pub cache: CacheConfig,
    /// Providers the environment names; created when the database has none yet.
    pub env_providers: Vec<EnvProvider>,
}

impl Config {
    /// Loads and checks the configuration of this process. `file` is the one named on the command line.
    pub fn load(file: Option<&Path>) -> Result<Self, ConfigError> {
        Self::load_from(file, &Environment::of_process())
    }

    /// As `load`, from a given environment.
    pub fn load_from(file: Option<&Path>, environment: &Environment) -> Result<Self, ConfigError> {
        let mut config = Self::default();
        file::apply(&mut config, file, environment)?;
        environment::apply(&mut config, environment)?;
        config.env_providers = providers::read(environment)?;
        config.check().map_err(ConfigError::new)?;
        Ok(config)
    }

    /// The sections in the order of the example file.
    fn sections_mut(&mut self) -> [&mut dyn section::Section; 16] {
        [
            &mut self.server,
            &mut self.database,
            &mut self.redis,
            &mut self.auth,
            &mut self.logging,
            &mut self.metrics,
            &mut self.telemetry,
            &mut self.health,
            &mut self.routing,
            &mut self.hedging,
            &mut self.limits,
            &mut self.journal,
            &mut self.pricing,
            &mut self.models,
            &mut self.responses,
            &mut self.cache,
        ]
    }

    /// The rules that concern more than one value.
    fn check(&self) -> Result<(), String> {
        self.server.check()?;
        self.database.check()?;
        self.redis.check()?;
        self.auth.check()?;
        self.telemetry.check()?;
        self.health.check()?;
        self.routing.check()?;
        self.cache.check(self.redis.url.is_some())?;
        self.check_open_door()
    }

    /// Nobody opens the gateway to a whole network by accident.
    fn check_open_door(&self) -> Result<(), String> {
        if self.auth.allow_anonymous && !self.server.is_loopback() {
            return Err(format!(
                "auth.allow_anonymous is true while server.host is {:?}, which other machines can reach: listen on \
                 127.0.0.1, or set allow_anonymous to false and give clients keys",
                self.server.host
            ));
        }
        Ok(())
    }
}
