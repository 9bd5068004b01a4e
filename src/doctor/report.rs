//! What small requests found out about a provider, and what follows from it for who is asked.

use std::collections::BTreeMap;

use llm_protocol::{Needs, ProtocolId};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use utoipa::ToSchema;

/// So many models' findings are kept; the longest known ones go first.
const MOST_MODELS: usize = 32;

/// Everything known about one provider. It speaks of the address and the key that were asked, and is forgotten with them.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Report {
    /// What does not hang on a protocol.
    #[schema(value_type = Object)]
    pub services: BTreeMap<Service, Finding>,
    /// By the provider's names of the models that were asked.
    pub models: BTreeMap<String, Examination>,
}

/// What is known of one model at a provider.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Examination {
    #[schema(example = "2026-01-31T08:00:00Z")]
    pub examined_at: String,
    #[schema(value_type = Object)]
    pub protocols: BTreeMap<ProtocolId, Spoken>,
}

/// What a model can do in one protocol.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, ToSchema)]
pub struct Spoken {
    /// Whether the provider has the protocol at all: `no` where its path does not exist.
    pub spoken: Verdict,
    /// Empty but for `chat` where that did not work: then nothing else was tried.
    #[schema(value_type = Object)]
    pub capabilities: BTreeMap<Capability, Finding>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    Yes,
    No,
    /// It could not be tried, or what came proves nothing.
    Unknown,
}

impl Verdict {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::No => "no",
            Self::Unknown => "unknown",
        }
    }
}

/// A verdict and what it rests on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, ToSchema)]
pub struct Finding {
    pub verdict: Verdict,
    /// What was seen, in a few words; never a secret.
    pub seen: String,
}

impl Finding {
    pub fn new(verdict: Verdict, seen: impl Into<String>) -> Self {
        Self { verdict, seen: seen.into() }
    }

    pub fn yes(seen: impl Into<String>) -> Self {
        Self::new(Verdict::Yes, seen)
    }

    pub fn no(seen: impl Into<String>) -> Self {
        Self::new(Verdict::No, seen)
    }

    pub fn unknown(seen: impl Into<String>) -> Self {
        Self::new(Verdict::Unknown, seen)
    }
}

/// What a model may be able to do in a protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Capability {
    /// A whole answer.
    Chat,
    Stream,
    /// The stream tells what it took.
    StreamUsage,
    /// It calls a tool when that helps.
    Tools,
    /// It calls several at once.
    ParallelTools,
    /// It calls the tool that it is told to.
    ToolChoice,
    Image,
    /// Its answer obeys a schema.
    JsonSchema,
    /// Instructions in the middle of a conversation.
    SystemLater,
    /// A bad request is answered with words.
    Errors,
    /// It counts a request's tokens without answering it.
    CountTokens,
}

impl Capability {
    pub const ALL: [Self; 11] = [
        Self::Chat,
        Self::Stream,
        Self::StreamUsage,
        Self::Tools,
        Self::ParallelTools,
        Self::ToolChoice,
        Self::Image,
        Self::JsonSchema,
        Self::SystemLater,
        Self::Errors,
        Self::CountTokens,
    ];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Chat => "chat",
            Self::Stream => "stream",
            Self::StreamUsage => "stream_usage",
            Self::Tools => "tools",
            Self::ParallelTools => "parallel_tools",
            Self::ToolChoice => "tool_choice",
            Self::Image => "image",
            Self::JsonSchema => "json_schema",
            Self::SystemLater => "system_later",
            Self::Errors => "errors",
            Self::CountTokens => "count_tokens",
        }
    }
}

/// What a provider may offer beside generating.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Service {
    /// A list of its models.
    Models,
    Embeddings,
}

impl Service {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Models => "models",
            Self::Embeddings => "embeddings",
        }
    }
}

impl Report {
    /// Reads what was stored. What a newer version wrote and this one does not understand counts for nothing.
    pub fn of(stored: Option<&Map<String, Value>>) -> Self {
        stored.and_then(|stored| serde_json::from_value(Value::Object(stored.clone())).ok()).unwrap_or_default()
    }

