//! What must hold whatever happens: clients, upstreams, the log and the metrics tell one story, and nothing is left over.
//!
//! A test gathers [`Evidence`] when all is over. [`violations`] is pure: it joins by the marks of questions and names what
//! cannot be.

use std::{
    collections::{BTreeMap, BTreeSet},
    time::{Duration, Instant},
};

use serde_json::{Value, json};

use super::{
    upstream::Seen,
    visits::{PRIVATE, Visit, nonces},
    vitals::Vitals,
};

/// The rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rule {
    /// Every question has one row in the log, or is counted as dropped.
    OneOutcome,
    /// Nobody is asked more often than allowed.
    Attempts,
    /// Nobody is asked once the client has got a byte or has left.
    NoLateAttempt,
    /// An answer holds nothing of another's question.
    NoMixing,
    /// Each upstream gets its own key and nobody else's.
    OwnKey,
    /// What is counted is what the log adds up to.
    Sums,
    /// No secret is anywhere that it was not sent to on purpose, and nothing of a prompt is kept.
    NoSecret,
    /// Files, threads and running requests are back where they were.
    NothingLeft,
    /// No panic, and no error that the test did not expect.
    NoError,
    /// The log of the process does not grow faster than its work.
    QuietLog,
}

/// A rule that does not hold, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub rule: Rule,
    pub why: String,
}

/// A request as an upstream saw it.
#[derive(Clone, Debug)]
pub struct Attempt {
    pub upstream: String,
    pub nonces: Vec<String>,
    pub headers: Vec<(String, String)>,
    pub at: Instant,
    /// See [`Seen::is_stale`].
    pub stale: bool,
}

impl Attempt {
    pub fn of(upstream: &str, seen: &Seen) -> Self {
        let nonces: BTreeSet<String> = nonces(&seen.body).chain(nonces(seen.path.as_bytes())).collect();
        Self {
            upstream: upstream.into(),
            nonces: nonces.into_iter().collect(),
            headers: seen.headers.clone(),
            at: seen.at,
            stale: seen.is_stale(),
        }
    }
}

/// All that is known when a test is over.
#[derive(Clone, Debug)]
pub struct Evidence {
    pub visits: Vec<Visit>,
    pub attempts: Vec<Attempt>,
    /// The rows of the log, as the admin API tells them.
    pub rows: Vec<Value>,
    /// The samples of the metrics, by name and labels as they are written.
    pub metrics: BTreeMap<String, f64>,
    /// The key of each upstream, by its name.
    pub keys: BTreeMap<String, String>,
    /// What clients and operators prove themselves with: nothing that an upstream may see.
    pub secrets: Vec<String>,
    /// Places by their names, with what is in them.
    pub places: Vec<(String, String)>,
    /// What the process wrote since it was ready.
    pub log: Vec<String>,
    /// Parts of error lines that the test provokes.
    pub expected_errors: Vec<String>,
    pub most_attempts: usize,
    /// How long after its client left an attempt may still begin.
    pub prompt: Duration,
    /// Dependencies that were in trouble, each for about a minute at most.
    pub troubled: usize,
    pub before: Vitals,
    pub after: Vitals,
    /// Connections that upstreams still have open: an idle pool may hold those.
    pub open_upstream: usize,
}

/// Files that a database or a resolver may hold more than before.
const FILES_TO_SPARE: usize = 24;
/// Threads that a pool for blocking work may hold more than before.
const THREADS_TO_SPARE: usize = 40;
/// Lines that a process may write besides those for requests.
const LINES_TO_SPARE: usize = 40;
/// What the gateway's own metrics begin with.
const PREFIX: &str = "llm_orchestrator_";

type Check = fn(&Evidence) -> Vec<String>;

const CHECKS: [(Rule, Check); 10] = [
    (Rule::OneOutcome, one_outcome),
    (Rule::Attempts, attempts),
    (Rule::NoLateAttempt, no_late_attempt),
    (Rule::NoMixing, no_mixing),
    (Rule::OwnKey, own_key),
    (Rule::Sums, sums),
    (Rule::NoSecret, no_secret),
    (Rule::NothingLeft, nothing_left),
    (Rule::NoError, no_error),
    (Rule::QuietLog, quiet_log),
];

/// Everything that cannot be; nothing where all is well.
pub fn violations(evidence: &Evidence) -> Vec<Violation> {
    let found = |(rule, check): (Rule, Check)| check(evidence).into_iter().map(move |why| Violation { rule, why });
    CHECKS.into_iter().flat_map(found).collect()
}

