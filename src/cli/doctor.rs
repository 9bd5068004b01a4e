//! `doctor`: examines providers without a running gateway, and prints what each really speaks and can do.

use std::path::Path;

use anyhow::bail;
use llm_protocol::ProtocolId;
use serde_json::{Value, json};

use super::{Exit, say, wait_for, with_store};
use crate::{
    app,
    catalog::{self, Catalog},
    clock,
    config::Config,
    doctor::{Capability, Doctor, Examination, Finding, Report, Verdict, usual_protocols},
    health::{Health, Policy},
    secret::MasterKey,
    store::{self, Store},
    upstream::{Client, ClientConfig},
};

#[derive(clap::Args)]
pub struct Args {
    /// The provider to examine [default: all that are switched on]
    #[arg(long, value_name = "NAME")]
    provider: Option<String>,
    /// The provider's name of the model to ask [default: one that it serves]
    #[arg(long)]
    model: Option<String>,
    /// The protocols to try, behind commas [default: all that many speak, and those of its type]
    #[arg(long, value_name = "NAME,...", value_delimiter = ',', value_parser = protocol)]
    protocols: Vec<ProtocolId>,
    /// Examine those that are switched off too
    #[arg(long, conflicts_with = "provider")]
    all: bool,
    /// Print JSON instead of tables
    #[arg(long)]
    json: bool,
}

impl Args {
    pub fn run(self, file: Option<&Path>) -> anyhow::Result<Exit> {
        let config = Config::load(file)?;
        wait_for(with_store(file, async |store| self.examine(&config, store).await))
    }

    async fn examine(&self, config: &Config, store: &Store) -> anyhow::Result<Exit> {
        let surgery = Surgery::open(config, store).await?;
        let (models, client) = (app::models(config)?, client(config)?);
        let doctor = Doctor {
            client: &client,
            models: &models,
            limits: &config.routing,
            list_timeout: config.health.probe_timeout,
        };
        let rows = store.providers().await?;
        let rows: Vec<_> = rows.into_iter().filter(|row| self.means(row)).collect();
        if let (Some(name), true) = (&self.provider, rows.is_empty()) {
            bail!("there is no provider named {name}");
        }
        let mut visits = Vec::with_capacity(rows.len());
        for row in rows {
            let visit = surgery.visit(&doctor, row, self, store).await?;
            if !self.json {
                visit.print()?;
            }
            visits.push(visit);
        }
        if self.json {
            let all: Vec<Value> = visits.iter().map(Visit::to_json).collect();
            say(serde_json::to_string_pretty(&all)?)?;
        }
        let well = visits.iter().all(|visit| visit.outcome.as_ref().is_ok_and(|(_, report)| report.is_usable()));
        Ok(if well { Exit::Ok } else { Exit::Failure })
    }

    fn means(&self, row: &store::Provider) -> bool {
        match &self.provider {
            Some(name) => row.name == *name,
            None => row.enabled || self.all,
        }
    }
}

fn protocol(name: &str) -> Result<ProtocolId, String> {
    ProtocolId::parse(name)
        .ok_or_else(|| format!("must be one of {}", ProtocolId::ALL.map(ProtocolId::as_str).join(", ")))
}

fn client(config: &Config) -> anyhow::Result<Client> {
    let connect_timeout = config.routing.connect_timeout;
    Ok(Client::new(&ClientConfig { connect_timeout, extra_roots: app::extra_roots()? })?)
}

/// What is needed to make a row a provider that can be asked.
struct Surgery {
    master_key: MasterKey,
    health: Health,
    catalog: Catalog,
}

/// One provider's examination, or why there was none.
struct Visit {
    name: String,
    kind: String,
    /// The model that was asked, and what was found out.
    outcome: Result<(String, Report), String>,
}

