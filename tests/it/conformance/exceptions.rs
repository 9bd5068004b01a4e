//! Recordings whose answer cannot be what the recording says, and why.

use super::client::Client;

/// By all clients, where none is named.
const EXCEPTIONS: &[(&[Client], &str, &str)] = &[
    (ALL, "doc-ge-partial-args", ONE_CALL),
    (ALL, "doc-vx-partial-args-nested", ONE_CALL),
    (ALL, "brc-parallel-tool-calls-9c934", RAN_THERE),
    (ALL, "brs-parallel-tool-calls-stream-70f68", RAN_THERE),
    (ALL, "brc-tool-result-a6784", "the recording's reader did not look into blocks with citations"),
    (ALL, "brs-error-400-28781", "a model that the provider does not know is 404 here, so that another may be asked"),
    (ALL, "or-reasoning-49c23", SUMMARY),
    (ALL, "or-reasoning-stream-cc93d", SUMMARY),
];

const ALL: &[Client] = &Client::ALL;
const ONE_CALL: &str = "the recording lists the pieces of a call, which are one call";
const RAN_THERE: &str = "the recording's reader took a tool that ran at the provider for the client's";
const SUMMARY: &str = "the recording runs the parts of a summary together";

pub fn explained(client: Client, id: &str) -> Option<&'static str> {
    let found = EXCEPTIONS.iter().find(|(clients, known, _)| *known == id && clients.contains(&client));
    found.map(|(.., why)| *why)
}

/// Every exception for every client that has it.
pub fn all() -> impl Iterator<Item = (Client, &'static str)> {
    EXCEPTIONS.iter().flat_map(|(clients, id, _)| clients.iter().map(|client| (*client, *id)))
}
