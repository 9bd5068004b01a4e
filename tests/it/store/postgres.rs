//! A PostgreSQL server for one test: Debian's binaries, a folder that goes away, a socket instead of a port.
//!
//! `TEST_POSTGRES_URL` names another server instead; its database is emptied. Without either, tests say loudly that they
//! were skipped, and fail where `CI` is `true`. With `TEST_DATABASE=postgres` every gateway of every other test has a database
//! on one more server.

use std::{
    env, fs,
    net::SocketAddr,
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use llm_orchestrator::store::Store;
use tempfile::TempDir;
use tokio::{
    io::copy_bidirectional,
    net::{TcpListener, UnixStream},
    sync::{Mutex, MutexGuard, OnceCell},
};

/// The named server has one database for all tests of this process, so they take turns.
static NAMED: Mutex<()> = Mutex::const_new(());

pub enum Server {
    /// Another's server, by its address.
    Named { url: String, _turn: MutexGuard<'static, ()> },
    /// Ours.
    Own { binaries: PathBuf, folder: TempDir, databases: AtomicU32 },
}

/// The server of all gateways of this process, where it was asked for one.
static OF_ALL: OnceCell<Server> = OnceCell::const_new();

/// An empty database for one gateway, where `TEST_DATABASE` is `postgres`. Dropped with it.
pub struct Database {
    pub url: String,
    name: String,
}

impl Database {
    /// On the one server of this process, which ends with the process, however that ends.
    pub async fn if_asked_for() -> Option<Self> {
        match env::var("TEST_DATABASE").as_deref() {
            Err(_) | Ok("sqlite") => return None,
            Ok("postgres") => {}
            Ok(other) => panic!("TEST_DATABASE is {other:?}: neither sqlite nor postgres"),
        }
        let server = OF_ALL.get_or_init(async || {
            let server = Server::own().expect("TEST_DATABASE=postgres needs PostgreSQL in /usr/lib/postgresql");
            server.stop_with_this_process();
            server
        });
        let url = server.await.database().await;
        let name = url.split('?').next().and_then(|path| path.rsplit('/').next()).unwrap_or_default().to_owned();
        Some(Self { url, name })
    }
}

impl Drop for Database {
    fn drop(&mut self) {
        if let Some(Server::Own { binaries, folder, .. }) = OF_ALL.get() {
            let socket = folder.path().to_str().unwrap();
            run(binaries, "dropdb", &["-h", socket, "-U", "test", "--force", &self.name]);
        }
    }
}

impl Server {
    pub async fn start() -> Option<Self> {
        if let Ok(url) = env::var("TEST_POSTGRES_URL") {
            return Some(Self::Named { url, _turn: NAMED.lock().await });
        }
        let server = Self::own();
        if server.is_none() {
            assert!(env::var("CI").as_deref() != Ok("true"), "PostgreSQL is not installed, and CI must test with it");
            eprintln!("\n*** SKIPPED: no PostgreSQL in /usr/lib/postgresql and no TEST_POSTGRES_URL ***\n");
        }
        server
    }

    /// A new one in a folder of its own, if PostgreSQL is installed.
    pub fn own() -> Option<Self> {
        let binaries = binaries()?;
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

    /// The folder of its socket, and who may do everything; `None` if it is not ours.
    pub fn place(&self) -> Option<(&Path, &'static str)> {
        match self {
            Self::Named { .. } => None,
            Self::Own { folder, .. } => Some((folder.path(), "test")),
        }
    }

    /// A port in front of its socket, and the address of an empty database there. None of a server that is not ours.
    pub async fn by_port(&self) -> Option<(SocketAddr, String)> {
        let Self::Own { folder, .. } = self else { return None };
        let (name, socket) = (self.database().await, folder.path().join(".s.PGSQL.5432"));
        let name = name.split('?').next()?.rsplit('/').next()?.to_owned();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let Ok(mut server) = UnixStream::connect(&socket).await else { continue };
                tokio::spawn(async move { copy_bidirectional(&mut client, &mut server).await });
            }
        });
        Some((address, format!("postgresql://test@{address}/{name}")))
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
    /// Stops our server when this process has ended in any way, and removes its folder: nobody drops what is static.
    fn stop_with_this_process(&self) {
        let Self::Own { binaries, folder, .. } = self else { return };
        let stop = "cat > /dev/null; \"$0\" \"$@\"; rm -rf \"$FOLDER\"";
        let data = folder.path().join("data");
        let arguments = ["-D", data.to_str().unwrap(), "-m", "immediate", "-w", "stop"];
        let tool = tool(binaries, "pg_ctl");
        let mut guard = Command::new("sh");
        guard.args(["-c", stop]).arg(tool.get_program()).args(tool.get_args()).args(arguments);
        guard.env("FOLDER", folder.path()).current_dir("/tmp");
        // The pipe closes when this process is gone, and `cat` ends.
        guard.stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
        std::mem::forget(guard.spawn().unwrap());
    }

    /// Freezes the server: its connections stay open, and nothing answers. False if it is not ours.
    pub fn freeze(&self) -> bool {
        self.signal("STOP")
    }

    /// Lets it go on after [`Server::freeze`].
    pub fn thaw(&self) {
        self.signal("CONT");
    }

    fn signal(&self, signal: &str) -> bool {
        let Self::Own { folder, .. } = self else { return false };
        let file = fs::read_to_string(folder.path().join("data/postmaster.pid")).unwrap();
        let postmaster = file.lines().next().unwrap().to_owned();
        let children = Command::new("pgrep").args(["-P", &postmaster]).output().unwrap();
        let children = String::from_utf8(children.stdout).unwrap();
        let mut kill = Command::new("kill");
        kill.arg(format!("-{signal}")).arg(&postmaster).args(children.split_whitespace());
        // A child may have ended by itself meanwhile.
        kill.stderr(Stdio::null()).status().unwrap();
        true
    }

    /// Starts the server again after [`Server::stop`].
    pub fn resume(&self) {
        if let Self::Own { binaries, folder, .. } = self {
            start(binaries, folder.path());
        }
    }
}

fn start(binaries: &Path, folder: &Path) {
    let (data, log) = (folder.join("data"), folder.join("log"));
    let settings = format!("-k {} -c listen_addresses= -c fsync=off -c max_connections=300", folder.display());
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

/// A tool of PostgreSQL, which refuses to be run by root.
fn tool(binaries: &Path, name: &str) -> Command {
    let tool = binaries.join(name);
    if !is_root() {
        return Command::new(tool);
    }
    let mut command = Command::new("runuser");
    command.args(["-u", "postgres", "--"]).arg(tool);
    command
}

fn run(binaries: &Path, name: &str, arguments: &[&str]) {
    let mut command = tool(binaries, name);
    // Not pipes: the server would inherit them and keep them open.
    let status = command.args(arguments).current_dir("/tmp").stdin(Stdio::null()).stdout(Stdio::null()).status();
    assert!(status.unwrap().success(), "{name} {arguments:?} failed");
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
