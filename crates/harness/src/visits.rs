//! Clients that remember: every question has a mark of its own, and what became of it is kept for the check at the end.

use std::{
    collections::VecDeque,
    net::SocketAddr,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use serde_json::{Value, json};

use super::{Dialect, Leave, Raw, Reply, Request};

const MARK: &[u8] = b"nonce-";
/// Hexadecimal digits behind it.
const DIGITS: usize = 16;

/// Words of every prompt: nobody who handles it has a reason to keep them.
pub const PRIVATE: &str = "the-aardvark-keeps-this-to-itself";

/// A mark that no other question of this process has.
fn nonce() -> String {
    static NEXT: AtomicU64 = AtomicU64::new(1);
    // An odd factor keeps them apart, and makes them differ in more than their last digit.
    let number = NEXT.fetch_add(1, Ordering::Relaxed).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    format!("nonce-{number:016x}")
}

/// Every mark that a text holds.
pub fn nonces(text: &[u8]) -> impl Iterator<Item = String> {
    let whole = MARK.len() + DIGITS;
    text.windows(whole)
        .filter(|window| window.starts_with(MARK) && window[MARK.len()..].iter().all(u8::is_ascii_hexdigit))
        .map(|window| String::from_utf8_lossy(window).into_owned())
}

pub(crate) fn nonce_in(text: &[u8]) -> Option<String> {
    nonces(text).next()
}

/// What became of one question, as its client saw it.
#[derive(Clone, Debug)]
pub struct Visit {
    pub nonce: String,
    pub began: Instant,
    pub first_byte: Option<Instant>,
    /// When the client went before the answer was over.
    pub left: Option<Instant>,
    pub status: Option<u16>,
    pub complete: bool,
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

/// Something to ask, in a client's protocol.
#[derive(Clone, Debug)]
pub struct Question {
    pub nonce: String,
    dialect: Dialect,
    model: String,
    stream: bool,
    words: String,
    more: Value,
    headers: Vec<(String, String)>,
    target: Option<String>,
}

impl Question {
    /// In OpenAI's words.
    pub fn of(model: &str) -> Self {
        Self::by(Dialect::OpenAi, model)
    }

    /// In the words of a protocol.
    pub fn by(dialect: Dialect, model: &str) -> Self {
        Self {
            nonce: nonce(),
            dialect,
            model: model.into(),
            stream: false,
            words: String::new(),
            more: Value::Null,
            headers: Vec::new(),
            target: None,
        }
    }

    pub fn stream(mut self) -> Self {
        self.stream = true;
        self
    }

    /// Orders for upstreams ([`super::scenario`]), or anything else that the prompt is to hold.
    pub fn says(mut self, words: &str) -> Self {
        self.words = format!(" {words}");
        self
    }

    /// Fields on top of those that every question has.
    pub fn with(mut self, more: Value) -> Self {
        self.more = more;
        self
    }

    pub fn header(mut self, name: &str, value: &str) -> Self {
        self.headers.push((name.into(), value.into()));
        self
    }

    /// Sends a body of one's own to a path of one's own; [`Question::prompt`] is to stand in it.
    pub fn to(mut self, target: &str, body: Value) -> Self {
        self.target = Some(target.into());
        self.more = body;
        self
    }

    /// The words with the mark, by which upstreams know whose question it is, and with what is [`PRIVATE`].
    pub fn prompt(&self) -> String {
        format!("{} {PRIVATE}{}", self.nonce, self.words)
    }

    pub fn body(&self) -> Value {
        let prompt = self.prompt();
        let mut body = match self.dialect {
            _ if self.target.is_some() => return self.more.clone(),
            Dialect::OpenAi => json!({"model": self.model, "messages": [{"role": "user", "content": prompt}]}),
            Dialect::Responses => json!({"model": self.model, "input": prompt}),
            Dialect::Anthropic => json!({
                "model": self.model, "max_tokens": 64, "messages": [{"role": "user", "content": prompt}],
            }),
            Dialect::Gemini => json!({"contents": [{"role": "user", "parts": [{"text": prompt}]}]}),
        };
        if self.stream && self.dialect != Dialect::Gemini {
            body["stream"] = true.into();
        }
        for (name, value) in self.more.as_object().into_iter().flatten() {
            body[name] = value.clone();
        }
        body
    }

    fn path(&self) -> String {
        let (model, stream) = (&self.model, self.stream);
        match self.dialect {
            _ if self.target.is_some() => self.target.clone().unwrap_or_default(),
            Dialect::OpenAi => "/v1/chat/completions".into(),
            Dialect::Responses => "/v1/responses".into(),
            Dialect::Anthropic => "/v1/messages".into(),
            Dialect::Gemini if stream => format!("/v1beta/models/{model}:streamGenerateContent?alt=sse"),
            Dialect::Gemini => format!("/v1beta/models/{model}:generateContent"),
        }
    }

    pub fn request(&self, key: &str) -> Request {
        self.request_with(key, "application/json", self.body().to_string().into_bytes())
    }

    /// The same with a body that is written otherwise.
    pub fn request_with(&self, key: &str, kind: &str, body: Vec<u8>) -> Request {
        let request = Request::new("POST", &self.path()).bearer(key).header("X-Request-ID", &self.nonce);
        let request = request.header("Content-Type", kind).body(body);
        self.headers.iter().fold(request, |request, (name, value)| request.header(name, value))
    }
}

/// Somebody who asks with a key, and keeps what became of every question.
#[derive(Clone)]
pub struct Client {
    address: SocketAddr,
    key: String,
    visits: Arc<Mutex<Vec<Visit>>>,
}

impl Client {
    pub fn new(address: SocketAddr, key: &str) -> Self {
        Self { address, key: key.into(), visits: Arc::default() }
    }

    /// The same notes, with another key.
    pub fn with_key(&self, key: &str) -> Self {
        Self { key: key.into(), ..self.clone() }
    }

    /// The same notes, at another address.
    pub fn at(&self, address: SocketAddr) -> Self {
        Self { address, ..self.clone() }
    }

    pub fn visits(&self) -> Vec<Visit> {
        self.visits.lock().expect("no holder panics").clone()
    }

    /// A connection for any number of questions.
    pub async fn line(&self) -> Line {
        Line { raw: Some(Raw::connect(self.address).await), client: self.clone(), waiting: VecDeque::new() }
    }

    /// The same on one that takes little from the network before it is read.
    pub async fn narrow_line(&self) -> Line {
        Line { raw: Some(Raw::narrow(self.address).await), client: self.clone(), waiting: VecDeque::new() }
    }

    /// Asks on a connection of its own.
    pub async fn ask(&self, question: &Question) -> Reply {
        self.line().await.ask(question).await
    }

    /// The same where the server may be gone, or go away before it answers.
    pub async fn try_ask(&self, question: &Question) -> Option<Reply> {
        let raw = Raw::try_connect(self.address).await?;
        let mut line = Line { raw: Some(raw), client: self.clone(), waiting: VecDeque::new() };
        line.send(question).await;
        line.try_reply().await
    }

    /// Asks on a connection of its own, and leaves the answer to be read.
    pub async fn begin(&self, question: &Question) -> Line {
        let mut line = self.line().await;
        line.send(question).await;
        line
    }

    fn note(&self, visit: Visit) {
        self.visits.lock().expect("no holder panics").push(visit);
    }
}

/// A connection with questions on it whose answers were not read yet. Dropped with such, its client has left.
pub struct Line {
    raw: Option<Raw>,
    client: Client,
    waiting: VecDeque<(String, Instant)>,
}

impl Line {
    /// The connection itself.
    pub fn raw(&mut self) -> &mut Raw {
        self.raw.as_mut().expect("only leaving takes it")
    }

    /// The key that it asks with.
    pub fn key(&self) -> &str {
        &self.client.key
    }

    pub async fn send(&mut self, question: &Question) {
        self.send_with(question, b"").await;
    }

    /// Sends more bytes right behind the question.
    pub async fn send_with(&mut self, question: &Question, behind: &[u8]) {
        let bytes = [&question.request(&self.client.key).bytes(), behind].concat();
        self.send_as(question, &bytes).await;
    }

    /// Sends these bytes, which are the question as the test wants it written.
    pub async fn send_as(&mut self, question: &Question, bytes: &[u8]) {
        self.waiting.push_back((question.nonce.clone(), Instant::now()));
        self.raw().send(bytes).await;
    }

    /// Sends several in one go.
    pub async fn send_all(&mut self, questions: &[Question]) {
        let key = self.client.key.clone();
        let bytes: Vec<u8> = questions.iter().flat_map(|question| question.request(&key).bytes()).collect();
        let now = Instant::now();
        self.waiting.extend(questions.iter().map(|question| (question.nonce.clone(), now)));
        self.raw().send(&bytes).await;
    }

    /// Sends bytes that are no question of ours, or a part of one.
    pub async fn send_bytes(&mut self, bytes: &[u8]) -> bool {
        self.raw().send(bytes).await
    }

    pub async fn until(&mut self, text: &str) {
        self.raw().until(text).await;
    }

    /// The answer to the oldest question.
    pub async fn reply(&mut self) -> Reply {
        self.try_reply().await.expect("the server answers before it closes")
    }

    /// The same where the server may go away before it answers.
    pub async fn try_reply(&mut self) -> Option<Reply> {
        let reply = self.raw().try_reply().await?;
        if let Some((nonce, began)) = self.waiting.pop_front() {
            self.client.note(Visit {
                nonce,
                began,
                first_byte: reply.first_byte,
                left: None,
                status: Some(reply.status),
                complete: reply.complete,
                headers: reply.headers.clone(),
                body: reply.body.clone(),
            });
        }
        Some(reply)
    }

    pub async fn ask(&mut self, question: &Question) -> Reply {
        self.send(question).await;
        self.reply().await
    }

    /// Goes without waiting for what is still to come, and says when.
    pub async fn leave(mut self, how: Leave) -> Instant {
        let raw = self.raw.take().expect("only leaving takes it");
        let (first_byte, read) = (raw.first_byte(), raw.read_so_far().to_vec());
        let (left, half) = raw.leave(how).await;
        self.left_at(left, first_byte, &read);
        // Whoever closed only its own side stays until the server closes the other.
        if let Some(mut half) = half {
            half.end().await;
        }
        left
    }

    fn left_at(&mut self, left: Instant, first_byte: Option<Instant>, read: &[u8]) {
        for (nonce, began) in self.waiting.drain(..) {
            self.client.note(Visit {
                nonce,
                began,
                first_byte,
                left: Some(left),
                status: None,
                complete: false,
                headers: Vec::new(),
                body: read.to_vec(),
            });
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if let Some(raw) = self.raw.take() {
            let (first_byte, read) = (raw.first_byte(), raw.read_so_far().to_vec());
            drop(raw);
            self.left_at(Instant::now(), first_byte, &read);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_are_found_wherever_they_stand_and_never_twice_the_same() {
        let (one, other) = (nonce(), nonce());
        assert_ne!(one, other);
        let text = format!("x{one}y nonce-short {other}{one}");
        assert_eq!(nonces(text.as_bytes()).collect::<Vec<_>>(), [one.clone(), other, one]);
        assert_eq!(nonce_in(b"nonce-"), None);
    }

    #[test]
    fn a_question_carries_its_mark_in_the_words_of_every_protocol() {
        for dialect in Dialect::ALL {
            let question = Question::by(dialect, "m").stream().says("mock:a/silent").with(json!({"extra": 1}));
            let bytes = question.request("key").bytes();
            let text = String::from_utf8(bytes).unwrap();
            assert_eq!(nonce_in(question.body().to_string().as_bytes()), Some(question.nonce.clone()));
            assert!(text.contains("mock:a/silent") && text.contains("\"extra\":1"), "{text}");
            assert!(text.contains(&format!("X-Request-ID: {}", question.nonce)), "{text}");
        }
    }
}
