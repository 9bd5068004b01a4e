//! The canonical form between the protocols, shaped like the most structured of them: an answer is a sequence of
//! typed blocks, a stream is a sequence of events with a checkable grammar.

pub mod carrier;
mod custom;
mod error;
mod event;
mod loss;
mod place;
mod request;
mod response;
mod usage;

pub use carrier::Carrier;
pub use custom::{CustomCalls, StandIn};
pub use error::{ApiError, ErrorKind, Malformed, RawError};
pub use event::{Block, Citation, Delta, Event, Finish, FinishReason, Grammar, Ungrammatical};
pub use loss::{Loss, LossKind, Losses};
pub(crate) use place::Ways;
pub use place::{Names, Place, Subject};
pub use request::{
    Cache, Effort, FunctionTool, Hint, Media, MediaKind, MediaSource, Message, Part, Reasoning, ReasoningRequest,
    Request, ResponseFormat, Role, Sampling, Signature, Text, Tool, ToolCall, ToolChoice, ToolResult, Unmapped,
};
pub(crate) use request::{FOREIGN, NOT_OFFERED, WEB_SEARCH_OPTIONS};
pub use response::{Output, Response};
pub use usage::{Beside, Usage};
