//! A provider that does as it is told: it answers, stalls, cuts, resets and lies, and writes down what it was asked.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use serde_json::{Value, json};
use tokio::{
    io::AsyncWriteExt,
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
    time::timeout,
};

use super::{
    Dialect, PATIENCE, eventually,
    scenario::Scenario,
    script::{End, Framing, Script, Step},
    visits::nonce_in,
    wire::{Asked, read_request},
};

/// What became of a request at an upstream.
#[derive(Clone, Copy, Debug, Default)]
pub struct Life {
    /// When the answer's first byte was written.
    pub first_byte: Option<Instant>,
    /// When the last piece that was written whole was begun.
    pub last_byte: Option<Instant>,
    pub writes: usize,
    /// When the answer was over, as the script has it.
    pub ended: Option<Instant>,
    /// When the peer closed the connection before that.
    pub closed: Option<Instant>,
}

/// How much runs at an upstream at the same time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Load {
    pub requests: usize,
    pub most_requests: usize,
    pub connections: usize,
    /// Connections ever accepted.
    pub accepted: usize,
}

/// A request as the upstream got it.
#[derive(Clone, Debug)]
pub struct Seen {
    /// Whether its connection had carried another request before.
    pub reused: bool,
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub at: Instant,
    life: watch::Receiver<Life>,
}

impl Seen {
    /// What became of it so far.
    pub fn life(&self) -> Life {
        *self.life.borrow()
    }

    /// Whether a connection that had been used before ended without a byte of an answer. Nobody can know then whether the
    /// request was read, and it may be sent once more.
    pub fn is_stale(&self) -> bool {
        let life = self.life();
        self.reused && life.first_byte.is_none() && life.ended.is_some()
    }

    /// The mark by which its client knows it, where it has one.
    pub fn nonce(&self) -> Option<String> {
        nonce_in(&self.body).or_else(|| nonce_in(self.path.as_bytes()))
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name));
        found.map(|(_, value)| value.as_str())
    }

    /// A field of a form.
    pub fn field(&self, name: &str) -> Option<String> {
        let pairs = form_urlencoded::parse(&self.body).into_owned();
        pairs.into_iter().find(|(known, _)| known == name).map(|(_, value)| value)
    }

    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("the gateway sends JSON")
    }

    /// Waits for the moment when the peer closed the connection before the answer was over.
    pub async fn closed(&self) -> Instant {
        let mut life = self.life.clone();
        let seen = tokio::time::timeout(PATIENCE, life.wait_for(|life| life.closed.is_some())).await;
        let seen = seen.expect("the gateway closes the connection to the upstream");
        let closed = seen.expect("the answer is not over before the peer closes").closed;
        closed.expect("it was waited for")
    }
}

/// What an upstream answers, told by what it is asked.
type Answering = Arc<dyn Fn(&Seen) -> Script + Send + Sync>;

#[derive(Default)]
struct State {
    answering: Option<Answering>,
    echo: bool,
    queue: VecDeque<Script>,
    always: Option<Script>,
    /// How long a connection may idle.
    patience: Option<Duration>,
    models: Option<Script>,
    gemini_models: Option<Script>,
    seen: Vec<Seen>,
    model_lists: usize,
    load: Load,
}

/// A scripted upstream on a port of its own. Unless told otherwise it says `Hello from NAME` in the asker's dialect.
#[derive(Clone)]
pub struct Upstream {
    name: Arc<str>,
    address: SocketAddr,
    state: Arc<Mutex<State>>,
    accepting: Arc<tokio::task::JoinHandle<()>>,
}

impl Drop for Upstream {
    fn drop(&mut self) {
        if Arc::strong_count(&self.accepting) == 1 {
            self.accepting.abort();
        }
    }
}

impl Upstream {
    pub async fn start(name: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        let address = listener.local_addr().expect("a bound socket has an address");
        let state = Arc::new(Mutex::new(State::default()));
        let name: Arc<str> = name.into();
        let accepting = tokio::spawn(accept(listener, Arc::clone(&name), Arc::clone(&state)));
        Self { name, address, state, accepting: Arc::new(accepting) }
    }

    /// A base URL where nobody listens.
    pub async fn nowhere() -> String {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port is free");
        format!("http://{}", listener.local_addr().expect("a bound socket has an address"))
    }

    pub fn name(&self) -> &str {
        &self.name
    }

    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    // === Instructions ===

    /// Answers the next request so; later calls queue behind earlier ones.
    pub fn next(&self, script: Script) -> &Self {
        self.state().queue.push_back(script);
        self
    }

    /// Answers every request so that no queued script is left for.
    pub fn always(&self, script: Script) -> &Self {
        self.state().always = Some(script);
        self
    }

    /// Answers each request as its contents ask for, where no script says otherwise.
    pub fn answers_by(&self, answering: impl Fn(&Seen) -> Script + Send + Sync + 'static) -> &Self {
        self.state().answering = Some(Arc::new(answering));
        self
    }

