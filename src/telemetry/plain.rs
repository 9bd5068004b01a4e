//! Lines of text for whoever is no terminal: one for every request, so they are written without the machinery that colours need.

use std::fmt::{self, Write as _};

use tracing::{
    Event, Level, Subscriber,
    field::{Field, Visit},
};
use tracing_subscriber::{
    fmt::{FmtContext, FormatEvent, FormatFields, format::Writer},
    registry::LookupSpan,
};

use crate::clock;

/// `2026-01-31T08:00:00.250Z  INFO module::path: The message. key=1 other="text"`.
pub struct Plain;

impl<S, N> FormatEvent<S, N> for Plain
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(&self, _: &FmtContext<'_, S, N>, mut line: Writer<'_>, event: &Event<'_>) -> fmt::Result {
        let about = event.metadata();
        // Put together here, since each piece that is given to the writer takes a call through a table.
        let mut text = String::with_capacity(LINE);
        text.push_str(&clock::rfc3339(clock::now_micros()));
        text.push_str(match *about.level() {
            Level::ERROR => " ERROR ",
            Level::WARN => "  WARN ",
            Level::INFO => "  INFO ",
            Level::DEBUG => " DEBUG ",
            Level::TRACE => " TRACE ",
        });
        text.push_str(about.target());
        text.push(':');
        let mut fields = Fields { line: &mut text, outcome: Ok(()) };
        event.record(&mut fields);
        fields.outcome?;
        text.push('\n');
        line.write_str(&text)
    }
}

/// As long as most lines are, in bytes.
const LINE: usize = 512;

/// The message and what comes with it, each behind a space.
struct Fields<'a> {
    line: &'a mut String,
    outcome: fmt::Result,
}

impl Fields<'_> {
    /// The line, as far as the field's value.
    fn begin(&mut self, field: &Field) -> &mut String {
        self.line.push(' ');
        if field.name() != "message" {
            self.line.push_str(field.name());
            self.line.push('=');
        }
        self.line
    }
}

impl Visit for Fields<'_> {
    fn record_str(&mut self, field: &Field, value: &str) {
        let line = self.begin(field);
        if value.bytes().all(|byte| matches!(byte, b' '..=b'~') && !b"\"\\".contains(&byte)) {
            line.push('"');
            line.push_str(value);
            line.push('"');
        } else {
            line.push_str(&format!("{value:?}"));
        }
    }

    fn record_u64(&mut self, field: &Field, value: u64) {
        self.begin(field).push_str(itoa::Buffer::new().format(value));
    }

    fn record_i64(&mut self, field: &Field, value: i64) {
        self.begin(field).push_str(itoa::Buffer::new().format(value));
    }

    fn record_bool(&mut self, field: &Field, value: bool) {
        self.begin(field).push_str(if value { "true" } else { "false" });
    }

    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        let outcome = write!(Harmless(self.begin(field)), "{value:?}");
        // Of more than one error the first tells.
        self.outcome = self.outcome.and(outcome);
    }
}

/// Writes control characters by their code: what others wrote must neither end the line nor steer a terminal.
struct Harmless<'a>(&'a mut String);

impl fmt::Write for Harmless<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        if text.bytes().all(|byte| matches!(byte, b' '..=b'~')) {
            self.0.push_str(text);
            return Ok(());
        }
        text.chars().try_for_each(|letter| match letter.is_control() {
            true => write!(self.0, "{}", letter.escape_default()),
            false => self.0.write_char(letter),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use tracing_subscriber::{Registry, fmt::MakeWriter, layer::SubscriberExt};

    use super::*;

    #[derive(Clone, Default)]
    struct Lines(Arc<Mutex<Vec<u8>>>);

    impl std::io::Write for Lines {
        fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
            self.0.lock().unwrap().write(bytes)
        }

        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }

    impl<'a> MakeWriter<'a> for Lines {
        type Writer = Self;

        fn make_writer(&'a self) -> Self {
            self.clone()
        }
    }

    #[test]
    fn a_line_tells_the_message_first_and_nothing_in_it_ends_it() {
        let lines = Lines::default();
        let layer = tracing_subscriber::fmt::layer().event_format(Plain).with_writer(lines.clone());
        tracing::subscriber::with_default(Registry::default().with(layer), || {
            let (none, some) = (None::<i64>, Some("a\"\n\u{e9}".to_owned()));
            tracing::warn!(number = -1, flag = true, none, some, plain = "b c", shown = %"\u{1b}[31m", "Two\nlines \u{4f60}");
        });
        let text = String::from_utf8(lines.0.lock().unwrap().clone()).unwrap();
        let (time, rest) = text.split_once(' ').unwrap();
        assert!(clock::parse(time).is_some(), "{time}");
        let expected = r#" WARN llm_orchestrator::telemetry::plain::tests: Two\nlines 你 number=-1 flag=true some="a\"\né" plain="b c" shown=\u{1b}[31m"#;
        assert_eq!(rest, format!("{expected}\n"));
    }
}
