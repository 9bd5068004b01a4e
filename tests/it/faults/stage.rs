//! Where faults are played: a gateway with short times, upstreams that obey, a client that remembers, and the check at the
//! end.

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    time::Duration,
};

use harness::{
    invariants::{Attempt, Evidence, Rule, violations},
    measures, profile,
    vitals::Vitals,
};
use serde_json::{Value, json};

use crate::support::{ADMIN_KEY, API_KEY, Client, Dialect, Gateway, PATIENCE, Question, Reply, Upstream, eventually};

/// How soon something that is promised to happen at once must have happened, on a machine that others use, too.
pub const SOON: Duration = Duration::from_secs(1);

/// How often a provider may fail before it is left out, where a test is not about that.
pub const PATIENT: (&str, &str) = ("HEALTH_CHECK_MAX_ERRORS", "1000");

const NAMES: [&str; 3] = ["a", "b", "c"];

/// Keeps what was measured for the page of guarantees.
pub fn measured(name: &str, text: &str) {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("it lies in the target folder");
    measures::keep(target, name, text);
}

pub struct Stage {
    pub gateway: Gateway,
    pub client: Client,
    upstreams: Vec<Upstream>,
    keys: BTreeMap<String, String>,
    before: Vitals,
    /// Lines of the log before the first question.
    lines: usize,
    pub most_attempts: usize,
    /// Parts of error lines that the test provokes.
    pub expected_errors: Vec<String>,
    /// Dependencies that the test troubles.
    pub troubled: usize,
}

impl Stage {
    /// Providers of OpenAI's type.
    pub async fn with<const N: usize>(settings: &[(&str, &str)]) -> (Self, [Upstream; N]) {
        Self::of(Dialect::OpenAi, settings).await
    }

    /// Providers `a`, `b`, … of a type, preferred in this order, each asked once and for two seconds at most.
    pub async fn of<const N: usize>(dialect: Dialect, settings: &[(&str, &str)]) -> (Self, [Upstream; N]) {
        let mut stage = Self::bare(settings).await;
        let mut upstreams = Vec::new();
        for (position, name) in NAMES.into_iter().take(N).enumerate() {
            let upstream = Upstream::start(name).await;
            let more = json!({"priority": 100 - position, "max_retries": 0, "timeout": profile::FIRST_BYTE});
            stage.add(dialect, &upstream, more).await;
            upstreams.push(upstream);
        }
        stage.most_attempts = N;
        stage.rest();
        (stage, upstreams.try_into().unwrap_or_else(|_| unreachable!("N upstreams were started")))
    }

    /// Without a provider.
    pub async fn bare(settings: &[(&str, &str)]) -> Self {
        Self::around(Gateway::with(&profile::with(settings)).await)
    }

    /// Around a gateway that was started in another way, without a provider.
    pub fn around(gateway: Gateway) -> Self {
        let client = Client::new(gateway.address(), API_KEY);
        Self {
            client,
            gateway,
            upstreams: Vec::new(),
            keys: BTreeMap::new(),
            before: Vitals::default(),
            lines: 0,
            most_attempts: 1,
            expected_errors: Vec::new(),
            troubled: 0,
        }
    }

    /// Adds a provider, and returns its id.
    pub async fn add(&mut self, dialect: Dialect, upstream: &Upstream, more: Value) -> i64 {
        let id = self.gateway.provider(upstream.name(), dialect.kind(), upstream, more).await;
        self.keys.insert(upstream.name().into(), format!("sk-of-{}", upstream.name()));
        self.upstreams.push(upstream.clone());
        id
    }

    /// From here on the check counts: everything is set up.
    pub fn rest(&mut self) {
        self.before = Vitals::of(self.gateway.pid());
        self.lines = self.gateway.output().lines().count();
    }

    pub async fn ask(&self, question: &Question) -> Reply {
        self.client.ask(question).await
    }

    /// A metric of the gateway's own, by its name and labels as they are written; zero where it has none.
    pub async fn metric(&self, name: &str) -> f64 {
        let text = self.gateway.admin("GET", "/metrics", Value::Null).await.assert_ok().text();
        samples(&text).get(&format!("llm_orchestrator_{name}")).copied().unwrap_or(0.0)
    }

    /// Waits until so many requests run.
    pub async fn is_running(&self, count: usize) {
        let run = async || (self.metric("requests_in_flight").await == count as f64).then_some(());
        eventually(&format!("{count} requests to run"), run).await;
    }

