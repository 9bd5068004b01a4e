//! Decides which target gets a request, and which get it next if that fails. Pure: the catalog, the health and a source
//! of chance go in, an ordered plan comes out.

mod order;
mod policy;

use std::sync::Arc;

use llm_protocol::{
    Needs,
    ir::{ApiError, ErrorKind},
};
pub use order::order;
pub use policy::Policy;

use crate::{
    catalog::{Capabilities, Catalog, Model, Provider},
    health::Admission,
};

/// One provider under one of its model names.
#[derive(Clone, Debug)]
pub struct Target {
    pub provider: Arc<Provider>,
    /// The provider's own name for the model.
    pub model: String,
    /// Share within the tier.
    pub weight: i64,
    /// The operator's configuration of the model, if there is one.
    pub configured: Option<Arc<Model>>,
}

/// What decides where a request may go.
#[derive(Clone, Debug, Default)]
pub struct Wish {
    /// The model as the client wrote it.
    pub model: String,
    /// A provider's name or type.
    pub provider: Option<String>,
    /// Names or types, in the order to be tried after the first choice.
    pub fallbacks: Vec<String>,
    pub needs: Needs,
}

impl Target {
    /// Who is asked, for what.
    pub fn asked(&self) -> (&Provider, &str) {
        (&self.provider, &self.model)
    }

    /// Whether it may be asked now, by a request of so many tokens.
    pub fn admission(&self, tokens: u64) -> Admission {
        self.provider.admission_of(&self.model, tokens)
    }

    /// The same at the same provider, as one of its keys sees it.
    pub fn with(&self, provider: Arc<Provider>) -> Self {
        Self { provider, model: self.model.clone(), weight: self.weight, configured: self.configured.clone() }
    }
}

fn met_by(needs: Needs, capabilities: Capabilities) -> bool {
    (!needs.tool_call || capabilities.tool_call)
        && (!needs.structured_output || capabilities.structured_output)
        && (!needs.image || capabilities.image)
}

/// Groups of targets, each to be exhausted before the next: the first choice, then every fallback. Never all empty.
pub type Groups = Vec<Vec<Target>>;

/// Finds all who may serve a request.
///
/// Fails with 400 for a provider that does not exist, 404 for a model that nobody serves, 503 if who serves it is switched off.
pub fn candidates(catalog: &Catalog, wish: &Wish) -> Result<Groups, ApiError> {
    let (prefix, model) = split(catalog, &wish.model);
    let mut groups = Vec::with_capacity(1 + wish.fallbacks.len());
    match wish.provider.as_deref().map(|name| (name, "provider")).or(prefix.map(|name| (name, "model"))) {
        Some((selector, field)) => groups.push(selected(catalog, selector, field, model, wish.needs)?),
        None => groups.push(serving(catalog, model, wish.needs)?),
    }
    for (at, selector) in wish.fallbacks.iter().enumerate() {
        groups.push(selected(catalog, selector, &format!("fallback_providers[{at}]"), model, wish.needs)?);
    }
    if groups.iter().all(Vec::is_empty) {
        return Err(match wish.provider.as_deref().or(prefix) {
            Some(selector) => ApiError::new(
                ErrorKind::Unavailable,
                format!("provider `{selector}` is switched off or cannot be used; its health says why"),
            ),
            None => ApiError {
                param: Some("model".into()),
                ..ApiError::new(ErrorKind::NotFound, format!("no provider serves the model `{model}`"))
            },
        });
    }
    Ok(groups)
}

/// The provider's name or type in front of the first colon, if there is such a provider, and the model without it.
pub fn split<'a>(catalog: &Catalog, model: &'a str) -> (Option<&'a str>, &'a str) {
    match model.split_once(':') {
        Some((selector, rest)) if !rest.is_empty() && catalog.knows(selector) => (Some(selector), rest),
        _ => (None, model),
    }
}

