//! Settings with short times: what takes a minute in production takes a second here.

/// Environment variables for a gateway under test.
pub const SHORT_TIMES: [(&str, &str); 11] = [
    ("ORCHESTRATOR_ROUTING_CONNECT_TIMEOUT", "0.5"),
    ("ORCHESTRATOR_ROUTING_STREAM_IDLE_TIMEOUT", "1"),
    ("ORCHESTRATOR_ROUTING_STREAM_MAX_DURATION", "10"),
    ("ORCHESTRATOR_ROUTING_MAX_TIMEOUT", "10"),
    ("ORCHESTRATOR_SERVER_WRITE_STALL_TIMEOUT", "2"),
    ("ORCHESTRATOR_SERVER_HEADER_TIMEOUT", "3"),
    ("ORCHESTRATOR_SERVER_BODY_TIMEOUT", "3"),
    ("ORCHESTRATOR_SERVER_SHUTDOWN_GRACE", "5"),
    ("ORCHESTRATOR_HEALTH_EJECTION_BASE", "2"),
    ("ORCHESTRATOR_HEALTH_EJECTION_MAX", "16"),
    ("ORCHESTRATOR_JOURNAL_FLUSH_INTERVAL", "0.1"),
];

/// Seconds that a provider has for its first byte of content.
pub const FIRST_BYTE: u64 = 2;

/// Settings by name, the later ones winning.
pub fn with<'a>(more: &[(&'a str, &'a str)]) -> Vec<(&'a str, &'a str)> {
    let mut all = SHORT_TIMES.to_vec();
    for (name, value) in more {
        all.retain(|(known, _)| known != name);
        all.push((name, value));
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tests_own_settings_win() {
        let all = with(&[("ORCHESTRATOR_SERVER_HEADER_TIMEOUT", "7"), ("NEW", "1")]);
        assert_eq!(all.len(), SHORT_TIMES.len() + 1);
        assert!(all.contains(&("ORCHESTRATOR_SERVER_HEADER_TIMEOUT", "7")) && all.contains(&("NEW", "1")));
    }
}
