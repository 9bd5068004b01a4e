//! Programs as children, each on a core of its own, and what the system knows of them.

use std::{
    ffi::OsStr,
    fs::File,
    net::{Ipv4Addr, SocketAddr},
    path::Path,
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::Context;

/// Linux counts a process's time in hundredths of a second, on every architecture that matters here.
const TICKS_PER_SECOND: f64 = 100.0;

/// A server that does not listen after so long never will.
const LONGEST_START: Duration = Duration::from_secs(20);

/// Which cores the parts run on.
#[derive(Clone, Copy, Debug)]
pub struct Cores {
    /// Of the proxy that is measured.
    pub proxy: Option<usize>,
    /// Of the load and the upstream.
    pub load: Option<usize>,
}

impl Cores {
    /// The first two cores that this process may use; none if there is one only, or no program to pin with.
    pub fn choose() -> Self {
        let allowed = allowed_cores();
        let can_pin = Command::new("taskset").arg("--version").stdout(Stdio::null()).status().is_ok();
        match allowed[..] {
            [proxy, load, ..] if can_pin => Self { proxy: Some(proxy), load: Some(load) },
            _ => Self { proxy: None, load: None },
        }
    }
}

fn allowed_cores() -> Vec<usize> {
    let list = line_of("/proc/self/status", "Cpus_allowed_list:").unwrap_or_default();
    let range = |part: &str| -> Option<std::ops::RangeInclusive<usize>> {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        Some(first.trim().parse().ok()?..=last.trim().parse().ok()?)
    };
    list.split(',').filter_map(range).flatten().collect()
}

/// A command that will run on one core.
pub fn pinned(core: Option<usize>, program: impl AsRef<OsStr>) -> Command {
    let Some(core) = core else { return Command::new(program) };
    let mut command = Command::new("taskset");
    command.arg("--cpu-list").arg(core.to_string()).arg(program);
    command
}

/// A running server. Dropping it kills the process.
pub struct Server {
    child: Child,
    pub address: SocketAddr,
}

impl Server {
    /// Starts it and waits until it says where it listens. What it says goes into the file `log`, as a service's output
    /// does: reading a pipe would take time from the cores that are measured.
    pub fn start(mut command: Command, log: &Path) -> anyhow::Result<Self> {
        let child = command.stdout(File::create(log)?).spawn().with_context(|| format!("cannot run {command:?}"))?;
        // Made first, so that the process ends with it when it never listens.
        let mut server = Self { child, address: (Ipv4Addr::UNSPECIFIED, 0).into() };
        let deadline = Instant::now() + LONGEST_START;
        while Instant::now() < deadline && server.child.try_wait()?.is_none() {
            let said = std::fs::read_to_string(log)?;
            let address = said.lines().find_map(|line| line.split_once("listening on http://")?.1.trim().parse().ok());
            if let Some(address) = address {
                server.address = address;
                return Ok(server);
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        anyhow::bail!("{command:?} does not listen:\n{}", std::fs::read_to_string(log)?)
    }

    /// Seconds that the process has computed so far, all threads together, in user and kernel mode.
    pub fn cpu_seconds(&self) -> anyhow::Result<f64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id()))?;
        // The name in parentheses may hold spaces; fields are counted from behind it.
        let (_, fields) = stat.rsplit_once(')').context("/proc/PID/stat has a name in parentheses")?;
        let ticks = fields.split_whitespace().skip(11).take(2).map(str::parse::<u64>).sum::<Result<u64, _>>()?;
        Ok(ticks as f64 / TICKS_PER_SECOND)
    }

    /// Waits until the process has done what it does after the last answer, such as writing its log.
    pub fn settle(&self) -> anyhow::Result<()> {
        let mut quiet = 0;
        let mut before = self.cpu_seconds()?;
        for _ in 0..100 {
            std::thread::sleep(Duration::from_millis(100));
            let now = self.cpu_seconds()?;
            quiet = if now - before < 0.005 { quiet + 1 } else { 0 };
            if quiet == 3 {
                break;
            }
            before = now;
        }
        Ok(())
    }

    /// Ends it at once.
    pub fn stop(&mut self) {
        self.child.kill().ok();
        self.child.wait().ok();
    }

    /// Resident memory, in MiB.
    pub fn memory(&self) -> anyhow::Result<f64> {
        let path = format!("/proc/{}/status", self.child.id());
        let line = line_of(&path, "VmRSS:").with_context(|| format!("{path} says no VmRSS"))?;
        let kib: f64 = line.trim_end_matches("kB").trim().parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop();
    }
}

/// The rest of the first line that begins so.
pub fn line_of(path: impl AsRef<Path>, beginning: &str) -> Option<String> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| Some(line.strip_prefix(beginning)?.trim().to_owned()))
}
