//! OpenAI's Chat Completions API: client side, upstream side, and the stream filter between the two.
