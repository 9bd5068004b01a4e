//! The binary: reads the configuration and serves.

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

#[tokio::main]
async fn main() -> anyhow::Result<()> {
    let config = llm_orchestrator::config::Config::load(None)?;
    llm_orchestrator::serve::run(config).await
}