/// Those whom the client chose: they are asked whether they list the model or not.
fn selected(
    catalog: &Catalog,
    selector: &str,
    field: &str,
    model: &str,
    needs: Needs,
) -> Result<Vec<Target>, ApiError> {
    if !catalog.knows(selector) {
        return Err(ApiError {
            param: Some(field.into()),
            ..ApiError::new(
                ErrorKind::InvalidRequest,
                format!("`{field}`: there is no provider of the name or type `{selector}`"),
            )
        });
    }
    let chosen = catalog.select(selector);
    let configured = catalog.models.get(model);
    if let Some(model) = configured {
        let is_chosen = |provider: &Provider| chosen.iter().any(|chosen| chosen.id == provider.id);
        if model.routes.iter().any(|route| is_chosen(&route.provider)) {
            let able: Vec<Target> = routes(model, needs).filter(|target| is_chosen(&target.provider)).collect();
            return if able.is_empty() { Err(unable(&model.name, needs)) } else { Ok(able) };
        }
    }
    let able = chosen.iter().filter(|provider| provider.meets(model, needs));
    let (serving, others): (Vec<&&Arc<Provider>>, Vec<_>) = able.partition(|provider| provider.serves(model));
    let asked = if serving.is_empty() { others } else { serving };
    if asked.is_empty() && !chosen.is_empty() {
        return Err(unable(model, needs));
    }
    Ok(asked.into_iter().map(|provider| plain(provider, model, configured)).collect())
}

/// All who serve a model by their own account or the operator's.
fn serving(catalog: &Catalog, model: &str, needs: Needs) -> Result<Vec<Target>, ApiError> {
    let configured = catalog.models.get(model);
    if configured.is_none() && catalog.disabled_models.contains(model) {
        return Ok(Vec::new());
    }
    let mut targets: Vec<Target> = configured.map(|model| routes(model, needs).collect()).unwrap_or_default();
    // Where the operator said who serves a model, nobody is asked for it on a guess.
    let told = configured.is_some_and(|model| !model.routes.is_empty());
    let mut unfit = told;
    for provider in catalog.serving(model, told).iter() {
        if provider.meets(model, needs) {
            targets.push(plain(provider, model, configured));
        } else {
            unfit = true;
        }
    }
    if targets.is_empty() && unfit { Err(unable(model, needs)) } else { Ok(targets) }
}

/// Somebody serves the model, and nobody can do with it what is needed.
fn unable(model: &str, needs: Needs) -> ApiError {
    ApiError {
        param: Some("model".into()),
        ..ApiError::new(
            ErrorKind::InvalidRequest,
            format!("no provider of the model `{model}` can do what the request needs ({needs})"),
        )
    }
}

fn routes(model: &Arc<Model>, needs: Needs) -> impl Iterator<Item = Target> {
    model.routes.iter().filter(move |route| met_by(needs, route.capabilities)).map(|route| Target {
        provider: route.provider.clone(),
        model: route.upstream_name.clone(),
        weight: route.weight,
        configured: Some(model.clone()),
    })
}

fn plain(provider: &Arc<Provider>, model: &str, configured: Option<&Arc<Model>>) -> Target {
    Target {
        provider: provider.clone(),
        model: model.to_owned(),
        weight: provider.weight,
        configured: configured.cloned(),
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use std::time::Duration;

    use super::*;
    use crate::{
        doctor::Report,
        health::{Health, Policy},
        providers,
    };

    /// A target of provider `id`, of this priority and weight.
    pub(crate) fn target(id: i64, priority: i64, weight: i64) -> Target {
        let second = Duration::from_secs(1);
        let health = Health::new(Policy { max_errors: 3, ejection_base: second, ejection_max: second });
        let kind = providers::find("openai").unwrap();
        let provider = Provider {
            id,
            name: format!("p{id}").into(),
            kind,
            protocols: None,
            base_url: "http://127.0.0.1:9/v1".into(),
            key: None,
            account: None,
            accounts: Vec::new(),
            options: Default::default(),
            headers: Default::default(),
            fields: Default::default(),
            proxy: None,
            priority,
            weight,
            timeout: second,
            max_retries: 0,
            rate_limit: None,
            listed: None,
            own_address: false,
            associated: false,
            findings: Report::default(),
            created: 0,
            health: health.of(id),
        };
        Target { provider: Arc::new(provider), model: "m".into(), weight, configured: None }
    }
}
