//! A PostgreSQL server for one test: Debian's binaries, a folder that goes away, a socket instead of a port.
//!
//! `TEST_POSTGRES_URL` names another server instead; its database is emptied. Without either, tests say loudly that they
//! were skipped, and fail where `CI` is `true`.

use std::{
    env, fs,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use llm_orchestrator::store::Store;
use tempfile::TempDir;
use tokio::sync::{Mutex, MutexGuard};

/// The named server has one database for all tests of this process, so they take turns.
static NAMED: Mutex<()> = Mutex::const_new(());

pub enum Server {
    /// Another's server, by its address.
    Named { url: String, _turn: MutexGuard<'static, ()> },
    /// Ours.
    Own { binaries: PathBuf, folder: TempDir, databases: AtomicU32 },
}

impl Server {
    pub async fn start() -> Option<Self> {
        if let Ok(url) = env::var("TEST_POSTGRES_URL") {
            return Some(Self::Named { url, _turn: NAMED.lock().await });
        }
        let Some(binaries) = binaries() else {
            assert!(env::var("CI").as_deref() != Ok("true"), "PostgreSQL is not installed, and CI must test with it");
            eprintln!("\n*** SKIPPED: no PostgreSQL in /usr/lib/postgresql and no TEST_POSTGRES_URL ***\n");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("pg").tempdir_in("/tmp").unwrap();
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o777)).unwrap();
        let data = folder.path().join("data");
        let data = data.to_str().unwrap();
        run(&binaries, "initdb", &["-D", data, "-U", "test", "-A", "trust", "-E", "UTF8", "--locale=C", "--no-sync"]);
        start(&binaries, folder.path());
        Some(Self::Own { binaries, folder, databases: AtomicU32::new(0) })
    }

    /// The address of an empty database.
    pub async fn database(&self) -> String {
        match self {
            Self::Named { url, .. } => {
                Store::open(url).unwrap().reset().await.unwrap();
                url.clone()
            }
            Self::Own { binaries, folder, databases } => {
                let name = format!("test{}", databases.fetch_add(1, Ordering::Relaxed));
                let socket = folder.path().to_str().unwrap();
                run(binaries, "createdb", &["-h", socket, "-U", "test", &name]);
                format!("postgresql://test@localhost/{name}?host={socket}")
            }
        }
    }

    /// An empty database, migrated.
    pub async fn store(&self) -> Store {
        let store = Store::open(&self.database().await).unwrap();
        store.migrate().await.unwrap();
        store
    }

    /// Stops the server as a crash would; false if it is not ours to stop.
    pub fn stop(&self) -> bool {
        let Self::Own { binaries, folder, .. } = self else { return false };
        let data = folder.path().join("data");
        run(binaries, "pg_ctl", &["-D", data.to_str().unwrap(), "-m", "immediate", "-w", "stop"]);
        true
    }
}

impl Server {
    /// Starts the server again after [`Server::stop`].
    pub fn resume(&self) {
        if let Self::Own { binaries, folder, .. } = self {
            start(binaries, folder.path());
        }
    }
}

fn start(binaries: &Path, folder: &Path) {
    let (data, log) = (folder.join("data"), folder.join("log"));
    let settings = format!("-k {} -c listen_addresses= -c fsync=off", folder.display());
    let (data, log) = (data.to_str().unwrap(), log.to_str().unwrap());
    run(binaries, "pg_ctl", &["-D", data, "-w", "-o", &settings, "-l", log, "start"]);
}

impl Drop for Server {
    fn drop(&mut self) {
        if let Self::Own { binaries, folder, .. } = self {
            let data = folder.path().join("data");
            if data.join("postmaster.pid").exists() {
                run(binaries, "pg_ctl", &["-D", data.to_str().unwrap(), "-m", "immediate", "-w", "stop"]);
            }
        }
    }
}

/// The newest installed version.
fn binaries() -> Option<PathBuf> {
    let versions = fs::read_dir("/usr/lib/postgresql").ok()?;
    let folders = versions.flatten().map(|version| version.path().join("bin"));
    folders.filter(|folder| folder.join("initdb").exists() && folder.join("postgres").exists()).max()
}

/// Runs a tool of PostgreSQL, which refuses to be run by root.
fn run(binaries: &Path, tool: &str, arguments: &[&str]) {
    let tool = binaries.join(tool);
    let mut command = if is_root() {
        let mut command = Command::new("runuser");
        command.args(["-u", "postgres", "--"]).arg(&tool);
        command
    } else {
        Command::new(&tool)
    };
    // Not pipes: the server would inherit them and keep them open.
    let status = command.args(arguments).current_dir("/tmp").stdin(Stdio::null()).stdout(Stdio::null()).status();
    assert!(status.unwrap().success(), "{} {arguments:?} failed", tool.display());
}

fn is_root() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("Uid:").is_some_and(|ids| ids.split_whitespace().nth(1) == Some("0")))
}

#[tokio::test]
async fn a_server_that_goes_away_is_reported_as_unavailable_and_soon() {
    let Some(server) = Server::start().await else { return };
    let store = server.store().await;
    if !server.stop() {
        return;
    }
    let answer = tokio::time::timeout(Duration::from_secs(10), store.snapshot()).await.expect("within its deadline");
    assert!(answer.unwrap_err().is_passing());
}
