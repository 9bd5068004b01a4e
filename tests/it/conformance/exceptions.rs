//! Recordings whose answer cannot be what the recording says, and why.

use super::client::Client;

/// Which clients, which recording, and why.
const EXCEPTIONS: &[(&[Client], &str, &str)] = &[
    (NOT_GEMINI, "doc-ge-partial-args", ONE_CALL),
    (NOT_GEMINI, "doc-vx-partial-args-nested", ONE_CALL),
    (ALL, "brs-error-400-28781", "a model that the provider does not know is 404 here, so that another may be asked"),
    (
        &[Client::Chat],
        "oc-error-400-b5070",
        "the recorded request has a second fault, which is refused before it is sent",
    ),
    (&[Client::Gemini], "or-error-400-e32be", "the recorded fault, a file of a wrong type, is found before it is sent"),
    (&[Client::Anthropic], "ge-empty-74e48", NO_MEDIA),
    (&[Client::Anthropic], "oc-audio-8f06b", NO_MEDIA),
    (&[Client::Anthropic], "or-server-tool-47639", NO_MEDIA),
];

const ALL: &[Client] = &Client::ALL;
const NOT_GEMINI: &[Client] = &[Client::Chat, Client::Responses, Client::Anthropic];
const NO_MEDIA: &str = "an answer in this protocol holds no media; a text says that there were some";
const ONE_CALL: &str = "the recording lists the pieces of a call, which are one call";

pub fn explained(client: Client, id: &str) -> Option<&'static str> {
    let found = EXCEPTIONS.iter().find(|(clients, known, _)| *known == id && clients.contains(&client));
    found.map(|(.., why)| *why)
}

/// Every exception for every client that has it.
pub fn all() -> impl Iterator<Item = (Client, &'static str)> {
    EXCEPTIONS.iter().flat_map(|(clients, id, _)| clients.iter().map(|client| (*client, *id)))
}
