//! Recorded and documented traffic of real providers, decoded.

#[cfg(test)]
mod anthropic;
#[cfg(test)]
mod gemini;
