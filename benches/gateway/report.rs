//! What is printed: one Markdown table per scenario, medians over all rounds.

use std::fmt;

use crate::{
    canned::{CHUNKS, Scenario},
    process::{Cores, line_of},
    rounds::Round,
};

/// The machine, and how it was measured.
pub fn preamble(cores: Cores, rounds: usize, seconds: f64) -> String {
    let model = line_of("/proc/cpuinfo", "model name").unwrap_or_default();
    let memory = line_of("/proc/meminfo", "MemTotal:").unwrap_or_default();
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    let pinning = match cores {
        Cores { proxy: Some(proxy), load: Some(load) } => {
            format!("the proxy that is measured has core {proxy}, upstream and clients share core {load}")
        }
        _ => "**nothing is pinned** (two cores and `taskset` are needed): rounds disturb one another".into(),
    };
    let count = std::thread::available_parallelism().map_or(0, usize::from);
    format!(
        "{count} cores ({}), {memory}, Linux {}; load average at the start {}; {pinning}; medians of {rounds} alternating \
         rounds of {seconds} s each.\n",
        model.trim_start_matches([' ', '\t', ':']),
        kernel.trim(),
        load.split(' ').next().unwrap_or_default(),
    )
}

/// The rounds of a scenario.
pub struct Row {
    scenario: Scenario,
    pub direct: Vec<Round>,
    pub pass_through: Vec<Round>,
    pub gateway: Vec<Round>,
}

impl Row {
    pub fn new(scenario: Scenario) -> Self {
        Self { scenario, direct: Vec::new(), pass_through: Vec::new(), gateway: Vec::new() }
    }

    /// A line of the table: direct, pass-through, gateway, and the last two as a ratio.
    fn line(&self, f: &mut fmt::Formatter<'_>, name: &str, measure: impl Fn(&Round) -> f64) -> fmt::Result {
        let [direct, proxies @ ..] = self.medians(measure);
        cells(f, name, Some(direct), proxies)
    }

    /// The same of what only proxies have.
    fn proxies(&self, f: &mut fmt::Formatter<'_>, name: &str, measure: impl Fn(&Round) -> f64) -> fmt::Result {
        let [_, proxies @ ..] = self.medians(measure);
        cells(f, name, None, proxies)
    }

    /// The same of what a proxy adds to the upstream's own figure.
    fn added(&self, f: &mut fmt::Formatter<'_>, name: &str, measure: impl Fn(&Round) -> f64) -> fmt::Result {
        let [direct, proxies @ ..] = self.medians(measure);
        cells(f, name, None, proxies.map(|proxy| proxy - direct))
    }

    fn medians(&self, measure: impl Fn(&Round) -> f64) -> [f64; 3] {
        [&self.direct, &self.pass_through, &self.gateway].map(|rounds| median(rounds.iter().map(&measure).collect()))
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### {}\n", self.scenario.title())?;
        writeln!(f, "| | direct | pass-through | gateway | gateway / pass-through |")?;
        writeln!(f, "|---|---:|---:|---:|---:|")?;
        self.line(f, "requests/s", |round| round.requests_per_second)?;
        if self.scenario.streams() {
            self.line(f, "streamed chunks/s", |round| round.requests_per_second * CHUNKS as f64)?;
        }
        self.proxies(f, "CPU seconds per 1,000 requests", |round| round.cpu_seconds_per_1000)?;
        self.line(f, "latency p50, µs", |round| round.p50)?;
        self.line(f, "latency p99, µs", |round| round.p99)?;
        self.added(f, "added to p50, µs", |round| round.p50)?;
        self.added(f, "added to p99, µs", |round| round.p99)
    }
}

fn cells(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    direct: Option<f64>,
    [pass_through, gateway]: [f64; 2],
) -> fmt::Result {
    let direct = direct.map(number).unwrap_or_default();
    let ratio = gateway / pass_through;
    writeln!(f, "| {name} | {direct} | {} | {} | {ratio:.2} |", number(pass_through), number(gateway))
}

/// Resident memory before and after all rounds, in MiB: the pass-through's, the gateway's.
pub struct Memory {
    pub idle: [f64; 2],
    pub after: [f64; 2],
}

impl fmt::Display for Memory {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "### Resident memory, MiB\n")?;
        writeln!(f, "| | pass-through | gateway | gateway / pass-through |")?;
        writeln!(f, "|---|---:|---:|---:|")?;
        for (name, [pass_through, gateway]) in [("idle", self.idle), ("after all rounds", self.after)] {
            writeln!(f, "| {name} | {pass_through:.1} | {gateway:.1} | {:.2} |", gateway / pass_through)?;
        }
        Ok(())
    }
}

/// Whether the accounts are complete: a gateway that drops its log under load is fast for the wrong reason.
pub fn log_line(rows: u64, asked: usize) -> String {
    let share = rows as f64 * 100.0 / asked.max(1) as f64;
    format!("The gateway answered {asked} requests and wrote {rows} log rows ({share:.1} %).")
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    match values.len() {
        0 => f64::NAN,
        count if count % 2 == 1 => values[count / 2],
        count => f64::midpoint(values[count / 2 - 1], values[count / 2]),
    }
}

/// Three significant digits are more than the machine can repeat.
fn number(value: f64) -> String {
    match value.abs() {
        size if size >= 100.0 => format!("{value:.0}"),
        size if size >= 1.0 => format!("{value:.1}"),
        _ => format!("{value:.3}"),
    }
}