    /// Checks all rules once nothing runs any more.
    pub async fn check(self) {
        self.check_but(&[]).await;
    }

    /// The same without rules that a test breaks on purpose, such as by killing the process.
    pub async fn check_but(self, rules: &[Rule]) {
        judge(&self.evidence().await, rules);
    }

    /// The same where a client may have left before the gateway had read its question: whoever is unheard of in the log and
    /// at every upstream has not asked.
    pub async fn check_some_unheard(self) {
        let mut evidence = self.evidence().await;
        let mut heard: BTreeSet<String> = evidence.rows.iter().filter_map(|row| text(row, "request_id")).collect();
        heard.extend(evidence.attempts.iter().flat_map(|attempt| attempt.nonces.clone()));
        evidence.visits.retain(|visit| visit.left.is_none() || heard.contains(&visit.nonce));
        judge(&evidence, &[]);
    }

    /// The same with an upstream that a provider was moved to.
    pub async fn check_with(mut self, upstream: &Upstream, key: &str) {
        self.keys.insert(upstream.name().into(), key.into());
        self.upstreams.push(upstream.clone());
        self.check().await;
    }

    async fn evidence(&self) -> Evidence {
        let (metrics, after) = self.at_rest().await;
        let rows = self.gateway.admin("GET", "/admin/logs/export?format=jsonl", Value::Null).await;
        let rows = rows.assert_ok().text();
        let open_upstream = self.upstreams.iter().map(|upstream| upstream.load().connections).sum();
        let of = |upstream: &Upstream| -> Vec<Attempt> {
            upstream.seen().iter().map(|seen| Attempt::of(upstream.name(), seen)).collect()
        };
        let output = self.gateway.output();
        let log = output.lines().skip(self.lines).map(str::to_owned).collect();
        Evidence {
            visits: self.client.visits(),
            attempts: self.upstreams.iter().flat_map(of).collect(),
            metrics: samples(&metrics),
            keys: self.keys.clone(),
            secrets: vec![API_KEY.into(), ADMIN_KEY.into()],
            log,
            expected_errors: self.expected_errors.clone(),
            most_attempts: self.most_attempts,
            prompt: SOON,
            troubled: self.troubled,
            before: self.before,
            after,
            open_upstream,
            places: vec![
                ("the output".into(), output),
                ("the log".into(), rows.clone()),
                ("the metrics".into(), metrics),
            ],
            rows: rows.lines().map(|row| serde_json::from_str(row).expect("rows are JSON")).collect(),
        }
    }

    /// Waits until no request runs and every row is written, as long as their number falls, and then for files to be closed.
    /// Says what there is then, be it right or not.
    async fn at_rest(&self) -> (String, Vitals) {
        let mut deadline = tokio::time::Instant::now() + PATIENCE / 2;
        let mut unwritten = f64::INFINITY;
        loop {
            let metrics = self.gateway.admin("GET", "/metrics", Value::Null).await.assert_ok().text();
            let all = samples(&metrics);
            let gauge = |name: &str| all.get(&format!("llm_orchestrator_{name}")).copied().unwrap_or(0.0);
            let running = gauge("requests_in_flight");
            if gauge("log_rows_waiting") < unwritten {
                unwritten = gauge("log_rows_waiting");
                deadline = tokio::time::Instant::now() + PATIENCE / 2;
            }
            let vitals = Vitals { running: running as u64, ..Vitals::of(self.gateway.pid()) };
            let open: usize = self.upstreams.iter().map(|upstream| upstream.load().connections).sum();
            let quiet = running == 0.0
                && gauge("log_rows_waiting") == 0.0
                && vitals.files <= self.before.files + open + 4
                && self.upstreams.iter().all(|upstream| upstream.load().requests == 0);
            if quiet || tokio::time::Instant::now() > deadline {
                return (metrics, vitals);
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

/// Fails the test with what cannot be, but for the rules that it breaks on purpose.
fn judge(evidence: &Evidence, but: &[Rule]) {
    let found: Vec<_> = violations(evidence).into_iter().filter(|found| !but.contains(&found.rule)).collect();
    if !found.is_empty() {
        println!("{}", evidence.lines());
        panic!("{} things cannot be: {:#?}", found.len(), &found[..found.len().min(10)]);
    }
}

fn text(row: &Value, field: &str) -> Option<String> {
    row[field].as_str().map(str::to_owned)
}

fn samples(metrics: &str) -> BTreeMap<String, f64> {
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    let pairs = lines.filter_map(|line| line.rsplit_once(' '));
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}