impl Evidence {
    /// The sum of all series of a metric, whatever their labels.
    fn total(&self, metric: &str, label: &str) -> f64 {
        let name = format!("{PREFIX}{metric}");
        let of = |key: &&String| key.split('{').next() == Some(&name) && key.contains(label);
        self.metrics.iter().filter(|(key, _)| of(key)).map(|(_, value)| value).sum()
    }

    /// What clients and upstreams saw, a line of JSON each, in order of time: for whoever looks for the cause.
    pub fn lines(&self) -> String {
        let visit = |visit: &Visit| {
            (
                visit.began,
                json!({
                    "visit": visit.nonce, "status": visit.status, "complete": visit.complete, "left": visit.left.is_some(),
                    "first_byte_ms": visit.first_byte.map(|first| (first - visit.began).as_millis() as u64),
                }),
            )
        };
        let attempt =
            |attempt: &Attempt| (attempt.at, json!({"attempt": attempt.nonces, "upstream": attempt.upstream}));
        let mut all: Vec<(Instant, Value)> = self.visits.iter().map(visit).collect();
        all.extend(self.attempts.iter().map(attempt));
        all.sort_by_key(|(at, _)| *at);
        let began = all.first().map(|(at, _)| *at);
        let line = |(at, mut value): (Instant, Value)| {
            value["at_ms"] = began.map_or(0, |began| (at - began).as_millis() as u64).into();
            value.to_string()
        };
        let rows = self.rows.iter().map(|row| json!({"row": row}).to_string());
        all.into_iter().map(line).chain(rows).collect::<Vec<_>>().join("\n")
    }

    fn dropped(&self) -> f64 {
        self.total("log_rows_total", "state=\"dropped\"")
    }

    fn attempts_of(&self) -> BTreeMap<&str, Vec<&Attempt>> {
        let mut of: BTreeMap<&str, Vec<&Attempt>> = BTreeMap::new();
        for attempt in &self.attempts {
            attempt.nonces.iter().for_each(|nonce| of.entry(nonce).or_default().push(attempt));
        }
        of
    }
}

fn text<'a>(row: &'a Value, field: &str) -> &'a str {
    row[field].as_str().unwrap_or_default()
}

fn one_outcome(evidence: &Evidence) -> Vec<String> {
    let mut rows: BTreeMap<&str, usize> = BTreeMap::new();
    evidence.rows.iter().for_each(|row| *rows.entry(text(row, "request_id")).or_default() += 1);
    let known: BTreeSet<&str> = evidence.visits.iter().map(|visit| &*visit.nonce).collect();
    let twice = rows.iter().filter(|(_, count)| **count > 1).map(|(id, count)| format!("{id} has {count} rows"));
    let strange = rows.keys().filter(|id| !known.contains(*id)).map(|id| format!("nobody asked {id}"));
    let missing: Vec<&&str> = known.iter().filter(|nonce| !rows.contains_key(*nonce)).collect();
    let dropped = evidence.dropped();
    let lost = (missing.len() as f64 != dropped)
        .then(|| format!("{} have no row, {dropped} are counted as dropped: {:?}", missing.len(), missing.first()));
    twice.chain(strange).chain(lost).collect()
}

fn attempts(evidence: &Evidence) -> Vec<String> {
    let of = evidence.attempts_of();
    let counts = of.into_iter().map(|(nonce, all)| (nonce, all.iter().filter(|attempt| !attempt.stale).count()));
    let too_many = counts.filter(|(_, count)| *count > evidence.most_attempts);
    too_many.map(|(nonce, count)| format!("{nonce} was asked {count} times")).collect()
}

fn no_late_attempt(evidence: &Evidence) -> Vec<String> {
    let of = evidence.attempts_of();
    let late = evidence.visits.iter().flat_map(|visit| {
        // What was under way when the first byte went out may have been read only then.
        let end = [visit.first_byte, visit.left].into_iter().flatten().min();
        let after = end.map(|end| end + evidence.prompt);
        let attempts = of.get(&*visit.nonce).into_iter().flatten();
        let late = attempts.filter(move |attempt| after.is_some_and(|after| attempt.at > after));
        late.map(move |attempt| {
            let late = end.map_or(Duration::ZERO, |end| attempt.at - end);
            format!("{} was asked for {} {late:?} after its client had a byte or left", attempt.upstream, visit.nonce)
        })
    });
    late.collect()
}

fn no_mixing(evidence: &Evidence) -> Vec<String> {
    let known: BTreeSet<&str> = evidence.visits.iter().map(|visit| &*visit.nonce).collect();
    let foreign = evidence.visits.iter().filter_map(|visit| {
        let other = nonces(&visit.body).find(|nonce| *nonce != visit.nonce)?;
        Some(format!("the answer to {} holds {other}", visit.nonce))
    });
    let mixed = evidence.attempts.iter().filter_map(|attempt| match attempt.nonces.as_slice() {
        [one] if known.contains(&**one) => None,
        marks => Some(format!("{} was asked {marks:?} in one request", attempt.upstream)),
    });
    foreign.chain(mixed).collect()
}

