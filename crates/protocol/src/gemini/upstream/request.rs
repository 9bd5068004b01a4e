//! Writes a request.

use super::{
    body::{Body, GenerationConfig, SystemInstruction},
    contents, generation, tools,
};
use crate::{
    gemini::part::Part,
    ir::{self, Loss, Losses, Request, WEB_SEARCH_OPTIONS},
    models::ModelRules,
};

pub fn encode(request: &Request, rules: &ModelRules, losses: &mut Losses) -> Vec<u8> {
    losses.name_as(&request.names);
    let (tools, tool_config) = tools::tools(request, rules, losses);
    let config = generation::config(request, rules, losses);
    let body = Body {
        system_instruction: system(request, rules, losses),
        contents: contents::contents(request, rules, losses),
        tools,
        tool_config,
        generation_config: Some(config).filter(|config| *config != GenerationConfig::default()),
    };
    if request.user.is_some() {
        losses.dropped("user");
    }
    for field in request.rest.iter().filter(|field| field.path != WEB_SEARCH_OPTIONS) {
        losses.note(Loss::from(field));
    }
    serde_json::to_vec(&body).expect("plain structs with string keys can always be written")
}

fn system<'a>(request: &'a Request, rules: &ModelRules, losses: &mut Losses) -> Option<SystemInstruction<'a>> {
    let mut parts = Vec::new();
    for part in &request.system {
        match part {
            ir::Part::Text(text) => {
                if let Some(hint) = &text.cache {
                    losses.dropped(&hint.place);
                }
                parts.extend((!text.text.is_empty()).then(|| Part::text(&text.text)));
            }
            other => losses.dropped(other.place()),
        }
    }
    parts.extend(generation::format_in_words(request, rules, losses).map(Part::text));
    (!parts.is_empty()).then_some(SystemInstruction { parts })
}
