//! Recorded and documented traffic of real providers, decoded.

mod anthropic;
