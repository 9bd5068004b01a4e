//! The main job: start, say where, serve until told to stop, and leave nothing unwritten.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use anyhow::Context;
use secrecy::ExposeSecret;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;

use crate::{
    app::{App, FirstStart},
    config::Config,
    http::{
        self,
        server::{self, Threads},
    },
};

/// The log's last rows are written within so long, whatever the database does.
const LAST_ROWS: Duration = Duration::from_secs(10);

/// Serves until SIGTERM or SIGINT; a second signal ends it at once.
pub async fn run(config: Config) -> anyhow::Result<()> {
    let mut signals = Signals::listen()?;
    // Bound before anything is stored: an address that is taken should leave no half-made installation behind.
    let listener = server::bind(&config.server)
        .await
        .with_context(|| format!("cannot listen on {}:{}", config.server.host, config.server.port))?;
    let address = listener.local_addr()?;
    if config.auth.has_weak_admin_key() {
        tracing::warn!("ADMIN_KEY is short: give it at least 16 characters that nobody guesses");
    }
    let (app, first) = App::start(config, address).await?;
    greet(&app, &first, address);

    let drain = CancellationToken::new();
    let threads = Threads::per_core().context("cannot start the threads that serve")?;
    let handler = http::handler(app.clone());
    let serving = server::serve(listener, handler, &app.config.server, &threads, drain.clone(), app.last_call.clone());
    tokio::pin!(serving);
    let report = tokio::select! {
        report = &mut serving => report,
        () = signals.next() => {
            tracing::info!("Stopping: running requests have {} s to end", app.config.server.shutdown_grace.as_secs());
            app.stopping.cancel();
            drain.cancel();
            tokio::select! {
                report = &mut serving => report,
                () = signals.next() => anyhow::bail!("stopped by a second signal before running requests had ended"),
            }
        }
    };
    tracing::info!(
        "Served the last request: {} connections were idle, {} ended in time, {} were cut off",
        report.idle,
        report.finished,
        report.dropped
    );
    app.stop(LAST_ROWS).await;
    Ok(())
}

struct Signals {
    terminate: Signal,
    interrupt: Signal,
}

impl Signals {
    fn listen() -> anyhow::Result<Self> {
        Ok(Self { terminate: signal(SignalKind::terminate())?, interrupt: signal(SignalKind::interrupt())? })
    }

    async fn next(&mut self) {
        tokio::select! {
            _ = self.terminate.recv() => {}
            _ = self.interrupt.recv() => {}
        }
    }
}

/// Says on standard output where the gateway is, and what a first start made. These are the only words that ever hold a key.
fn greet(app: &Arc<App>, first: &FirstStart, address: SocketAddr) {
    let url = format!("http://{address}");
    println!("LLM Orchestrator {} listening on {url}", env!("CARGO_PKG_VERSION"));
    let admin = first.admin_key.as_ref().map(|key| key.expose_secret());
    let api = first.api_key.as_ref().map(|key| key.expose_secret());
    if let Some(key) = admin {
        println!("\n  Admin key (shown once, only its hash is kept): {key}");
    }
    if let Some(key) = api {
        println!("  API key   (shown once, only its hash is kept): {key}");
    }
    if admin.is_none() && api.is_none() {
        return;
    }
    let catalog = app.catalog();
    let Some(provider) = catalog.providers.first() else {
        println!("\nThere is no provider yet. Add one, here an Ollama on this machine:\n");
        println!("  curl {url}/admin/providers -H 'Authorization: Bearer {}' \\", admin.unwrap_or("ADMIN_KEY"));
        println!("    -H 'Content-Type: application/json' \\");
        println!(
            "    -d '{{\"name\": \"ollama\", \"type\": \"ollama\", \"base_url\": \"http://127.0.0.1:11434/v1\"}}'\n"
        );
        return;
    };
    println!("\nProviders: {}", catalog.providers.iter().map(|p| &*p.name).collect::<Vec<_>>().join(", "));
    println!("Try it (GET {url}/v1/models lists what can be asked for):\n");
    println!("  curl {url}/v1/chat/completions -H 'Authorization: Bearer {}' \\", api.unwrap_or("API_KEY"));
    println!("    -H 'Content-Type: application/json' \\");
    println!(
        "    -d '{{\"model\": \"{}:{}\", \"messages\": [{{\"role\": \"user\", \"content\": \"Hello!\"}}]}}'\n",
        provider.name,
        example_model(provider.kind.name)
    );
}

/// A small model of each native kind that will still be there next year.
fn example_model(kind: &str) -> &'static str {
    match kind {
        "anthropic" => "claude-haiku-4-5",
        "gemini" => "gemini-flash-latest",
        _ => "gpt-5.4-mini",
    }
}