    /// The form in which it is stored and shown.
    pub fn to_json(&self) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(Value::Object(members)) => members,
            _ => Map::new(),
        }
    }

    /// Adds what was found out later. Of a model, protocols that were not asked again keep their findings.
    pub fn learn(&mut self, newer: Self) {
        self.services.extend(newer.services);
        for (model, examination) in newer.models {
            let known = self.models.entry(model).or_default();
            known.examined_at = examination.examined_at;
            known.protocols.extend(examination.protocols);
        }
        while self.models.len() > MOST_MODELS {
            let oldest = self.models.iter().min_by(|(_, a), (_, b)| a.examined_at.cmp(&b.examined_at));
            let Some(oldest) = oldest.map(|(model, _)| model.clone()) else { return };
            self.models.remove(&oldest);
        }
    }

    /// Whether any model answered in any protocol.
    pub fn is_usable(&self) -> bool {
        let spoken = self.models.values().flat_map(|examination| examination.protocols.values());
        spoken.flat_map(|spoken| spoken.capabilities.get(&Capability::Chat)).any(|chat| chat.verdict == Verdict::Yes)
    }

    /// Whether a protocol was found absent for `model`; where it is spoken for all models alike, for any model.
    pub fn lacks(&self, protocol: ProtocolId, model: &str, alike: bool) -> bool {
        let told = |examination: &Examination| examination.protocols.get(&protocol).map(|spoken| spoken.spoken);
        if let Some(verdict) = self.models.get(model).and_then(told) {
            return verdict == Verdict::No;
        }
        let mut others = self.models.values().filter_map(told).peekable();
        alike && others.peek().is_some() && others.all(|verdict| verdict == Verdict::No)
    }

    /// Whether nothing that is known of `model` in this protocol speaks against `needs`.
    pub fn allows(&self, protocol: ProtocolId, model: &str, needs: Needs) -> bool {
        let spoken = self.models.get(model).and_then(|examination| examination.protocols.get(&protocol));
        let Some(spoken) = spoken else { return true };
        let needed = [
            (needs.tool_call, Capability::Tools),
            (needs.structured_output, Capability::JsonSchema),
            (needs.image, Capability::Image),
        ];
        needed.iter().filter(|(needed, _)| *needed).all(|(_, capability)| {
            spoken.capabilities.get(capability).is_none_or(|finding| finding.verdict != Verdict::No)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn examined(at: &str, protocol: ProtocolId, spoken: Verdict, found: &[(Capability, Verdict)]) -> Examination {
        let capabilities =
            found.iter().map(|(capability, verdict)| (*capability, Finding::new(*verdict, ""))).collect();
        Examination { examined_at: at.to_owned(), protocols: [(protocol, Spoken { spoken, capabilities })].into() }
    }

    fn report(model: &str, examination: Examination) -> Report {
        Report { services: BTreeMap::new(), models: [(model.to_owned(), examination)].into() }
    }

    #[test]
    fn a_report_is_read_back_as_it_was_stored_and_nonsense_counts_for_nothing() {
        let found = [(Capability::Chat, Verdict::Yes), (Capability::Image, Verdict::No)];
        let mut known = report("m", examined("2026", ProtocolId::OpenAiChat, Verdict::Yes, &found));
        known.services.insert(Service::Models, Finding::yes("2 models"));
        assert_eq!(Report::of(Some(&known.to_json())), known);
        assert_eq!(
            known.to_json()["models"]["m"]["protocols"]["openai_chat"]["capabilities"]["image"]["verdict"],
            "no"
        );
        let newer = serde_json::json!({"services": {"telepathy": {"verdict": "yes", "seen": ""}}, "models": {}});
        assert_eq!(Report::of(newer.as_object()), Report::default());
    }

    #[test]
    fn only_a_known_lack_rules_out_and_only_for_the_model_that_was_asked() {
        let found = [(Capability::Tools, Verdict::No), (Capability::Image, Verdict::Unknown)];
        let known = report("m", examined("2026", ProtocolId::OpenAiChat, Verdict::Yes, &found));
        let tools = Needs { tool_call: true, ..Needs::default() };
        let image = Needs { image: true, ..Needs::default() };
        assert!(!known.allows(ProtocolId::OpenAiChat, "m", tools));
        assert!(known.allows(ProtocolId::OpenAiChat, "m", image), "not known is no lack");
        assert!(known.allows(ProtocolId::OpenAiChat, "m", Needs::default()));
        assert!(known.allows(ProtocolId::OpenAiChat, "other", tools));
        assert!(known.allows(ProtocolId::Anthropic, "m", tools));
    }

    #[test]
    fn an_absent_protocol_is_absent_for_other_models_only_where_it_is_spoken_for_all_alike() {
        let known = report("m", examined("2026", ProtocolId::OpenAiResponses, Verdict::No, &[]));
        let lacks = |model, alike| known.lacks(ProtocolId::OpenAiResponses, model, alike);
        assert!(lacks("m", false) && lacks("other", true) && !lacks("other", false));
        assert!(!known.lacks(ProtocolId::OpenAiChat, "m", true), "it was not asked for");
    }

    #[test]
    fn later_findings_replace_earlier_ones_and_the_oldest_model_makes_room() {
        let mut known = Report::default();
        for number in 0..40 {
            let at = format!("2026-01-{number:02}");
            known.learn(report(&format!("m{number}"), examined(&at, ProtocolId::OpenAiChat, Verdict::Yes, &[])));
        }
        assert_eq!(known.models.len(), MOST_MODELS);
        assert!(!known.models.contains_key("m7") && known.models.contains_key("m8"));
        known.learn(report("m39", examined("2027", ProtocolId::Anthropic, Verdict::No, &[])));
        assert_eq!(known.models["m39"].protocols.len(), 2);
        assert_eq!(known.models["m39"].examined_at, "2027");
    }
}
