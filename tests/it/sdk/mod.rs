//! The SDKs that people use, as they come from their registries, against the whole program.
//!
//! The scripts beside this file and in `examples/` check what they get; the tests here prepare what they will meet.

mod answers;

use serde_json::json;

use crate::support::{
    ADMIN_KEY, API_KEY, Dialect, Gateway, Script, Upstream, acting,
    environment::{
        Environment, NODE, NODE_OTHERS, NODE_VERCEL, PYTHON, PYTHON_LANGCHAIN, PYTHON_LEGACY, PYTHON_OTHERS, SYSTEM,
    },
};

/// A gateway with two OpenAI accounts, one Anthropic, one Gemini, one that is always busy and one that is broken.
struct World {
    gateway: Gateway,
    primary: Upstream,
    anthropic: Upstream,
    gemini: Upstream,
    /// Dropped, they would stop answering.
    _others: [Upstream; 3],
}

impl World {
    async fn start() -> Self {
        let gateway = Gateway::with(&[("HEALTH_CHECK_ENABLED", "false")]).await;
        let primary = Upstream::start("openai-primary").await;
        let backup = Upstream::start("openai-backup").await;
        let anthropic = Upstream::start("anthropic").await;
        let gemini = Upstream::start("gemini").await;
        let busy = Upstream::start("busy").await;
        let broken = Upstream::start("broken").await;
        primary.lists(&["gpt-3.5-turbo", "gpt-4", "gpt-4o", "gpt-5-codex"]);
        backup.lists(&["gpt-3.5-turbo", "gpt-4", "gpt-4o"]);
        busy.lists(&["busy-model"]).always(Script::error(429, "Rate limit reached"));
        broken.lists(&["broken-model"]).always(Script::error(500, "The server had an error"));
        gateway.provider("openai-primary", "openai", &primary, json!({"priority": 200})).await;
        gateway.provider("openai-backup", "openai", &backup, json!({})).await;
        gateway.provider("anthropic", "anthropic", &anthropic, json!({})).await;
        gateway.provider("gemini", "gemini", &gemini, json!({})).await;
        gateway.provider("busy", "openai", &busy, json!({})).await;
        gateway.provider("broken", "openai", &broken, json!({})).await;
        Self { gateway, primary, anthropic, gemini, _others: [backup, busy, broken] }
    }

    fn upstream(&self, dialect: Dialect) -> &Upstream {
        match dialect {
            Dialect::OpenAi | Dialect::Responses => &self.primary,
            Dialect::Anthropic => &self.anthropic,
            Dialect::Gemini => &self.gemini,
        }
    }

    /// What `google_extras` will ask for.
    fn counts_and_embeds_for_google(&self) {
        self.gemini.next(Script::json(200, &json!({"totalTokens": 42})));
        self.anthropic.next(Script::json(200, &json!({"input_tokens": 43})));
        self.gemini.next(Script::json(200, &json!({"embeddings": [{"values": [0.5, -1]}, {"values": [1, 2]}]})));
        let numbers = json!([{"index": 0, "embedding": [0.5, -1]}, {"index": 1, "embedding": [1, 2]}]);
        let answer = json!({"data": numbers, "usage": {"prompt_tokens": 4}});
        self.primary.always(Script::json(200, &answer));
    }

    /// Runs a script to its end; it fails the test by failing.
    async fn run(&self, environment: &Environment, script: &str, arguments: &[&str]) {
        let root = format!("http://{}", self.gateway.address());
        let base = format!("{root}/v1");
        let settings = [
            ("GATEWAY_URL", root.as_str()),
            ("ADMIN_KEY", ADMIN_KEY),
            ("OPENAI_BASE_URL", &base),
            ("OPENAI_API_BASE", &base),
            ("OPENAI_API_KEY", API_KEY),
            ("ANTHROPIC_BASE_URL", &root),
            ("ANTHROPIC_API_KEY", API_KEY),
            ("GOOGLE_GEMINI_BASE_URL", &root),
            ("GEMINI_API_KEY", API_KEY),
        ];
        environment.run(script, arguments, &settings).await;
    }
}

/// The dialects of models that think, whose thoughts must come back to them on the next turn.
const THINKING: &[Dialect] = &[Dialect::Anthropic, Dialect::Gemini, Dialect::Responses];

