//! Reads a request into the canonical form.

use super::{
    contents,
    fields::{Fields, must_be},
    generation, tools,
    validate::{WHOLE, validate_count},
};
use crate::{
    ir::{Malformed, Request, Unmapped},
    json::Json,
    splice::Members,
};

/// This gateway's own fields, and the model, which the path names.
const NOT_GOOGLES: [&str; 4] = ["fallback_providers", "timeout", "retry_count", "model"];

/// Reads a generating request, or the one inside a request that asks for a count.
pub fn decode_request(body: &[u8]) -> Result<Request, Malformed> {
    validate_count(&Members::read(body)?)?;
    let body = Json::parse(body).map_err(|_| must_be("", "a JSON object"))?;
    let mut body = Fields::of(body, "")?;
    if let Some(whole) = body.object(WHOLE)? {
        body = whole;
    }
    let mut request = Request { include_usage: true, ..Request::default() };
    if let Some(system) = body.take("systemInstruction") {
        contents::system(system, &mut request)?;
    }
    contents::read(body.list("contents"), &mut request)?;
    tools::read(body.list("tools"), &mut request)?;
    if let Some(config) = body.object("toolConfig")? {
        tools::config(config, &mut request)?;
    }
    if let Some(config) = body.object("generationConfig")? {
        generation::read(config, &mut request)?;
    }
    rest(body, &mut request.rest);
    Ok(request)
}

/// What has no place in the canonical form. A default said aloud is no loss.
fn rest(mut body: Fields, rest: &mut Vec<Unmapped>) {
    NOT_GOOGLES.iter().for_each(|key| drop(body.take(key)));
    for key in ["provider", "store"] {
        match body.take(key) {
            None | Some(Json::String(_) | Json::Bool(false)) => {}
            Some(_) => rest.push(Unmapped { path: key.to_owned(), ..Unmapped::default() }),
        }
    }
    if body.take("cachedContent").is_some() {
        let refusal = Some("what was cached at Google is not known to other providers");
        rest.push(Unmapped { path: "cachedContent".to_owned(), refusal, ..Unmapped::default() });
    }
    body.leave(rest);
}