/// Headers that upstreams take their key from.
const CREDENTIALS: [&str; 4] = ["authorization", "x-api-key", "x-goog-api-key", "api-key"];

fn own_key(evidence: &Evidence) -> Vec<String> {
    let wrong = evidence.attempts.iter().filter_map(|attempt| {
        let own = evidence.keys.get(&attempt.upstream)?;
        let is_credential =
            |(name, _): &&(String, String)| CREDENTIALS.iter().any(|known| name.eq_ignore_ascii_case(known));
        let sent: Vec<&str> = attempt
            .headers
            .iter()
            .filter(is_credential)
            .map(|(_, value)| value.trim_start_matches("Bearer "))
            .collect();
        (sent != [own]).then(|| format!("{} got {} keys, or another than its own", attempt.upstream, sent.len()))
    });
    wrong.collect()
}

fn sums(evidence: &Evidence) -> Vec<String> {
    let rows = evidence.rows.len() as f64 + evidence.dropped();
    let counted = evidence.total("requests_total", "");
    let requests =
        (counted != rows).then(|| format!("{counted} requests are counted, {rows} are in the log or dropped"));
    if evidence.dropped() > 0.0 {
        return requests.into_iter().collect();
    }
    let tokens =
        [("input", "prompt_tokens"), ("output", "completion_tokens")].into_iter().filter_map(|(kind, field)| {
            let counts: Vec<i64> = evidence.rows.iter().filter_map(|row| row[field].as_i64()).collect();
            let (logged, counted) =
                (counts.iter().sum::<i64>() as f64, evidence.total("tokens_total", &format!("kind=\"{kind}\"")));
            let negative = counts.iter().any(|count| *count < 0);
            (negative || logged != counted)
                .then(|| format!("{counted} {kind} tokens are counted, the log has {logged}; below zero: {negative}"))
        });
    requests.into_iter().chain(tokens).collect()
}

fn no_secret(evidence: &Evidence) -> Vec<String> {
    let all = || evidence.secrets.iter().chain(evidence.keys.values());
    let in_places = evidence.places.iter().flat_map(|(place, text)| {
        all().filter(|secret| text.contains(&***secret)).map(move |_| format!("a secret is in {place}"))
    });
    let in_answers = evidence.visits.iter().flat_map(|visit| {
        let body = String::from_utf8_lossy(&visit.body).into_owned();
        let told =
            all().any(|secret| body.contains(&**secret) || visit.headers.iter().any(|(_, v)| v.contains(&**secret)));
        told.then(|| format!("a secret is in the answer to {}", visit.nonce))
    });
    let upstream = evidence.attempts.iter().flat_map(|attempt| {
        let told = |secret: &&String| attempt.headers.iter().any(|(_, value)| value.contains(&***secret));
        evidence.secrets.iter().find(told).map(|_| format!("{} got a secret of a client", attempt.upstream))
    });
    let kept = evidence.places.iter().filter(|(_, text)| text.contains(PRIVATE));
    let kept = kept.map(|(place, _)| format!("words of a prompt are in {place}"));
    in_places.chain(in_answers).chain(upstream).chain(kept).collect()
}

fn nothing_left(evidence: &Evidence) -> Vec<String> {
    let (before, after) = (evidence.before, evidence.after);
    let files = before.files + evidence.open_upstream + FILES_TO_SPARE;
    [
        (after.running > 0).then(|| format!("{} requests run still", after.running)),
        (after.files > files).then(|| format!("{} files are open, {} were", after.files, before.files)),
        (after.threads > before.threads + THREADS_TO_SPARE)
            .then(|| format!("{} threads are there, {} were", after.threads, before.threads)),
    ]
    .into_iter()
    .flatten()
    .collect()
}

fn no_error(evidence: &Evidence) -> Vec<String> {
    let is_bad = |line: &&String| line.contains(" ERROR ") || line.contains("panicked at");
    let expected = |line: &&String| !evidence.expected_errors.iter().any(|known| line.contains(&**known));
    evidence.log.iter().filter(is_bad).filter(expected).cloned().collect()
}

fn quiet_log(evidence: &Evidence) -> Vec<String> {
    let most = 2 * evidence.visits.len() + 10 * evidence.troubled + LINES_TO_SPARE;
    let lines = evidence.log.len();
    (lines > most).then(|| format!("{lines} lines for {} requests", evidence.visits.len())).into_iter().collect()
}

#[cfg(test)]
mod tests;
