//! What a process holds, as Linux tells it.

use std::fs;

/// What must be back where it was once a process has nothing to do.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Vitals {
    /// Open files and sockets.
    pub files: usize,
    pub threads: usize,
    /// Resident memory in bytes.
    pub memory: u64,
    /// Requests that run, by the gateway's own gauge.
    pub running: u64,
}

impl Vitals {
    /// Of the process with this id; zeros where it is gone.
    pub fn of(pid: u32) -> Self {
        let count = |folder: &str| fs::read_dir(format!("/proc/{pid}/{folder}")).map_or(0, Iterator::count);
        let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap_or_default();
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
        let kilobytes = resident.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
        Self { files: count("fd"), threads: count("task"), memory: kilobytes.unwrap_or(0) * 1024, running: 0 }
    }
}

/// Seconds of processor time that a process has used.
pub fn cpu_seconds(pid: u32) -> f64 {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    // The name may hold spaces and brackets; user and system time are the 12th and 13th field behind it.
    let fields = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let ticks: f64 = fields.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok()).sum();
    // Linux has had 100 ticks a second for user space on every platform that this runs on.
    ticks / 100.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_open_file_is_counted() {
        let folder = std::env::temp_dir();
        let before = Vitals::of(std::process::id());
        let held: Vec<_> = (0..50).map(|_| fs::File::open(&folder).expect("the folder is there")).collect();
        let after = Vitals::of(std::process::id());
        // Other tests of this process open and close files meanwhile.
        assert!(after.files >= before.files + 30 && after.memory > 0 && after.threads > 0, "{before:?} {after:?}");
        drop(held);
    }
}
