//! The table of `docs/conformance.md`: who asked whom in whose name, and how much of it came out right.

use std::{collections::BTreeMap, fmt::Write, path::Path};

use super::client::Client;

const HEAD: &str = "# Conformance

What real providers once answered, asked for again through the gateway by clients of each protocol. `passed/total`, of recorded
exchanges; a cell counts an exchange as passed if all of this holds, both under the recorded model's name and under one that no
rule knows:

- The provider would have taken the request that it got.
- Client and provider speak the same protocol: the client got the recorded bytes, but for the two documented additions to a chat
  answer, frames that are comments alone, `[DONE]` behind a stream of Responses, and streams that were recorded as arrays. Of a
  count of tokens the number is compared.
- They do not: text, reasoning, refusal, tool calls with their arguments, the reason to finish and the token counts are those
  recorded, errors have the recorded meaning, and a stream obeys the client's protocol from its first event to its last.
- The log has the recorded token counts.

What the recordings' reader overlooked is read from the recorded answers themselves: text with its sources, calls of OpenAI's
oldest sort, which tools ran at the provider, the paragraphs of a summary, more tokens cached than there were.

The recordings are not part of this repository. `UPDATE_DOCS=1 CONFORMANCE_FIXTURES=… cargo test --test it conformance`
writes this file; without `UPDATE_DOCS` the test fails where less passes than is written here.
";

/// Passed and total.
type Cell = (usize, usize);

/// The rows by protocol, provider and way of answering, each with a cell for every client.
#[derive(Debug, Default)]
pub struct Table(BTreeMap<[String; 3], BTreeMap<Client, Cell>>);

impl Table {
    pub fn count(&mut self, row: [&str; 3], client: Client, passed: bool) {
        let row = self.0.entry(row.map(str::to_owned)).or_default();
        let cell = row.entry(client).or_default();
        *cell = (cell.0 + usize::from(passed), cell.1 + 1);
    }

    pub fn total(&self, client: Client) -> Cell {
        let cells = self.0.values().filter_map(|row| row.get(&client));
        cells.fold((0, 0), |sum, cell| (sum.0 + cell.0, sum.1 + cell.1))
    }

    /// The whole file.
    pub fn document(&self, exceptions: &[(String, &str)]) -> String {
        let mut text = HEAD.to_owned();
        text.push_str("\n| provider's protocol | provider | answer | chat | responses | anthropic | gemini |\n");
        text.push_str("|---|---|---|---|---|---|---|\n");
        for (row, cells) in &self.0 {
            let cells = Client::ALL.map(|client| cells.get(&client).copied());
            line(&mut text, row, cells);
        }
        line(&mut text, &["**all**", "", ""].map(str::to_owned), Client::ALL.map(|client| Some(self.total(client))));
        text.push_str("\n## Exceptions\n\n| recording | why it cannot pass, or does not yet |\n|---|---|\n");
        for (what, why) in exceptions {
            writeln!(text, "| {what} | {why} |").expect("a string can be written to");
        }
        text
    }

    /// The rows of which `document` claims that more passed.
    pub fn worse_than(&self, document: &str) -> Vec<String> {
        let claims = document.lines().filter_map(parse);
        let worse = |(row, passed): &([String; 3], Vec<Option<usize>>)| {
            let now = |client| self.0.get(row).and_then(|cells| cells.get(&client)).map_or(0, |cell| cell.0);
            Client::ALL
                .into_iter()
                .zip(passed)
                .any(|(client, claimed)| claimed.is_some_and(|claimed| now(client) < claimed))
        };
        claims.filter(worse).map(|(row, _)| row.join(", ")).collect()
    }
}

fn line(text: &mut String, row: &[String; 3], cells: [Option<Cell>; 4]) {
    let cells = cells.map(|cell| cell.map_or("".to_owned(), |(passed, total)| format!("{passed}/{total}")));
    writeln!(text, "| {} | {} |", row.join(" | "), cells.join(" | ")).expect("a string can be written to");
}

/// A row of counts and what it says passed; `None` for a line that is none.
fn parse(line: &str) -> Option<([String; 3], Vec<Option<usize>>)> {
    let cells: Vec<&str> = line.strip_prefix('|')?.strip_suffix('|')?.split('|').map(str::trim).collect();
    let ([protocol, provider, answer], passed) = cells.split_first_chunk::<3>()?;
    if passed.len() != Client::ALL.len() || protocol.starts_with("**") {
        return None;
    }
    let passed: Vec<Option<usize>> = passed.iter().map(|cell| cell.split_once('/')?.0.parse().ok()).collect();
    let row = [protocol, provider, answer].map(|cell| (*cell).to_owned());
    passed.iter().any(Option::is_some).then_some((row, passed))
}

/// Where the table stands.
pub fn path() -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/conformance.md")
}
