//! What a stream told its client, in whichever protocol.

use serde_json::Value;

use crate::support::{Dialect, Reply};

/// A stream as its reader understood it.
#[derive(Debug)]
pub struct Told {
    pub text: String,
    /// How often it began.
    pub beginnings: usize,
    pub errors: usize,
    /// Whether it said that it ended well.
    pub ended: bool,
    /// Whether something came after an error.
    pub after_error: bool,
}

impl Told {
    pub fn by(dialect: Dialect, reply: &Reply) -> Self {
        let mut told = Self { text: String::new(), beginnings: 0, errors: 0, ended: false, after_error: false };
        for data in reply.events() {
            if data == "[DONE]" {
                told.after_error |= told.errors > 0;
                told.ended = true;
                continue;
            }
            let event: Value = serde_json::from_str(&data).unwrap_or_else(|error| panic!("{error}: {data}"));
            // An answer of the newer protocol of OpenAI fails by an error, and then as an answer.
            told.after_error |= told.errors > 0 && event["type"] != "response.failed";
            told.hear(dialect, &event);
        }
        told
    }

    fn hear(&mut self, dialect: Dialect, event: &Value) {
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        let kind = event["type"].as_str().unwrap_or_default();
        self.errors += usize::from(kind == "error" || event["error"].is_object());
        match dialect {
            Dialect::OpenAi => {
                let delta = &event["choices"][0]["delta"];
                self.beginnings += usize::from(delta["role"].is_string());
                self.text += &text(&delta["content"]);
            }
            Dialect::Anthropic => {
                self.beginnings += usize::from(kind == "message_start");
                self.ended |= kind == "message_stop";
                self.text += &text(&event["delta"]["text"]);
            }
            Dialect::Gemini => {
                let candidate = &event["candidates"][0];
                self.ended |= candidate["finishReason"].is_string();
                self.text += &text(&candidate["content"]["parts"][0]["text"]);
            }
            Dialect::Responses => {
                self.beginnings += usize::from(kind == "response.created");
                self.ended |= kind == "response.completed";
                if kind == "response.output_text.delta" {
                    self.text += &text(&event["delta"]);
                }
            }
        }
    }
}
