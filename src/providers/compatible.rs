//! Providers that speak OpenAI's chat protocol at an address of their own: one row each.
//!
//! What a row's servers want said otherwise is data as well: entries with its name in `kinds`, in the lists of model rules.

use llm_protocol::ProtocolId;

use super::{ANY, Key, Kind, Speaks};

/// Chat Completions alone.
const CHAT: &[Speaks] = &[(ProtocolId::OpenAiChat, ANY)];

/// And Responses at the same address.
const OPENAI: &[Speaks] = &[(ProtocolId::OpenAiChat, ANY), (ProtocolId::OpenAiResponses, ANY)];

/// And Anthropic's Messages too.
const BOTH: &[Speaks] =
    &[(ProtocolId::OpenAiChat, ANY), (ProtocolId::OpenAiResponses, ANY), (ProtocolId::Anthropic, ANY)];

const fn row(name: &'static str, base_url: &'static str, known_models: &'static [&'static str]) -> Kind {
    Kind { name, speaks: CHAT, base_url: Some(base_url), version: "v1", vendor: &Key::Bearer, known_models }
}

/// A server that the operator runs: any address, any model.
const fn local(name: &'static str, base_url: Option<&'static str>) -> Kind {
    Kind { name, speaks: CHAT, base_url, version: "v1", vendor: &Key::Bearer, known_models: ANY }
}

impl Kind {
    /// The same, which speaks these protocols.
    const fn speaking(self, speaks: &'static [Speaks]) -> Self {
        Self { speaks, ..self }
    }

    /// The same, whose paths have no version.
    const fn unversioned(self) -> Self {
        Self { version: "", ..self }
    }
}

/// Addresses as their own documentation gives them, as of November 2026.
pub static TABLE: &[Kind] = &[
    // Servers that people run themselves.
    local("openai_compatible", None),
    local("ollama", Some("http://127.0.0.1:11434/v1")).speaking(BOTH),
    local("llamacpp", Some("http://127.0.0.1:8080/v1")).speaking(BOTH),
    local("vllm", None).speaking(BOTH),
    local("lmstudio", Some("http://127.0.0.1:1234/v1")).speaking(BOTH),
    local("sglang", Some("http://127.0.0.1:30000/v1")),
    // Makers of models.
    row("deepseek", "https://api.deepseek.com/v1", &["deepseek-*"]),
    row(
        "mistral",
        "https://api.mistral.ai/v1",
        &["mistral-*", "ministral-*", "magistral-*", "codestral-*", "devstral-*", "pixtral-*"],
    ),
    row("xai", "https://api.x.ai/v1", &["grok-*"]).speaking(OPENAI),
    row("cohere", "https://api.cohere.ai/compatibility/v1", &["command-*", "c4ai-*"]),
    row("perplexity", "https://api.perplexity.ai", &["sonar*"]).unversioned(),
    row("ai21", "https://api.ai21.com/studio/v1", &["jamba-*"]),
    row("upstage", "https://api.upstage.ai/v1", &["solar-*"]),
    row("inception", "https://api.inceptionlabs.ai/v1", &["mercury*"]),
    row("moonshot", "https://api.moonshot.cn/v1", &["kimi-*", "moonshot-*"]),
    row("moonshot_intl", "https://api.moonshot.ai/v1", &["kimi-*", "moonshot-*"]),
    row("dashscope", "https://dashscope.aliyuncs.com/compatible-mode/v1", &["qwen*", "qwq-*", "qvq-*"]),
    row("dashscope_intl", "https://dashscope-intl.aliyuncs.com/compatible-mode/v1", &["qwen*", "qwq-*", "qvq-*"]),
    row("zhipu", "https://open.bigmodel.cn/api/paas/v4", &["glm-*"]),
    row("zai", "https://api.z.ai/api/paas/v4", &["glm-*"]),
    row("ark", "https://ark.cn-beijing.volces.com/api/v3", &["doubao-*", "ep-*"]).speaking(OPENAI),
    row("minimax", "https://api.minimax.chat/v1", &["MiniMax-*", "abab*"]),
    row("minimax_intl", "https://api.minimax.io/v1", &["MiniMax-*"]),
    row("baichuan", "https://api.baichuan-ai.com/v1", &["Baichuan*"]),
    row("yi", "https://api.lingyiwanwu.com/v1", &["yi-*"]),
    row("stepfun", "https://api.stepfun.com/v1", &["step-*"]),
    row("hunyuan", "https://api.hunyuan.cloud.tencent.com/v1", &["hunyuan-*"]),
    row("qianfan", "https://qianfan.baidubce.com/v2", &["ernie-*"]),
    row("spark", "https://spark-api-open.xf-yun.com/v1", &["generalv3*", "4.0Ultra"]),
    // Hosts of other makers' models.
    row("groq", "https://api.groq.com/openai/v1", &[]).speaking(OPENAI),
    row("openrouter", "https://openrouter.ai/api/v1", &["*/*"]).speaking(BOTH),
    row("together", "https://api.together.xyz/v1", &[]),
    row("fireworks", "https://api.fireworks.ai/inference/v1", &["accounts/*"]),
    row("cerebras", "https://api.cerebras.ai/v1", &[]),
    row("huggingface", "https://router.huggingface.co/v1", &[]),
    row("nvidia", "https://integrate.api.nvidia.com/v1", &["nvidia/*"]),
    row("sambanova", "https://api.sambanova.ai/v1", &[]),
    row("nebius", "https://api.tokenfactory.nebius.com/v1", &[]),
    row("novita", "https://api.novita.ai/openai/v1", &[]),
    row("deepinfra", "https://api.deepinfra.com/v1/openai", &[]),
    row("siliconflow", "https://api.siliconflow.cn/v1", &[]),
    row("siliconflow_intl", "https://api.siliconflow.com/v1", &[]),
    row("modelscope", "https://api-inference.modelscope.cn/v1", &[]),
    row("github", "https://models.github.ai/inference", &[]).unversioned(),
    row("venice", "https://api.venice.ai/api/v1", &[]),
    row("baseten", "https://inference.baseten.co/v1", &[]),
    row("scaleway", "https://api.scaleway.ai/v1", &[]),
];
