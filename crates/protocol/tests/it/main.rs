//! Recorded and documented traffic of real providers, decoded.

#[cfg(test)]
mod anthropic;
