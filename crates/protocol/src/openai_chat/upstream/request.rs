//! Writes a request for an upstream, when the client speaks another protocol.

use super::messages::{self, Writer};
use crate::{
    ProtocolId, Target,
    ir::{Effort, Losses, Request, ResponseFormat, Tool, ToolChoice},
    json::Json,
    models::{ForcedToolChoice, ModelRules, OutputLimit, Sampling},
    openai_chat::ids,
};

/// OpenAI takes no more stop sequences than this.
const MOST_STOPS: usize = 4;

/// The longest name of an end user that OpenAI takes.
const LONGEST_USER: usize = 64;

pub fn encode_request(request: &Request, target: Target<'_>, losses: &mut Losses) -> Vec<u8> {
    let mut body = Body { members: Vec::with_capacity(16), rules: target.rules, losses };
    body.put("model", target.model);
    let format = body.response_format(request.response_format.as_ref());
    let messages = Writer::new(target.rules, body.losses).write(request, format.instruction.as_deref());
    body.put("messages", messages);
    body.tools(request);
    let effort = body.effort(request);
    body.sampling(request, effort);
    body.output_limit(request.max_output_tokens);
    body.put_some("response_format", format.field);
    body.put_some("n", request.candidates.map(|n| Json::from(u64::from(n))));
    if let Some(best) = request.logprobs {
        body.put("logprobs", true);
        body.put_some("top_logprobs", (best > 0).then(|| Json::from(u64::from(best))));
    }
    body.stop(&request.stop);
    body.put_some("user", request.user.as_deref().map(|user| Json::from(ids::at_most(user, LONGEST_USER))));
    if request.stream {
        body.put("stream", true);
        // Who refuses to be asked for the usage sends it unasked.
        if !target.rules.refuses("stream_options") {
            body.put("stream_options", Json::object([("include_usage", Json::Bool(true))]));
        }
    }
    for field in &request.rest {
        body.losses.note(field.into());
    }
    Json::object(body.members).to_string().into_bytes()
}

struct Body<'a> {
    members: Vec<(&'static str, Json)>,
    rules: &'a ModelRules,
    losses: &'a mut Losses,
}

/// How the form of the answer is asked for: a field, and words where the field alone does not do.
struct Format {
    field: Option<Json>,
    instruction: Option<String>,
}

