//! Providers that speak OpenAI's chat protocol at an address of their own: one row each.

use llm_protocol::ProtocolId;

use super::{ANY, Key, Kind, Speaks};

const CHAT: &[Speaks] = &[(ProtocolId::OpenAiChat, ANY)];

const fn row(name: &'static str, base_url: &'static str, known_models: &'static [&'static str]) -> Kind {
    Kind { name, speaks: CHAT, base_url: Some(base_url), version: "v1", vendor: &Key::Bearer, known_models }
}

/// A server that the operator runs: any address, any model.
const fn local(name: &'static str, base_url: Option<&'static str>) -> Kind {
    Kind { name, speaks: CHAT, base_url, version: "v1", vendor: &Key::Bearer, known_models: ANY }
}

/// Addresses as their own documentation gives them, as of November 2026.
pub static TABLE: &[Kind] = &[
    local("openai_compatible", None),
    local("ollama", Some("http://127.0.0.1:11434/v1")),
    local("llamacpp", Some("http://127.0.0.1:8080/v1")),
    local("vllm", None),
    local("lmstudio", Some("http://127.0.0.1:1234/v1")),
    row("deepseek", "https://api.deepseek.com/v1", &["deepseek-*"]),
    row("groq", "https://api.groq.com/openai/v1", &[]),
    row(
        "mistral",
        "https://api.mistral.ai/v1",
        &["mistral-*", "ministral-*", "magistral-*", "codestral-*", "pixtral-*"],
    ),
    row("xai", "https://api.x.ai/v1", &["grok-*"]),
    row("openrouter", "https://openrouter.ai/api/v1", &["*/*"]),
    row("together", "https://api.together.xyz/v1", &[]),
    row("fireworks", "https://api.fireworks.ai/inference/v1", &["accounts/*"]),
    Kind { version: "", ..row("perplexity", "https://api.perplexity.ai", &["sonar*"]) },
    row("moonshot", "https://api.moonshot.cn/v1", &["kimi-*", "moonshot-*"]),
    row("dashscope", "https://dashscope.aliyuncs.com/compatible-mode/v1", &["qwen*", "qwq-*"]),
    row("zhipu", "https://open.bigmodel.cn/api/paas/v4", &["glm-*"]),
    row("siliconflow", "https://api.siliconflow.cn/v1", &[]),
    row("ark", "https://ark.cn-beijing.volces.com/api/v3", &["doubao-*", "ep-*"]),
    row("minimax", "https://api.minimax.chat/v1", &["MiniMax-*", "abab*"]),
    row("cerebras", "https://api.cerebras.ai/v1", &[]),
];
