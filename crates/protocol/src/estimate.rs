//! How many tokens a request probably takes, where nobody can be asked.
//!
//! Every vendor cuts text in its own way, so this is a rule of thumb, meant to be rather too high than too low: a word of
//! six letters is a token and longer ones are more, three digits are one, two different marks in a row are one, white space
//! beyond one blank is one, a character of a script without blanks is one, two characters of any other script are one.

use crate::{
    ir::{Media, MediaSource, Part, Request, ResponseFormat, Tool},
    json::Json,
};

/// What stands around each message.
const PER_MESSAGE: u64 = 4;

/// What stands around each tool and each call of one.
const PER_TOOL: u64 = 8;

/// A picture of usual size, a minute of sound, a few pages of a document.
const PER_MEDIUM: u64 = 1500;

/// Bytes of a document's base64 that take as much as [`PER_MEDIUM`].
const MEDIUM_BYTES: u64 = 100_000;

/// Tokens of the whole prompt: system text, conversation, tools and the answer's schema.
pub fn tokens(request: &Request) -> u64 {
    let messages = request.messages.iter().map(|message| PER_MESSAGE + parts(&message.parts));
    let format = match &request.response_format {
        Some(ResponseFormat::JsonSchema { schema, .. }) => json(schema),
        _ => 0,
    };
    parts(&request.system) + messages.sum::<u64>() + request.tools.iter().map(tool).sum::<u64>() + format + 3
}

fn parts(parts: &[Part]) -> u64 {
    parts.iter().map(part).sum()
}

fn part(part: &Part) -> u64 {
    match part {
        Part::Text(part) => text(&part.text),
        Part::Refusal(part) => text(part),
        Part::Reasoning(part) => text(&part.text),
        Part::Media(part) => medium(part),
        Part::ToolCall(call) => PER_TOOL + text(&call.name) + text(&call.arguments),
        Part::ToolResult(result) => PER_TOOL + parts(&result.content),
        Part::Opaque { raw, .. } => json(raw),
    }
}

fn medium(media: &Media) -> u64 {
    let document = matches!(media.kind, crate::ir::MediaKind::Document);
    match &media.source {
        MediaSource::Base64(data)
            if document && media.mime.as_deref().is_some_and(|mime| mime.starts_with("text/")) =>
        {
            // Four digits of base64 are three bytes, and those most of a token.
            data.len() as u64 / 4
        }
        MediaSource::Base64(data) if document => PER_MEDIUM * (1 + data.len() as u64 / MEDIUM_BYTES),
        _ => PER_MEDIUM,
    }
}

fn tool(tool: &Tool) -> u64 {
    let described = |name: &str, about: &Option<String>, more: &Option<Json>| {
        text(name) + about.as_deref().map_or(0, text) + more.as_ref().map_or(0, json)
    };
    PER_TOOL
        + match tool {
            Tool::Function(tool) => described(&tool.name, &tool.description, &tool.parameters),
            Tool::Custom { name, description, format, .. } => described(name, description, format),
            Tool::Hosted { raw, .. } => json(raw),
        }
}

fn json(value: &Json) -> u64 {
    text(&value.to_string())
}

/// Tokens of a text.
pub fn text(text: &str) -> u64 {
    let (mut tokens, mut others) = (0, 0u64);
    let mut rest = text.chars().peekable();
    while let Some(first) = rest.next() {
        let sort = Sort::of(first);
        let (mut run, mut last) = (1u64, first);
        while let Some(next) = rest.next_if(|next| sort.goes_on(first, *next)) {
            // A mark repeated is a line, not so many words.
            run += u64::from(sort != Sort::Mark || next != last);
            last = next;
        }
        match sort {
            Sort::Word => tokens += run.div_ceil(6),
            Sort::Digits => tokens += run.div_ceil(3),
            // The blank before a word is part of it.
            Sort::Blank if first == ' ' && run == 1 => {}
            Sort::Blank => tokens += run.div_ceil(16),
            Sort::Mark => tokens += run.div_ceil(2),
            Sort::Dense => tokens += run,
            Sort::Other => others += run,
        }
    }
    tokens + others.div_ceil(2)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Sort {
    Word,
    Digits,
    Blank,
    Mark,
    /// Chinese, Japanese, Korean, and pictures.
    Dense,
    Other,
}

impl Sort {
    fn of(letter: char) -> Self {
        match letter {
            'a'..='z' | 'A'..='Z' => Self::Word,
            '0'..='9' => Self::Digits,
            _ if letter.is_whitespace() => Self::Blank,
            _ if letter.is_ascii() => Self::Mark,
            '\u{1100}'..='\u{11ff}' | '\u{2e80}'..='\u{d7ff}' | '\u{f900}'..='\u{faff}' | '\u{ff00}'..='\u{ffef}' => {
                Self::Dense
            }
            '\u{10000}'.. => Self::Dense,
            _ => Self::Other,
        }
    }

    /// Whether `next` belongs to the run that `first` began.
    fn goes_on(self, first: char, next: char) -> bool {
        match self {
            // A new line or a capital letter begins something new.
            Self::Word => next.is_ascii_lowercase() || (first.is_ascii_uppercase() && next.is_ascii_uppercase()),
            _ => Self::of(next) == self,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ir::{FunctionTool, MediaKind, Message, Role};

    #[test]
    fn text_of_every_script_counts() {
        for (sample, least, most) in [
            ("", 0, 0),
            ("Hello, world!", 3, 5),
            ("What is the capital of France?", 6, 8),
            ("你好，世界！", 4, 7),
            ("Привет, мир", 4, 7),
            ("internationalization", 3, 5),
            ("1234567", 2, 4),
            ("                    ", 1, 2),
            ("fn main() { println!(\"hi\"); }", 8, 14),
        ] {
            let tokens = text(sample);
            assert!((least..=most).contains(&tokens), "{sample:?}: {tokens}");
        }
    }

    #[test]
    fn everything_that_is_sent_counts() {
        let said = |parts: Vec<Part>| Request { messages: vec![Message::new(Role::User, parts)], ..Request::default() };
        let plain = tokens(&said(vec![Part::text("hello")]));
        let picture = Media {
            kind: MediaKind::Image,
            source: MediaSource::Url("https://a/b".into()),
            mime: None,
            name: None,
            detail: None,
            cache: None,
            place: crate::ir::Place::default(),
        };
        assert!(tokens(&said(vec![Part::text("hello"), Part::Media(picture)])) >= plain + PER_MEDIUM);
        let tool = Tool::Function(FunctionTool { name: "look_up".into(), ..FunctionTool::default() });
        assert!(tokens(&Request { tools: vec![tool], ..said(vec![Part::text("hello")]) }) > plain);
        assert!(tokens(&Request { system: vec![Part::text("be brief")], ..said(vec![Part::text("hello")]) }) > plain);
    }
}
