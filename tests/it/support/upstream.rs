//! A provider that does as it is told: it answers, stalls, cuts, resets and lies, and writes down what it was asked.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{Arc, Mutex},
    time::Instant,
};

use serde_json::{Value, json};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{
        TcpListener, TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::watch,
};

use super::{
    Dialect, PATIENCE, eventually,
    script::{End, Framing, Script, Step},
};

/// A request as the upstream got it.
#[derive(Clone, Debug)]
pub struct Seen {
    pub method: String,
    pub path: String,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
    pub at: Instant,
    closed: watch::Receiver<Option<Instant>>,
}

impl Seen {
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
        let mut closed = self.closed.clone();
        let seen = tokio::time::timeout(PATIENCE, closed.wait_for(Option::is_some)).await;
        let seen = seen.expect("the gateway closes the connection to the upstream");
        seen.expect("the answer is not over before the peer closes").expect("it was waited for")
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
    models: Option<Script>,
    gemini_models: Option<Script>,
    seen: Vec<Seen>,
    model_lists: usize,
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

    pub fn seen(&self) -> Vec<Seen> {
        self.state().seen.clone()
    }

    /// The last request, when there is one.
    pub fn last(&self) -> Seen {
        self.state().seen.last().cloned().expect("the upstream was asked")
    }

    /// Waits for the n-th request, counted from one.
    pub async fn call(&self, number: usize) -> Seen {
        eventually(&format!("request {number} at {}", self.name), async || self.seen().get(number - 1).cloned()).await
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
        connections.spawn(serve(socket, Arc::clone(&name), Arc::clone(&state)));
    }
}

async fn serve(socket: TcpStream, name: Arc<str>, state: Arc<Mutex<State>>) {
    let (mut reader, mut writer) = socket.into_split();
    let mut buffer = Vec::new();
    while let Some(asked) = read_request(&mut reader, &mut buffer).await {
        let (closed, watcher) = watch::channel(None);
        let script = choose(&name, &state, &asked, watcher);
        let finished = tokio::select! {
            finished = perform(&mut writer, &script) => finished,
            () = gone(&mut reader) => {
                closed.send_replace(Some(Instant::now()));
                return;
            }
        };
        if !finished {
            return;
        }
    }
}

/// A request's head and body.
struct Asked {
    method: String,
    path: String,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

/// How the pages end on which vendors list what they serve.
const LISTS: [&str; 4] = ["/models", "/deployments", "/foundation-models", "/inference-profiles"];

fn choose(name: &str, state: &Mutex<State>, asked: &Asked, closed: watch::Receiver<Option<Instant>>) -> Script {
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
        at: Instant::now(),
        closed,
    };
    let script = state.queue.pop_front().or_else(|| state.always.clone());
    let script = script.or_else(|| state.answering.as_ref().map(|answering| answering(&seen)));
    let script = script.or_else(|| is_get.then(|| Script::error(404, "No such page")));
    state.seen.push(seen);
    let echo = body["messages"].as_array().and_then(|messages| messages.last()?["content"].as_str());
    let text = echo.filter(|_| state.echo).map_or_else(|| format!("Hello from {name}"), str::to_owned);
    script.unwrap_or_else(|| saying(&text, &asked.path, &body))
}

/// An answer in the dialect of the request, as a stream if it asks for one.
fn saying(text: &str, path: &str, body: &Value) -> Script {
    let dialect = Dialect::of(path.split('?').next().unwrap_or_default());
    if body["stream"] == true || path.contains("streamGenerateContent") {
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

/// Says whether the connection can be used again.
async fn perform(writer: &mut OwnedWriteHalf, script: &Script) -> bool {
    tokio::time::sleep(script.wait).await;
    if let Some(status) = script.status {
        if writer.write_all(&script.head(status)).await.is_err() {
            return std::future::pending().await;
        }
        for step in &script.steps {
            let written = match step {
                Step::Pause(pause) => {
                    tokio::time::sleep(*pause).await;
                    Ok(())
                }
                Step::Send(bytes) if bytes.is_empty() => Ok(()),
                Step::Send(bytes) if script.framing == Framing::Chunked => {
                    let chunk = [format!("{:x}\r\n", bytes.len()).as_bytes(), bytes, b"\r\n"].concat();
                    writer.write_all(&chunk).await
                }
                Step::Send(bytes) => writer.write_all(bytes).await,
            };
            if written.is_err() {
                // The peer is gone; whoever watches for that says so.
                return std::future::pending().await;
            }
        }
    }
    match script.end {
        End::Whole if script.framing == Framing::Chunked => writer.write_all(b"0\r\n\r\n").await.is_ok(),
        End::Whole => script.framing == Framing::Length,
        End::Cut => false,
        End::Reset => {
            writer.as_ref().set_zero_linger().ok();
            false
        }
        End::Stall => std::future::pending().await,
    }
}

async fn read_request(reader: &mut OwnedReadHalf, buffer: &mut Vec<u8>) -> Option<Asked> {
    let end = loop {
        if let Some(end) = buffer.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
        more(reader, buffer).await?;
    };
    let head: Vec<u8> = buffer.drain(..end + 4).collect();
    let head = String::from_utf8(head).ok()?;
    let mut lines = head.lines();
    let mut line = lines.next()?.split(' ');
    let (method, path) = (line.next()?.to_owned(), line.next()?.to_owned());
    let pair = |line: &str| line.split_once(':').map(|(name, value)| (name.to_owned(), value.trim().to_owned()));
    let headers: Vec<(String, String)> = lines.filter_map(pair).collect();
    let value = |name: &str| headers.iter().find(|(known, _)| known.eq_ignore_ascii_case(name)).map(|(_, value)| value);
    let body = if value("transfer-encoding").is_some() {
        read_chunks(reader, buffer).await?
    } else {
        let length = value("content-length").and_then(|value| value.parse().ok()).unwrap_or(0);
        take(reader, buffer, length).await?
    };
    Some(Asked { method, path, headers, body })
}

async fn read_chunks(reader: &mut OwnedReadHalf, buffer: &mut Vec<u8>) -> Option<Vec<u8>> {
    let mut body = Vec::new();
    loop {
        let end = loop {
            if let Some(end) = buffer.windows(2).position(|window| window == b"\r\n") {
                break end;
            }
            more(reader, buffer).await?;
        };
        let line = take(reader, buffer, end + 2).await?;
        let length = usize::from_str_radix(std::str::from_utf8(&line).ok()?.trim(), 16).ok()?;
        let chunk = take(reader, buffer, length + 2).await?;
        body.extend_from_slice(&chunk[..length]);
        if length == 0 {
            return Some(body);
        }
    }
}

async fn take(reader: &mut OwnedReadHalf, buffer: &mut Vec<u8>, length: usize) -> Option<Vec<u8>> {
    while buffer.len() < length {
        more(reader, buffer).await?;
    }
    Some(buffer.drain(..length).collect())
}

async fn more(reader: &mut OwnedReadHalf, buffer: &mut Vec<u8>) -> Option<()> {
    reader.read_buf(buffer).await.ok().filter(|count| *count > 0).map(|_| ())
}