/// A question of each kind to a provider of each type: whole, streamed, with a tool (whole and streamed), by schema.
/// `returning` are those that get their thoughts back, which takes a client that returns what it was told as it was told.
async fn asks_every_provider(
    environment: &Environment,
    scripts: [&str; 3],
    dialects: &[Dialect],
    returning: &[Dialect],
) {
    let world = World::start().await;
    let [chat, tools, schema] = scripts;
    for &dialect in dialects {
        let (upstream, model) = (world.upstream(dialect), dialect.model());
        world.run(environment, chat, &[model, upstream.name()]).await;
        for streamed in [false, true] {
            upstream.next(answers::tool_call(dialect, streamed));
            let mode = if streamed { "streamed" } else { "whole" };
            world.run(environment, tools, &[model, upstream.name(), mode]).await;
            let asked = String::from_utf8(upstream.last().body).expect("the gateway sends UTF-8");
            assert!(asked.contains("18 degrees in Paris"), "{dialect:?} got no result of the tool: {asked}");
            if returning.contains(&dialect) {
                assert!(asked.contains(acting::SIGNATURE), "{dialect:?} got its thoughts not back: {asked}");
            }
        }
        upstream.next(Script::json(200, &dialect.whole(answers::STRUCTURED)));
        world.run(environment, schema, &[model]).await;
        let asked = String::from_utf8(upstream.last().body).expect("the gateway sends UTF-8");
        assert!(asked.contains("participants"), "{dialect:?} got no schema: {asked}");
    }
}

