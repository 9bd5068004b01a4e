//! The table of `docs/fidelity.md`, asked of the code: what becomes of a field is what the table says.

use llm_protocol::{
    ProtocolId, Target, inbound,
    ir::{LossKind, Losses},
    models::Models,
    outbound,
};
use serde_json::{Value, json};

/// The table's columns, each with a type of provider and a model of it.
const COLUMNS: [(ProtocolId, &str, &str); 5] = [
    (ProtocolId::OpenAiChat, "openai", "gpt-4o"),
    (ProtocolId::OpenAiResponses, "openai", "gpt-4o"),
    (ProtocolId::Anthropic, "anthropic", "claude-haiku-4-5"),
    (ProtocolId::Gemini, "gemini", "gemini-2.5-flash"),
    (ProtocolId::BedrockConverse, "bedrock", "anthropic.claude-haiku-4-5-20251001-v1:0"),
];

/// The cells of a row, those that name another column with that column's words.
fn cells(table: &str, row: &str) -> Vec<String> {
    let line = table.lines().find_map(|line| line.strip_prefix(&format!("| {row} | ")));
    let line = line.unwrap_or_else(|| panic!("no row `{row}`"));
    let cells: Vec<&str> = line.trim_end_matches(" |").split(" | ").collect();
    let mut full: Vec<String> = Vec::new();
    for cell in cells {
        let other = if cell.starts_with("same") {
            full.first()
        } else {
            full.get(2).filter(|_| cell.starts_with("as Anthropic"))
        };
        full.push(format!("{cell} {}", other.map_or("", String::as_str)));
    }
    full
}

/// The worst that happens to what a client of `protocol` asks for at paths that begin with `under`.
fn fate(protocol: ProtocolId, body: &Value, under: &str, column: (ProtocolId, &str, &str)) -> &'static str {
    let request = inbound(protocol).unwrap().decode_request(body.to_string().as_bytes()).unwrap();
    let (upstream, kind, model) = column;
    let rules = Models::builtin().rules(upstream, kind, model);
    let mut losses = Losses::default();
    outbound(upstream).unwrap().encode_request(&request, Target { model, rules: &rules }, &mut losses);
    let kinds: Vec<&LossKind> =
        losses.iter().filter(|loss| loss.path.starts_with(under)).map(|loss| &loss.kind).collect();
    let any = |wanted: fn(&LossKind) -> bool| kinds.iter().any(|kind| wanted(kind));
    if any(|kind| matches!(kind, LossKind::Refused(_) | LossKind::Impossible(_))) {
        "refused"
    } else if any(|kind| *kind == LossKind::Dropped) {
        "dropped"
    } else if any(|kind| *kind == LossKind::Approximated) {
        "approximated"
    } else {
        "maps"
    }
}

fn chat(fields: Value) -> (ProtocolId, Value) {
    let mut body = json!({"model": "m", "messages": [{"role": "user", "content": "hi"}]});
    let more = fields.as_object().unwrap().clone();
    body.as_object_mut().unwrap().extend(more);
    (ProtocolId::OpenAiChat, body)
}

fn showing(part: Value) -> (ProtocolId, Value) {
    chat(json!({"messages": [{"role": "user", "content": [{"type": "text", "text": "look"}, part]}]}))
}

fn function() -> Value {
    json!({"type": "function", "function": {"name": "f", "parameters": {"type": "object", "properties": {"a": {"type": "string"}}}}})
}

