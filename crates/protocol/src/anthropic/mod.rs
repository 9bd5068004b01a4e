//! Anthropic's Messages API, upstream side.