impl Surgery {
    async fn open(config: &Config, store: &Store) -> anyhow::Result<Self> {
        let master_key = MasterKey::load(config.auth.master_key.as_ref(), &config.auth.master_key_file)?;
        let health = Health::new(Policy {
            max_errors: config.health.max_errors,
            ejection_base: config.health.ejection_base,
            ejection_max: config.health.ejection_max,
        });
        let catalog = catalog::build(store.snapshot().await?, &[], &master_key, &health);
        Ok(Self { master_key, health, catalog })
    }

    async fn visit(
        &self,
        doctor: &Doctor<'_>,
        row: store::Provider,
        args: &Args,
        store: &Store,
    ) -> anyhow::Result<Visit> {
        let outcome = self.ask(doctor, &row, args).await;
        if let Ok((_, report)) = &outcome {
            let mut known = Report::of(row.capabilities.as_ref());
            known.learn(report.clone());
            if !store.put_capabilities(row.id, row.updated_at, &known.to_json(), clock::now_micros()).await? {
                super::complain(&format!("{} was changed meanwhile: what was found out is not kept", row.name));
            }
        }
        Ok(Visit { name: row.name, kind: row.kind, outcome })
    }

    async fn ask(&self, doctor: &Doctor<'_>, row: &store::Provider, args: &Args) -> Result<(String, Report), String> {
        let provider = catalog::provider(row, false, &self.master_key, &self.health)?;
        let model = match &args.model {
            Some(model) => model.clone(),
            None => {
                let chosen = doctor.choose_model(&provider, self.catalog.associated_names(row.id)).await;
                chosen.map_err(|error| provider.conceal(error).message)?
            }
        };
        let usual = || usual_protocols(&provider);
        let protocols = if args.protocols.is_empty() { usual() } else { args.protocols.clone() };
        let report = doctor.examine(&provider, &model, &protocols).await;
        Ok((model, report))
    }
}

impl Visit {
    fn to_json(&self) -> Value {
        match &self.outcome {
            Ok((model, report)) => json!({
                "provider_name": self.name, "type": self.kind, "model": model, "usable": report.is_usable(),
                "report": report,
            }),
            Err(why) => json!({"provider_name": self.name, "type": self.kind, "usable": false, "error": why}),
        }
    }

    fn print(&self) -> anyhow::Result<()> {
        match &self.outcome {
            Err(why) => say(format_args!("{} ({}): cannot be examined: {why}\n", self.name, self.kind)),
            Ok((model, report)) => {
                say(format_args!("{} ({}), model {model}\n", self.name, self.kind))?;
                if let Some(examination) = report.models.get(model) {
                    print(examination)?;
                }
                for (service, finding) in &report.services {
                    say(format_args!("  {:<15}{}", service.as_str(), told(finding)))?;
                }
                say(if report.is_usable() { "" } else { "\n  It cannot be used at all.\n" })
            }
        }
    }
}

/// A row a capability and a column a protocol, then what stands behind every verdict but yes.
fn print(examination: &Examination) -> anyhow::Result<()> {
    let protocols = &examination.protocols;
    let row = |name: &str, cell: &dyn Fn(usize) -> &'static str| {
        let cells: String = (0..protocols.len()).map(|at| format!("{:<18}", cell(at))).collect();
        format!("  {name:<15}{cells}").trim_end().to_owned()
    };
    let spoken: Vec<_> = protocols.iter().collect();
    say(row("", &|at| spoken[at].0.as_str()))?;
    say(row("spoken", &|at| spoken[at].1.spoken.as_str()))?;
    for capability in Capability::ALL {
        let verdict =
            |at: usize| spoken[at].1.capabilities.get(&capability).map_or("-", |found| found.verdict.as_str());
        say(row(capability.as_str(), &verdict))?;
    }
    say("")?;
    for (protocol, spoken) in protocols {
        for (capability, finding) in spoken.capabilities.iter().filter(|(_, found)| found.verdict != Verdict::Yes) {
            say(format_args!("  {} {}: {}", protocol.as_str(), capability.as_str(), told(finding)))?;
        }
    }
    Ok(())
}

fn told(finding: &Finding) -> String {
    format!("{}: {}", finding.verdict.as_str(), finding.seen)
}
