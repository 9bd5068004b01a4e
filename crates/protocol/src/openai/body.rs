//! The fields of a request that mean the same in both protocols.

use super::ids;
use crate::{
    ir::{Effort, FunctionTool, Hint, Loss, Losses, NOT_OFFERED, Request, ResponseFormat, Tool, ToolChoice, Unmapped},
    json::Json,
    models::{ForcedToolChoice, ModelRules, Sampling},
    openai::content,
};

/// The longest name of an end user that OpenAI takes.
const LONGEST_USER: usize = 64;

/// A request while it is written.
pub struct Body<'a> {
    members: Vec<(&'static str, Json)>,
    /// Fields that the model refuses by name.
    refused: &'a [String],
    pub rules: &'a ModelRules,
    pub losses: &'a mut Losses,
}

/// The form that is asked of the answer.
pub enum Format<'a> {
    /// JSON that fits a schema.
    Schema { name: &'a str, description: Option<&'a str>, schema: &'a Json, strict: Option<bool> },
    /// Any JSON object. OpenAI wants the word JSON in the conversation then, which `instruction` brings there.
    Object { instruction: String },
}

impl<'a> Body<'a> {
    pub fn new(refused: &'a [String], rules: &'a ModelRules, losses: &'a mut Losses) -> Self {
        Self { members: Vec::with_capacity(16), refused, rules, losses }
    }

    pub fn finish(self) -> Vec<u8> {
        Json::object(self.members).to_string().into_bytes()
    }

    /// Writes a field, unless the model refuses it by name.
    pub fn put(&mut self, key: &'static str, value: impl Into<Json>) {
        if self.refuses(key) {
            self.losses.dropped(key);
        } else {
            self.members.push((key, value.into()));
        }
    }

    pub fn put_some(&mut self, key: &'static str, value: Option<Json>) {
        if let Some(value) = value {
            self.put(key, value);
        }
    }

    fn refuses(&self, key: &str) -> bool {
        self.refused.iter().any(|refused| refused == key)
    }

    /// The effort that will hold, in place of the one or of the budget that was asked for. `None` leaves it to the model.
    pub fn effort(&mut self, request: &Request) -> Option<Effort> {
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
        Some(nearest)
    }

    /// Whether the model will think, given the effort that holds.
    pub fn reasons(&self, effort: Option<Effort>) -> bool {
        effort.map_or(self.rules.reasons_by_default, |effort| effort != Effort::None)
    }

    /// Writes how the next token is drawn: `temperature`, `top_p` and the `others` that the protocol has.
    pub fn sampling(&mut self, request: &Request, reasons: bool, others: &[(&'static str, Option<f64>)]) {
        let allowed = match self.rules.sampling {
            Sampling::Always => true,
            Sampling::UnlessReasoning => !reasons,
            Sampling::Never => false,
        };
        let greatest = self.rules.max_temperature;
        let temperature = request.sampling.temperature.map(|asked| {
            if allowed && asked > greatest {
                self.losses.approximated("temperature");
            }
            asked.min(greatest)
        });
        let drawn = [("temperature", temperature), ("top_p", request.sampling.top_p)];
        for (key, value) in drawn.into_iter().chain(others.iter().copied()) {
            match value {
                Some(value) if allowed => self.put(key, value),
                Some(_) => self.losses.dropped(key),
                None => {}
            }
        }
        // OpenAI's servers refuse what they do not know, and do not know this.
        if request.sampling.top_k.is_some() {
            self.losses.dropped("top_k");
        }
    }

    /// The greatest number of tokens to ask for, no more than the model can give.
    pub fn output_limit(&mut self, asked: Option<u64>) -> Option<u64> {
        let limit = self.rules.max_output_tokens.unwrap_or(u64::MAX).min(asked?);
        if Some(limit) < asked {
            self.losses.approximated("max_tokens");
        }
        Some(limit)
    }

    pub fn user(&mut self, user: Option<&str>) {
        self.put_some("user", user.map(|user| Json::from(ids::at_most(user, LONGEST_USER))));
    }

    /// The form to ask for; where the model takes no schema, a description of it in words stands for it.
    pub fn format<'r>(&mut self, format: Option<&'r ResponseFormat>) -> Option<Format<'r>> {
        match format {
            None | Some(ResponseFormat::Text) => None,
            Some(ResponseFormat::JsonObject) => {
                Some(Format::Object { instruction: "Answer with a JSON object.".to_owned() })
            }
            Some(ResponseFormat::JsonSchema { name, description, schema, strict }) if self.rules.structured_output => {
                let name = name.as_deref().unwrap_or("response");
                Some(Format::Schema { name, description: description.as_deref(), schema, strict: *strict })
            }
            Some(ResponseFormat::JsonSchema { schema, .. }) => {
                self.losses.approximated("response_format");
                let instruction = format!("Answer with a JSON object that fits this JSON Schema:\n{schema}");
                Some(Format::Object { instruction })
            }
        }
    }

