//! Recordings whose answer cannot be what the recording says, and why.

use super::client::Client;

/// Which clients, which recording, and why.
const EXCEPTIONS: &[(&[Client], &str, &str)] = &[
    (NOT_GEMINI, "doc-ge-partial-args", ONE_CALL),
    (NOT_GEMINI, "doc-vx-partial-args-nested", ONE_CALL),
    (ALL, "brc-parallel-tool-calls-9c934", RAN_THERE),
    (ALL, "brs-parallel-tool-calls-stream-70f68", RAN_THERE),
    (ALL, "brc-tool-result-a6784", "the recording's reader did not look into blocks with citations"),
    (ALL, "brs-error-400-28781", "a model that the provider does not know is 404 here, so that another may be asked"),
    (NOT_RESPONSES, "or-reasoning-49c23", SUMMARY),
    (NOT_RESPONSES, "or-reasoning-stream-cc93d", SUMMARY),
    (
        &[Client::Chat],
        "oc-error-400-b5070",
        "the recorded request has a second fault, which is refused before it is sent",
    ),
    (&[Client::Gemini], "or-error-400-e32be", "the recorded fault, a file of a wrong type, is found before it is sent"),
    (NOT_CHAT, "oc-tool-call-08a4c", OLDEST),
    (NOT_CHAT, "oc-tool-call-84aa8", OLDEST),
    (NOT_CHAT, "oc-tool-call-ca425", OLDEST),
    (&[Client::Anthropic], "azc-json-mode-ec3f1", CACHED),
    (&[Client::Anthropic], "azc-parallel-tool-calls-67432", CACHED),
    (&[Client::Anthropic], "azc-prompt-cache-c8188", CACHED),
    (&[Client::Anthropic], "azc-structured-output-00d00", CACHED),
    (&[Client::Anthropic], "azc-tool-call-650ab", CACHED),
    (&[Client::Anthropic], "azc-tool-result-49b1b", CACHED),
    (&[Client::Anthropic], "azc-tool-result-stream-b130f", CACHED),
    (&[Client::Anthropic], "ge-empty-74e48", NO_MEDIA),
    (&[Client::Anthropic], "oc-audio-8f06b", NO_MEDIA),
    (&[Client::Anthropic], "or-server-tool-47639", NO_MEDIA),
];

const ALL: &[Client] = &Client::ALL;
const NOT_GEMINI: &[Client] = &[Client::Chat, Client::Responses, Client::Anthropic];
const NOT_RESPONSES: &[Client] = &[Client::Chat, Client::Anthropic, Client::Gemini];
const NOT_CHAT: &[Client] = &[Client::Responses, Client::Anthropic, Client::Gemini];
const OLDEST: &str = "the recording's reader did not read calls of OpenAI's oldest sort";
const CACHED: &str = "the provider counts more cached tokens than tokens; Anthropic's counts must add up";
const NO_MEDIA: &str = "an answer in this protocol holds no media; a text says that there were some";
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