impl Body<'_> {
    fn put(&mut self, key: &'static str, value: impl Into<Json>) {
        if self.rules.refuses(key) {
            self.losses.dropped(key);
        } else {
            self.members.push((key, value.into()));
        }
    }

    fn put_some(&mut self, key: &'static str, value: Option<Json>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn sampling(&mut self, request: &Request, effort: Option<Effort>) {
        let sampling = &request.sampling;
        let reasons = effort.map_or(self.rules.reasons_by_default, |effort| effort != Effort::None);
        let allowed = match self.rules.sampling {
            Sampling::Always => true,
            Sampling::UnlessReasoning => !reasons,
            Sampling::Never => false,
        };
        let temperature = sampling.temperature.map(|asked| {
            if allowed && asked > self.rules.max_temperature {
                self.losses.approximated("temperature");
            }
            asked.min(self.rules.max_temperature)
        });
        for (key, value) in [
            ("temperature", temperature),
            ("top_p", sampling.top_p),
            ("presence_penalty", sampling.presence_penalty),
            ("frequency_penalty", sampling.frequency_penalty),
        ] {
            match value {
                Some(value) if allowed => self.put(key, value),
                Some(_) => self.losses.dropped(key),
                None => {}
            }
        }
        // OpenAI's servers refuse what they do not know, and do not know this.
        if sampling.top_k.is_some() {
            self.losses.dropped("top_k");
        }
        self.put_some("seed", sampling.seed.map(|seed| Json::Number(seed.into())));
    }

    fn output_limit(&mut self, asked: Option<u64>) {
        let Some(asked) = asked else { return };
        let limit = self.rules.max_output_tokens.unwrap_or(u64::MAX).min(asked);
        if limit < asked {
            self.losses.approximated("max_tokens");
        }
        let key = match self.rules.output_limit {
            OutputLimit::AsAsked | OutputLimit::MaxTokens => "max_tokens",
            OutputLimit::MaxCompletionTokens => "max_completion_tokens",
        };
        self.put(key, limit);
    }

    /// Asks for an effort, and tells which one will hold.
    fn effort(&mut self, request: &Request) -> Option<Effort> {
        let asked = request.reasoning.as_ref()?;
        let wanted = asked.effort.or_else(|| asked.budget.map(effort_of))?;
        let Some(nearest) = self.rules.nearest_effort(wanted) else {
            // A model that cannot think does as it was told when it is told not to.
            if wanted != Effort::None || self.rules.reasons_by_default {
                self.losses.dropped("reasoning_effort");
            }
            return None;
        };
        if nearest != wanted {
            self.losses.approximated("reasoning_effort");
        }
        self.put("reasoning_effort", nearest.as_str());
        Some(nearest)
    }

    fn stop(&mut self, stop: &[String]) {
        if stop.is_empty() {
            return;
        }
        if !self.rules.stop {
            return self.losses.dropped("stop");
        }
        if stop.len() > MOST_STOPS {
            self.losses.approximated("stop");
        }
        let kept: Vec<Json> = stop.iter().take(MOST_STOPS).map(|text| Json::from(text.as_str())).collect();
        self.put("stop", kept);
    }

    fn response_format(&mut self, format: Option<&ResponseFormat>) -> Format {
        let object = || Json::object([("type", Json::from("json_object"))]);
        match format {
            None | Some(ResponseFormat::Text) => Format { field: None, instruction: None },
            // OpenAI wants the word JSON in the conversation when it is to write JSON.
            Some(ResponseFormat::JsonObject) => {
                Format { field: Some(object()), instruction: Some("Answer with a JSON object.".to_owned()) }
            }
            Some(ResponseFormat::JsonSchema { name, description, schema, strict }) if self.rules.structured_output => {
                let mut inner = vec![("name", Json::from(name.as_deref().unwrap_or("response")))];
                inner.extend(description.as_deref().map(|text| ("description", Json::from(text))));
                inner.push(("schema", schema.clone()));
                inner.extend(strict.map(|strict| ("strict", Json::Bool(strict))));
                let field = [("type", Json::from("json_schema")), ("json_schema", Json::object(inner))];
                Format { field: Some(Json::object(field)), instruction: None }
            }
            Some(ResponseFormat::JsonSchema { schema, .. }) => {
                self.losses.approximated("response_format");
                let instruction = format!("Answer with a JSON object that fits this JSON Schema:\n{schema}");
                Format { field: Some(object()), instruction: Some(instruction) }
            }
        }
    }

    fn tools(&mut self, request: &Request) {
        let choice = request.tool_choice.as_ref();
        let allowed = |name: &str| match choice {
            Some(ToolChoice::Allowed { names, .. }) => names.contains(name),
            _ => true,
        };
        let mut tools = Vec::with_capacity(request.tools.len());
        for (at, offered) in request.tools.iter().enumerate() {
            match offered {
                Tool::Function(function) if !allowed(&function.name) => {}
                Tool::Custom { name, .. } if !allowed(name) => {}
                Tool::Hosted { origin, .. } if *origin != ProtocolId::OpenAiChat => {
                    let why = "the tool runs at another provider and does not exist at this one";
                    self.losses.refused(format!("tools[{at}]"), why);
                }
                offered => tools.push(tool(offered)),
            }
        }
        if tools.is_empty() {
            return;
        }
        self.put("tools", tools);
        if let Some(choice) = choice {
            let value = self.tool_choice(choice, request);
            self.put("tool_choice", value);
        }
        self.put_some("parallel_tool_calls", request.parallel_tool_calls.map(Json::Bool));
    }

    fn tool_choice(&mut self, choice: &ToolChoice, request: &Request) -> Json {
        let forced =
            matches!(choice, ToolChoice::Required | ToolChoice::Named(_) | ToolChoice::Allowed { required: true, .. });
        let budget = request.reasoning.as_ref().and_then(|reasoning| reasoning.budget).is_some_and(|budget| budget > 0);
        let refused = match self.rules.forced_tool_choice {
            ForcedToolChoice::Always => false,
            ForcedToolChoice::UnlessBudget => budget,
            ForcedToolChoice::Never => true,
        };
        if forced && refused {
            self.losses.approximated("tool_choice");
            return Json::from("auto");
        }
        match choice {
            ToolChoice::None => Json::from("none"),
            ToolChoice::Required | ToolChoice::Allowed { required: true, .. } => Json::from("required"),
            ToolChoice::Auto | ToolChoice::Allowed { required: false, .. } => Json::from("auto"),
            ToolChoice::Named(name) => {
                let custom =
                    request.tools.iter().any(|tool| matches!(tool, Tool::Custom { name: known, .. } if known == name));
                let kind = if custom { "custom" } else { "function" };
                let inner = Json::object([("name", Json::from(name.as_str()))]);
                Json::object([("type", Json::from(kind)), (kind, inner)])
            }
        }
    }
}

fn tool(tool: &Tool) -> Json {
    let describe = |text: &Option<String>| text.as_deref().map(|text| ("description", Json::from(text)));
    let (kind, inner) = match tool {
        Tool::Function(function) => {
            let mut inner = vec![("name", Json::from(function.name.as_str()))];
            inner.extend(describe(&function.description));
            inner.push(("parameters", function.parameters.clone().unwrap_or_else(no_parameters)));
            inner.extend(function.strict.map(|strict| ("strict", Json::Bool(strict))));
            ("function", inner)
        }
        Tool::Custom { name, description, format, .. } => {
            let mut inner = vec![("name", Json::from(name.as_str()))];
            inner.extend(describe(description));
            inner.extend(format.clone().map(|format| ("format", format)));
            ("custom", inner)
        }
        Tool::Hosted { raw, .. } => return raw.clone(),
    };
    Json::object([("type", Json::from(kind)), (kind, Json::object(inner))])
}

/// Some servers insist on a schema even where there is nothing to say.
fn no_parameters() -> Json {
    Json::object([("type", Json::from("object")), ("properties", Json::Object(Vec::new()))])
}

/// The effort that a number of tokens for thinking comes nearest to.
fn effort_of(budget: u64) -> Effort {
    match budget {
        0 => Effort::None,
        1..=2048 => Effort::Low,
        2049..=10_000 => Effort::Medium,
        _ => Effort::High,
    }
}

/// Whether any text of the request has the word JSON in it.
pub fn speaks_of_json(request: &Request) -> bool {
    let parts = request.system.iter().chain(request.messages.iter().flat_map(|message| &message.parts));
    messages::texts(parts).any(|text| text.as_bytes().windows(4).any(|word| word.eq_ignore_ascii_case(b"json")))
}
