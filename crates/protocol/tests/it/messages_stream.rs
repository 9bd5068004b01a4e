//! A client of Anthropic's protocol that accepts no stream but a correct one.

use llm_protocol::sse::Framer;
use serde_json::Value;

/// How a stream ended.
#[derive(Debug, PartialEq, Eq)]
pub enum End {
    /// With `message_stop`.
    Well,
    /// With an error.
    Failed,
}

#[derive(Default)]
struct Checker {
    started: bool,
    /// Index and type of the open block.
    open: Option<(u64, String)>,
    blocks: u64,
    finished: bool,
    end: Option<End>,
}

/// Reads a whole stream; panics with what is wrong about it.
pub fn check(stream: &[u8]) -> End {
    let mut framer = Framer::new(1 << 24);
    framer.push(stream);
    let mut checker = Checker::default();
    while let Some(frame) = framer.next_frame().expect("events are short") {
        let data = frame.data.expect("every event has data");
        let message: Value = serde_json::from_slice(&data).expect("data is JSON");
        let name = frame.event.expect("every event has a name");
        assert_eq!(message["type"].as_str().map(str::as_bytes), Some(&*name), "the name is the type");
        checker.message(&message);
    }
    assert!(framer.finish().is_none(), "the last event is complete");
    checker.end.expect("the stream has an end")
}

impl Checker {
    fn message(&mut self, message: &Value) {
        assert_eq!(self.end, None, "{message} after the end");
        let kind = message["type"].as_str().unwrap_or_default();
        assert!(self.started || matches!(kind, "message_start" | "error"), "{kind} before message_start");
        match kind {
            "message_start" => self.start(&message["message"]),
            "ping" => {}
            "content_block_start" => self.open(message),
            "content_block_delta" => self.delta(message),
            "content_block_stop" => {
                let (index, _) = self.open.take().expect("a block is open");
                assert_eq!(message["index"], index);
            }
            "message_delta" => {
                assert!(self.open.is_none() && !self.finished, "{message} in its place");
                assert!(message["delta"]["stop_reason"].is_string(), "{message}");
                assert!(message["delta"].get("stop_sequence").is_some(), "{message}");
                counted(&message["usage"]);
                self.finished = true;
            }
            "message_stop" => {
                assert!(self.finished, "message_stop without message_delta");
                self.end = Some(End::Well);
            }
            "error" => {
                assert!(message["error"]["type"].is_string() && message["error"]["message"].is_string(), "{message}");
                self.end = Some(End::Failed);
            }
            other => panic!("{other} is no event of this protocol"),
        }
    }

    fn start(&mut self, message: &Value) {
        assert!(!std::mem::replace(&mut self.started, true), "message_start twice");
        assert!(message["id"].as_str().is_some_and(|id| id.starts_with("msg_")), "{message}");
        assert_eq!((&message["type"], &message["role"]), (&"message".into(), &"assistant".into()));
        assert!(message["model"].as_str().is_some_and(|model| !model.is_empty()), "{message}");
        assert!(message["content"].as_array().is_some_and(Vec::is_empty), "{message}");
        assert!(message["stop_reason"].is_null() && message["stop_sequence"].is_null(), "{message}");
        counted(&message["usage"]);
    }

    fn open(&mut self, message: &Value) {
        assert!(self.open.is_none() && !self.finished, "blocks overlap: {message}");
        assert_eq!(message["index"], self.blocks, "blocks are counted");
        let block = &message["content_block"];
        let filled = |key: &str| block[key].as_str().is_some_and(|text| !text.is_empty());
        let kind = block["type"].as_str().expect("a block has a type");
        match kind {
            "text" => assert_eq!(block["text"], ""),
            "thinking" => assert_eq!((&block["thinking"], &block["signature"]), (&"".into(), &"".into())),
            "redacted_thinking" => assert!(filled("data"), "{block}"),
            "tool_use" => {
                assert!(filled("id") && block["name"].is_string(), "{block}");
                assert!(block["input"].as_object().is_some_and(serde_json::Map::is_empty), "{block}");
            }
            other => panic!("{other} is no block of an answer made here"),
        }
        self.open = Some((self.blocks, kind.to_owned()));
        self.blocks += 1;
    }

    fn delta(&self, message: &Value) {
        let (index, kind) = self.open.as_ref().expect("a delta stands in a block");
        assert_eq!(message["index"], *index);
        let delta = &message["delta"];
        let filled = |key: &str| delta[key].as_str().is_some_and(|text| !text.is_empty());
        match (kind.as_str(), delta["type"].as_str().unwrap_or_default()) {
            ("text", "text_delta") => assert!(filled("text"), "{delta}"),
            ("text", "citations_delta") => assert!(delta["citation"]["type"].is_string(), "{delta}"),
            ("thinking", "thinking_delta") => assert!(filled("thinking"), "{delta}"),
            ("thinking", "signature_delta") => assert!(filled("signature"), "{delta}"),
            ("tool_use", "input_json_delta") => assert!(filled("partial_json"), "{delta}"),
            (block, delta) => panic!("{delta} in a block of {block}"),
        }
    }
}

fn counted(usage: &Value) {
    for key in ["input_tokens", "cache_creation_input_tokens", "cache_read_input_tokens", "output_tokens"] {
        assert!(usage[key].is_u64(), "{key} of {usage}");
    }
}
