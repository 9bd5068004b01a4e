//! Codecs against recorded and documented traffic.

mod openai_chat;