    /// Writes `tools`, each in the words that `write` has for it, with `tool_choice` and `parallel_tool_calls`, which are
    /// refused where there are no tools. `write` tells why a tool cannot be had.
    pub fn tools(
        &mut self,
        request: &Request,
        write: impl Fn(&Tool) -> Result<Json, &'static str>,
        named: impl Fn(&str, &'static str) -> Json,
    ) {
        let choice = request.tool_choice.as_ref();
        let allowed = |name: &str| match choice {
            Some(ToolChoice::Allowed { names, .. }) => names.contains(name),
            _ => true,
        };
        let mut tools = Vec::with_capacity(request.tools.len());
        let mut offers_named = false;
        for (at, offered) in request.tools.iter().enumerate() {
            let place = offered.place(at);
            match offered {
                Tool::Function(function) if !allowed(&function.name) => {}
                Tool::Custom { name, .. } if !allowed(name) => {}
                offered => match write(offered) {
                    Ok(tool) => {
                        if let Tool::Function(FunctionTool { cache: Some(hint), .. }) = offered {
                            self.losses.dropped(&hint.place);
                        }
                        offers_named |= matches!(choice, Some(ToolChoice::Named(name)) if offered.name() == Some(name));
                        tools.push(tool);
                    }
                    // Agents offer a search of the web with everything they ask, and do without.
                    Err(_) if matches!(offered, Tool::Hosted { web_search: true, .. }) => {
                        self.losses.dropped(&*place);
                    }
                    Err(why) => self.losses.refused(&*place, why),
                },
            }
        }
        let choice = choice.filter(|choice| {
            let missing = matches!(choice, ToolChoice::Named(_)) && !offers_named;
            if missing {
                self.losses.refused("tool_choice", NOT_OFFERED);
            }
            !missing
        });
        if tools.is_empty() {
            return;
        }
        self.put("tools", tools);
        if let Some(choice) = choice {
            let value = self.tool_choice(choice, request, named);
            self.put("tool_choice", value);
        }
        self.put_some("parallel_tool_calls", request.parallel_tool_calls.map(Json::Bool));
    }

    fn tool_choice(
        &mut self,
        choice: &ToolChoice,
        request: &Request,
        named: impl Fn(&str, &'static str) -> Json,
    ) -> Json {
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
                named(name, if custom { "custom" } else { "function" })
            }
        }
    }

    /// Hands every field that the canonical form has no place for to `write`, which says whether it could write it; what
    /// nobody can write is lost.
    pub fn rest(&mut self, rest: &[Unmapped], mut write: impl FnMut(&mut Self, Hint, &Json) -> bool) {
        for field in rest {
            let written = match &field.hint {
                Some((hint, value)) if !self.refuses(hint.as_str()) => write(self, *hint, value),
                _ => false,
            };
            if !written {
                self.losses.note(Loss::from(field));
            }
        }
    }
}

/// A function's schema; some servers insist on one even where there is nothing to say.
pub fn parameters(schema: Option<&Json>) -> Json {
    let nothing = || Json::object([("type", Json::from("object")), ("properties", Json::Object(Vec::new()))]);
    schema.cloned().unwrap_or_else(nothing)
}

/// What a tool runs into that only its own provider has.
pub const ELSEWHERE: &str = "the tool runs at another provider and does not exist at this one";

/// The effort that a number of tokens for thinking comes nearest to.
fn effort_of(budget: u64) -> Effort {
    match budget {
        0 => Effort::None,
        1..=2048 => Effort::Low,
        2049..=10_000 => Effort::Medium,
        _ => Effort::High,
    }
}

/// Whether `parts` have the word JSON anywhere in their text.
pub fn speak_of_json<'p>(parts: impl Iterator<Item = &'p crate::ir::Part>) -> bool {
    content::texts(parts).any(|text| text.as_bytes().windows(4).any(|word| word.eq_ignore_ascii_case(b"json")))
}

/// The form of a free-text tool's input with its grammar as one object, as the chat protocol has it.
pub fn nested_format(format: &Json) -> Json {
    let (Some(kind), None) = (format.get("type"), format.get("grammar")) else { return format.clone() };
    let inner: Vec<_> = format.members().unwrap_or_default().iter().filter(|(key, _)| key != "type").cloned().collect();
    if inner.is_empty() {
        return format.clone();
    }
    Json::object([("type", kind.clone()), ("grammar", Json::Object(inner))])
}

/// The form of a free-text tool's input with its grammar's members beside its type, as the Responses protocol has it.
pub fn flat_format(format: &Json) -> Json {
    let (Some(kind), Some(Json::Object(inner))) = (format.get("type"), format.get("grammar")) else {
        return format.clone();
    };
    Json::Object([("type".to_owned(), kind.clone())].into_iter().chain(inner.iter().cloned()).collect())
}