    /// Answers each request with the words of its last message.
    pub fn echoes(&self) -> &Self {
        self.state().echo = true;
        self
    }

    /// Closes connections that have idled for so long, as servers do.
    pub fn closes_idle_after(&self, patience: Duration) -> &Self {
        self.state().patience = Some(patience);
        self
    }

    /// Goes back to saying hello.
    pub fn heal(&self) -> &Self {
        let mut state = self.state();
        state.queue.clear();
        state.always = None;
        drop(state);
        self
    }

    /// Lists its models so, rather than saying that it does not know that page.
    pub fn lists(&self, models: &[&str]) -> &Self {
        let rows: Vec<Value> = models.iter().map(|id| json!({"id": id, "object": "model"})).collect();
        let gemini: Vec<Value> = models.iter().map(|id| json!({"name": format!("models/{id}")})).collect();
        self.state().gemini_models = Some(Script::json(200, &json!({"models": gemini})));
        self.lists_by(Script::json(200, &json!({"object": "list", "data": rows, "has_more": false})))
    }

    pub fn lists_by(&self, script: Script) -> &Self {
        self.state().models = Some(script);
        self
    }

    // === What happened ===

    /// How many requests came, those for the list of models not counted.
    pub fn calls(&self) -> usize {
        self.state().seen.len()
    }

    /// How often the list of models was asked for.
    pub fn model_lists(&self) -> usize {
        self.state().model_lists
    }

    /// Waits until the list of models was asked for so often, and answered.
    pub async fn asked_for_models(&self, count: usize) {
        let asked = async || (self.model_lists() >= count).then_some(());
        eventually(&format!("the list of models of {} to be asked for", self.name), asked).await;
    }

    /// Whether it was told to list models.
    pub fn has_models(&self) -> bool {
        self.state().models.as_ref().is_some_and(Script::is_success)
    }

    /// How much runs there now, and ran at most.
    pub fn load(&self) -> Load {
        self.state().load
    }

    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// The last request, when there is one.
    pub fn last(&self) -> Seen {
        self.state().seen.last().cloned().expect("the upstream was asked")
    }

    /// Waits for the n-th request, counted from one.
    pub async fn call(&self, number: usize) -> Seen {
        let seen = async || self.state().seen.get(number - 1).cloned();
        eventually(&format!("request {number} at {}", self.name), seen).await
    }

    fn state(&self) -> std::sync::MutexGuard<'_, State> {
        self.state.lock().expect("no holder panics")
    }
}

async fn accept(listener: TcpListener, name: Arc<str>, state: Arc<Mutex<State>>) {
    // Connections end with the upstream: what is dropped here is aborted.
    let mut connections = tokio::task::JoinSet::new();
    while let Ok((socket, _)) = listener.accept().await {
        socket.set_nodelay(true).ok();
        state.lock().expect("no holder panics").load.accepted += 1;
        connections.spawn(serve(socket, Arc::clone(&name), Arc::clone(&state)));
    }
}

const FOR_EVER: Duration = Duration::from_secs(86_400);

async fn serve(socket: TcpStream, name: Arc<str>, state: Arc<Mutex<State>>) {
    let mut reused = false;
    let _connection = Counted::one_more(&state, |load| &mut load.connections);
    let (mut reader, mut writer) = socket.into_split();
    let mut buffer = Vec::new();
    loop {
        let patience = state.lock().expect("no holder panics").patience.unwrap_or(FOR_EVER);
        let Ok(Some(asked)) = timeout(patience, read_request(&mut reader, &mut buffer)).await else { return };
        let (life, watcher) = watch::channel(Life::default());
        let script = choose(&name, &state, &asked, reused, watcher);
        reused = true;
        let _request = Counted::one_more(&state, |load| &mut load.requests);
        let after = tokio::select! {
            after = perform(&mut writer, &script, &life) => after,
            () = gone(&mut reader) => {
                life.send_modify(|life| life.closed = Some(Instant::now()));
                return;
            }
        };
        life.send_modify(|life| life.ended = Some(Instant::now()));
        match after {
            After::Next => {}
            After::Close => return,
            After::Reset => {
                writer.as_ref().set_zero_linger().ok();
                // Dropped it would say goodbye first.
                return writer.forget();
            }
        }
    }
}

/// One of those that a gauge counts, for as long as it lives.
struct Counted<'a> {
    state: &'a Mutex<State>,
    gauge: fn(&mut Load) -> &mut usize,
}

impl<'a> Counted<'a> {
    fn one_more(state: &'a Mutex<State>, gauge: fn(&mut Load) -> &mut usize) -> Self {
        let load = &mut state.lock().expect("no holder panics").load;
        *gauge(load) += 1;
        load.most_requests = load.most_requests.max(load.requests);
        Self { state, gauge }
    }
}