#[test]
fn what_becomes_of_each_field_is_what_the_table_says() {
    let document = std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/fidelity.md")).unwrap();
    let picture = |detail: &str| json!({"type": "image_url", "image_url": {"url": "data:image/png;base64,eA==", "detail": detail}});
    let sound = |format: &str| json!({"type": "input_audio", "input_audio": {"data": "eA==", "format": format}});
    let pdf = json!({"type": "file", "file": {"filename": "a.pdf", "file_data": "data:application/pdf;base64,eA=="}});
    let marked = json!({"type": "text", "text": "t", "cache_control": {"type": "ephemeral"}});
    let grammar = json!({"type": "custom", "custom": {"name": "g", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}}});
    let file = json!({"type": "document", "source": {"type": "file", "file_id": "f"}});
    let elsewhere = (
        ProtocolId::Anthropic,
        json!({"model": "m", "max_tokens": 9, "messages": [{"role": "user", "content": [file]}]}),
    );
    let kept = (ProtocolId::OpenAiResponses, json!({"model": "m", "input": "hi", "previous_response_id": "resp_1"}));
    let probes = [
        ("text, system text", chat(json!({})), "messages"),
        ("images", showing(picture("auto")), "messages"),
        ("images", showing(picture("high")), "messages"),
        ("PDFs and other files", showing(pdf.clone()), "messages[0].content[1].file.file_data"),
        ("PDFs and other files", showing(pdf), "messages[0].content[1].file.filename"),
        (
            "PDFs and other files",
            showing(json!({"type": "file_url", "file_url": {"url": "https://x/y.pdf"}})),
            "messages",
        ),
        ("sound", showing(sound("wav")), "messages"),
        ("sound", showing(sound("ogg")), "messages"),
        ("files uploaded to another provider", elsewhere, "messages"),
        ("tools, parallel calls, results", chat(json!({"tools": [function()]})), "tools"),
        (
            "names of tools",
            chat(json!({"tools": [{"type": "function", "function": {"name": "n".repeat(129)}}]})),
            "tools",
        ),
        ("tools of free text", chat(json!({"tools": [grammar]})), "tools"),
        ("tools that run at a provider", chat(json!({"tools": [{"type": "of_next_year"}]})), "tools"),
        ("tools that run at a provider", chat(json!({"tools": [{"type": "web_search_preview"}]})), "tools"),
        ("`tool_choice`", chat(json!({"tools": [function()], "tool_choice": "required"})), "tool_choice"),
        ("`tool_choice`", chat(json!({"tools": [function()], "tool_choice": "none"})), "tool_choice"),
        (
            "`parallel_tool_calls: false`",
            chat(json!({"tools": [function()], "parallel_tool_calls": false})),
            "parallel",
        ),
        ("`response_format`", chat(json!({"response_format": {"type": "json_object"}})), "response_format"),
        ("`n`", chat(json!({"n": 2, "stream": true})), "n"),
        ("`logprobs`", chat(json!({"logprobs": true})), "logprobs"),
        ("`logit_bias`, `prediction`, `modalities`, `audio`", chat(json!({"logit_bias": {"5": 1}})), "logit_bias"),
        ("`seed`", chat(json!({"seed": 7})), "seed"),
        ("`seed`", chat(json!({"seed": 99_999_999_999_u64})), "seed"),
        ("penalties", chat(json!({"presence_penalty": 1.0})), "presence_penalty"),
        ("`top_k`", chat(json!({"top_k": 5})), "top_k"),
        ("`stop`", chat(json!({"stop": ["a"]})), "stop"),
        ("`stop`", chat(json!({"stop": ["a", "b", "c", "d", "e", "f"]})), "stop"),
        ("`stop`", chat(json!({"stop": [" "]})), "stop"),
        ("`max_tokens` beyond the model's", chat(json!({"max_tokens": 10_000_000})), "max_tokens"),
        ("cache hints", showing(marked), "messages"),
        ("`user`", chat(json!({"user": "u"})), "user"),
        ("`user`", chat(json!({"user": "u".repeat(300)})), "user"),
        (
            "`metadata`, `service_tier`, `verbosity`, `store`, `prompt_cache_key`",
            chat(json!({"service_tier": "flex"})),
            "service_tier",
        ),
        ("unknown fields", chat(json!({"of_next_year": 1})), "of_next_year"),
        ("state kept at a provider", kept, "previous_response_id"),
    ];
    let mut wrong = Vec::new();
    for (row, (protocol, body), under) in probes {
        for (column, cell) in COLUMNS.into_iter().zip(cells(&document, row)) {
            // Within its own protocol nothing is translated.
            if column.0 == protocol && (cell.contains("own") || protocol != ProtocolId::OpenAiChat) {
                continue;
            }
            let fate = fate(protocol, &body, under, column);
            let said = match fate {
                // What is said in other words is said.
                "maps" => ["map", "by content", "wav", "as a function", "cut", "else", "stream", "beyond", "128"]
                    .iter()
                    .any(|words| cell.contains(words)),
                word => cell.contains(word),
            };
            if !said {
                wrong.push(format!("{row}: {fate} at {}, where the table says: {cell}", column.0.as_str()));
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong:#?}");
}
