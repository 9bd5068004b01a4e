//! What every exporter tells of its process, under the names that all of them use. Read from Linux; elsewhere only the
//! start is known.

use std::fs;

use prometheus_client::{metrics::counter::ConstCounter, metrics::gauge::ConstGauge, registry::Registry};
use rustix::{
    param::clock_ticks_per_second,
    process::{Resource, getrlimit},
};

/// `started` is in microseconds since the epoch.
pub fn registry(started: i64) -> Registry {
    let mut registry = Registry::default();
    let mut gauge = |name: &str, help: &str, value: Option<f64>| {
        if let Some(value) = value {
            registry.register(name, help, ConstGauge::new(value));
        }
    };
    gauge("process_start_time_seconds", "When the process started, since the epoch", Some(started as f64 / 1e6));
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    let kilobytes = |field: &str| field_of(&status, field).map(|kilobytes| kilobytes * 1024.0);
    gauge("process_resident_memory_bytes", "Memory that the process occupies", kilobytes("VmRSS:"));
    gauge("process_virtual_memory_bytes", "Memory that the process has reserved", kilobytes("VmSize:"));
    gauge("process_threads", "Threads of the process", field_of(&status, "Threads:"));
    // The folder that is being read is open itself.
    let open = fs::read_dir("/proc/self/fd").ok().map(|files| files.count().saturating_sub(1) as f64);
    gauge("process_open_fds", "Files and sockets that are open", open);
    let most = getrlimit(Resource::Nofile).current.map(|most| most as f64);
    gauge("process_max_fds", "Files and sockets that may be open", most);
    if let Some(seconds) = fs::read_to_string("/proc/self/stat").ok().and_then(|stat| cpu_seconds(&stat)) {
        registry.register("process_cpu_seconds", "Time of processors that was used", ConstCounter::new(seconds));
    }
    registry
}

fn field_of(status: &str, field: &str) -> Option<f64> {
    status.lines().find_map(|line| line.strip_prefix(field))?.split_whitespace().next()?.parse().ok()
}

/// User and system time: the 14th and 15th field (`man 5 proc_pid_stat`), the 12th and 13th after the name, which may
/// hold spaces.
fn cpu_seconds(stat: &str) -> Option<f64> {
    let mut fields = stat.rsplit_once(')')?.1.split_whitespace().skip(11);
    let (user, system): (f64, f64) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
    Some((user + system) / clock_ticks_per_second() as f64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_used_is_read_past_a_name_with_spaces_and_brackets() {
        let stat = "7 (a) b) S 1 7 7 0 -1 4194560 100 0 0 0 250 150 0 0 20 0 1 0 100 0 0";
        assert_eq!(cpu_seconds(stat), Some(400.0 / clock_ticks_per_second() as f64));
        assert_eq!(cpu_seconds("nonsense"), None);
    }

    #[test]
    fn a_field_is_found_by_its_name() {
        let status = "Name:\tx\nVmRSS:\t  2048 kB\nThreads:\t5\n";
        assert_eq!((field_of(status, "VmRSS:"), field_of(status, "Threads:")), (Some(2048.0), Some(5.0)));
        assert_eq!(field_of(status, "VmSwap:"), None);
    }
}
