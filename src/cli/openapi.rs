//! `openapi`: the document that describes the API, as the gateway serves it.

use super::{Exit, say};

pub fn run() -> anyhow::Result<Exit> {
    say(crate::http::openapi().to_pretty_json()?)?;
    Ok(Exit::Ok)
}