impl Drop for Counted<'_> {
    fn drop(&mut self) {
        // A test that fails may have poisoned it, and counts nothing any more.
        if let Ok(mut state) = self.state.lock() {
            *(self.gauge)(&mut state.load) -= 1;
        }
    }
}

/// How the pages end on which vendors list what they serve.
const LISTS: [&str; 4] = ["/models", "/deployments", "/foundation-models", "/inference-profiles"];

fn choose(name: &str, state: &Mutex<State>, asked: &Asked, reused: bool, life: watch::Receiver<Life>) -> Script {
    let mut state = state.lock().expect("no holder panics");
    let is_get = asked.method == "GET";
    if is_get && asked.path.split('?').next().is_some_and(|path| LISTS.iter().any(|list| path.ends_with(list))) {
        state.model_lists += 1;
        let gemini = asked.path.starts_with("/v1beta").then(|| state.gemini_models.clone()).flatten();
        return gemini.or_else(|| state.models.clone()).unwrap_or_else(|| Script::error(404, "No such page"));
    }
    let body: Value = serde_json::from_slice(&asked.body).unwrap_or_default();
    let seen = Seen {
        method: asked.method.clone(),
        path: asked.path.clone(),
        headers: asked.headers.clone(),
        body: asked.body.clone(),
        reused,
        at: Instant::now(),
        life,
    };
    let scenario = || Scenario::for_upstream(name, &seen);
    let script = state.queue.pop_front().or_else(scenario).or_else(|| state.always.clone());
    let script = script.or_else(|| state.answering.as_ref().map(|answering| answering(&seen)));
    let script = script.or_else(|| is_get.then(|| Script::error(404, "No such page")));
    let nonce = seen.nonce();
    state.seen.push(seen);
    let echo = body["messages"].as_array().and_then(|messages| messages.last()?["content"].as_str());
    let text = echo.filter(|_| state.echo).map_or_else(|| greeting(name, nonce), str::to_owned);
    script.unwrap_or_else(|| saying(&text, &asked.path, &body))
}

/// What an upstream says that was told nothing else: who it is, and the asker's mark if there is one.
pub(crate) fn greeting(name: &str, nonce: Option<String>) -> String {
    nonce.map_or_else(|| format!("Hello from {name}"), |nonce| format!("Hello {nonce} from {name}"))
}

/// Whether a request asks for its answer as a stream.
pub(crate) fn wants_stream(path: &str, body: &Value) -> bool {
    body["stream"] == true || path.contains("streamGenerateContent")
}

/// An answer in the dialect of the request, as a stream if it asks for one.
fn saying(text: &str, path: &str, body: &Value) -> Script {
    let dialect = Dialect::of(path.split('?').next().unwrap_or_default());
    if wants_stream(path, body) {
        let (first, rest) = text.split_at(5);
        return Script::sse(&dialect.stream(&[first, rest]));
    }
    Script::json(200, &dialect.whole(text))
}

/// Ends when the peer has closed or reset the connection.
async fn gone(reader: &mut OwnedReadHalf) {
    let mut byte = [0];
    if matches!(reader.peek(&mut byte).await, Ok(count) if count > 0) {
        std::future::pending::<()>().await;
    }
}

/// What becomes of a connection once an answer is over.
enum After {
    Next,
    Close,
    Reset,
}

async fn perform(writer: &mut OwnedWriteHalf, script: &Script, life: &watch::Sender<Life>) -> After {
    tokio::time::sleep(script.wait).await;
    if let Some(status) = script.status {
        write(writer, &script.head(status), life).await;
    }
    for step in &script.steps {
        match step {
            Step::Pause(pause) => tokio::time::sleep(*pause).await,
            Step::Send(bytes) if bytes.is_empty() => {}
            Step::Send(bytes) if script.framing == Framing::Chunked => {
                let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
                write(writer, &chunk, life).await;
            }
            Step::Send(bytes) => write(writer, bytes, life).await,
        }
    }
    match script.end {
        End::Whole if script.framing == Framing::Chunked => {
            write(writer, b"0\r\n\r\n", life).await;
            After::Next
        }
        End::Whole if script.framing == Framing::Length => After::Next,
        End::Whole | End::Cut => After::Close,
        End::Reset => After::Reset,
        End::Stall => std::future::pending().await,
    }
}

/// Writes all of it, or waits for whoever notices that the peer is gone.
async fn write(writer: &mut OwnedWriteHalf, bytes: &[u8], life: &watch::Sender<Life>) {
    // Taken first: the peer may have all of it, and act on it, before this task goes on.
    let now = Instant::now();
    if writer.write_all(bytes).await.is_err() {
        std::future::pending::<()>().await;
    }
    life.send_modify(|life| {
        life.first_byte.get_or_insert(now);
        life.last_byte = Some(now);
        life.writes += 1;
    });
}