/// The loop of a framework, with each of its clients before a provider that speaks another protocol than the client, and
/// with the one that names items of former answers before a provider that keeps them too.
async fn works_across_protocols(environment: &Environment, script: &str) {
    let world = World::start().await;
    let pairs = [
        ("openai", Dialect::Anthropic),
        ("responses", Dialect::Gemini),
        ("responses", Dialect::Responses),
        ("anthropic", Dialect::Responses),
        ("google", Dialect::Anthropic),
    ];
    for (client, dialect) in pairs {
        let (upstream, model) = (world.upstream(dialect), dialect.model());
        for streamed in [false, true] {
            upstream.next(answers::tool_call(dialect, streamed));
            let mode = if streamed { "streamed" } else { "whole" };
            world.run(environment, script, &[client, model, upstream.name(), mode]).await;
            let asked = String::from_utf8(upstream.last().body).expect("the gateway sends UTF-8");
            assert!(asked.contains("18 degrees in Paris"), "{client} told {dialect:?} no result of the tool: {asked}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn vercels_ai_sdk_lets_every_client_call_tools_of_another_vendors_model() {
    let Some(environment) = Environment::prepare(&NODE_VERCEL).await else { return };
    works_across_protocols(&environment, "vercel_tools.mjs").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn langchain_lets_every_client_call_tools_of_another_vendors_model() {
    let Some(environment) = Environment::prepare(&PYTHON_LANGCHAIN).await else { return };
    works_across_protocols(&environment, "langchain_tools.py").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_current_node_sdk_counts_and_raises_the_right_classes() {
    let Some(environment) = Environment::prepare(&NODE).await else { return };
    let world = World::start().await;
    world.primary.next(Script::json(200, &json!({"object": "response.input_tokens", "input_tokens": 44})));
    world.run(&environment, "node_extras.mjs", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropics_node_sdk_counts_and_raises_the_right_classes() {
    let Some(environment) = Environment::prepare(&NODE_OTHERS).await else { return };
    let world = World::start().await;
    world.anthropic.next(Script::json(200, &json!({"input_tokens": 42})));
    world.gemini.next(Script::json(200, &json!({"totalTokens": 43})));
    world.run(&environment, "anthropic_extras.mjs", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_node_sdk_counts_embeds_and_raises_the_right_classes() {
    let Some(environment) = Environment::prepare(&NODE_OTHERS).await else { return };
    let world = World::start().await;
    world.counts_and_embeds_for_google();
    world.run(&environment, "google_extras.mjs", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_current_node_sdk_reads_every_providers_responses() {
    let Some(environment) = Environment::prepare(&NODE).await else { return };
    asks_every_provider(
        &environment,
        ["responses_chat.mjs", "responses_tools.mjs", "responses_schema.mjs"],
        THINKING,
        THINKING,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropics_node_sdk_reads_every_providers_answers() {
    let Some(environment) = Environment::prepare(&NODE_OTHERS).await else { return };
    asks_every_provider(
        &environment,
        ["anthropic_chat.mjs", "anthropic_tools.mjs", "anthropic_schema.mjs"],
        &Dialect::ALL,
        &[],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_node_sdk_reads_every_providers_answers() {
    let Some(environment) = Environment::prepare(&NODE_OTHERS).await else { return };
    asks_every_provider(
        &environment,
        ["google_chat.mjs", "google_tools.mjs", "google_schema.mjs"],
        &Dialect::ALL,
        THINKING,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_current_python_sdk_reads_every_providers_answers() {
    let Some(environment) = Environment::prepare(&PYTHON).await else { return };
    asks_every_provider(
        &environment,
        ["python_chat.py", "python_tools.py", "python_schema.py"],
        &Dialect::ALL,
        &[Dialect::Anthropic, Dialect::Gemini],
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_current_python_sdk_routes_lists_and_raises_the_right_classes() {
    let Some(environment) = Environment::prepare(&PYTHON).await else { return };
    World::start().await.run(&environment, "python_extras.py", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_current_python_sdk_does_everything_beside_chat() {
    let Some(environment) = Environment::prepare(&PYTHON).await else { return };
    let world = World::start().await;
    world.gemini.next(Script::json(
        200,
        &json!({
            "embeddings": [{"values": [0.5, -1]}, {"values": [1, 2]}], "usageMetadata": {"promptTokenCount": 4},
        }),
    ));
    for script in answers::operations() {
        world.primary.next(script);
    }
    world.run(&environment, "python_operations.py", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_current_python_sdk_reads_every_providers_responses() {
    let Some(environment) = Environment::prepare(&PYTHON).await else { return };
    asks_every_provider(
        &environment,
        ["responses_chat.py", "responses_tools.py", "responses_schema.py"],
        THINKING,
        THINKING,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropics_python_sdk_reads_every_providers_answers() {
    let Some(environment) = Environment::prepare(&PYTHON_OTHERS).await else { return };
    asks_every_provider(
        &environment,
        ["anthropic_chat.py", "anthropic_tools.py", "anthropic_schema.py"],
        &Dialect::ALL,
        THINKING,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn anthropics_python_sdk_counts_and_raises_the_right_classes() {
    let Some(environment) = Environment::prepare(&PYTHON_OTHERS).await else { return };
    let world = World::start().await;
    world.anthropic.next(Script::json(200, &json!({"input_tokens": 42})));
    world.gemini.next(Script::json(200, &json!({"totalTokens": 43})));
    world.run(&environment, "anthropic_extras.py", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_python_sdk_reads_every_providers_answers() {
    let Some(environment) = Environment::prepare(&PYTHON_OTHERS).await else { return };
    asks_every_provider(
        &environment,
        ["google_chat.py", "google_tools.py", "google_schema.py"],
        &Dialect::ALL,
        THINKING,
    )
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn googles_python_sdk_counts_embeds_and_raises_the_right_classes() {
    let Some(environment) = Environment::prepare(&PYTHON_OTHERS).await else { return };
    let world = World::start().await;
    world.counts_and_embeds_for_google();
    world.run(&environment, "google_extras.py", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_other_protocols_sdks_read_the_list_of_models() {
    let Some(environment) = Environment::prepare(&PYTHON_OTHERS).await else { return };
    World::start().await.run(&environment, "python_lists.py", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_current_node_sdk_reads_every_providers_answers() {
    let Some(environment) = Environment::prepare(&NODE).await else { return };
    asks_every_provider(&environment, ["node_chat.mjs", "node_tools.mjs", "node_schema.mjs"], &Dialect::ALL, &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_python_sdk_chats_streams_batches_and_falls_back() {
    let Some(environment) = Environment::prepare(&PYTHON_LEGACY).await else { return };
    let world = World::start().await;
    for dialect in Dialect::ALL {
        world.run(&environment, "legacy_chat.py", &[dialect.model(), world.upstream(dialect).name()]).await;
    }
    world.primary.always(Script::error(503, "Overloaded"));
    world.run(&environment, "legacy_fallback.py", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_python_sdk_raises_the_right_classes() {
    let Some(environment) = Environment::prepare(&PYTHON_LEGACY).await else { return };
    World::start().await.run(&environment, "legacy_errors.py", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_works_the_public_and_the_admin_api() {
    let Some(environment) = Environment::prepare(&SYSTEM).await else { return };
    World::start().await.run(&environment, "curl.sh", &[]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_examples_run() {
    let world = World::start().await;
    let examples =
        [(&SYSTEM, "chat.sh"), (&PYTHON, "chat.py"), (&PYTHON_LEGACY, "chat_legacy.py"), (&NODE, "chat.mjs")];
    for (needs, script) in examples {
        if let Some(environment) = Environment::prepare(needs).await {
            world.run(&environment, &format!("../../../examples/{script}"), &[]).await;
        }
    }
}
