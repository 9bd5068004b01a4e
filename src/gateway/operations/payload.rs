//! What a client sends to an operation: JSON, a form with files, or nothing. Of it this gateway reads and changes its own fields
//! and the model's name; every other byte passes.

use axum::http::{HeaderMap, header};
use bytes::Bytes;
use llm_protocol::{
    ir::{ApiError, ErrorKind, Malformed},
    multipart::Form,
    splice::{Edit, Members},
};

/// A body that was read as far as it must be.
#[derive(Debug)]
pub enum Payload<'a> {
    Json(Members<'a>),
    Form(Form<'a>),
    Empty,
}

/// The fields of a form that mean something to this gateway, and whether their values are texts.
const FIELDS: [(&str, bool); 5] =
    [("model", true), ("provider", true), ("stream", false), ("timeout", false), ("retry_count", false)];

impl<'a> Payload<'a> {
    /// Reads a body by its `Content-Type`: what is no form is JSON, whatever it calls itself.
    pub fn read(headers: &'a HeaderMap, body: &'a [u8]) -> Result<Self, ApiError> {
        let kind = match headers.get(header::CONTENT_TYPE) {
            None => "",
            Some(kind) => kind.to_str().map_err(|_| unreadable_type())?,
        };
        Ok(if kind.trim_start().to_ascii_lowercase().starts_with("multipart/") {
            Self::Form(Form::read(kind, body)?)
        } else if body.is_empty() {
            Self::Empty
        } else {
            Self::Json(Members::read(body)?)
        })
    }

    /// Fails unless the body holds something.
    pub fn required(&self) -> Result<(), ApiError> {
        match self {
            Self::Empty => Err(ApiError::new(ErrorKind::InvalidRequest, "the request has no body")),
            Self::Json(_) | Self::Form(_) => Ok(()),
        }
    }

    /// Reads the fields that are this gateway's own: of a form, as the members that would say the same.
    pub fn read_own<T>(&self, read: impl FnOnce(&Members<'_>) -> Result<T, Malformed>) -> Result<T, Malformed> {
        match self {
            Self::Json(members) => read(members),
            Self::Form(form) => read(&Members::read(as_json(form).as_bytes())?),
            Self::Empty => read(&Members::read(b"{}")?),
        }
    }

    /// The text of a field.
    pub fn text(&self, name: &str) -> Option<String> {
        match self {
            Self::Json(members) => members.string(name).map(Into::into),
            Self::Form(form) => form.field(name).map(str::to_owned),
            Self::Empty => None,
        }
    }

    /// `body`, which this was read from, with these edits and under this model's name, where one is meant.
    pub fn rewritten(&self, body: &Bytes, model: &str, edits: &[Edit]) -> Bytes {
        let renamed = !model.is_empty() && self.text("model").as_deref() != Some(model);
        if edits.is_empty() && !renamed {
            return body.clone();
        }
        match self {
            Self::Json(members) => {
                let mut edits = edits.to_vec();
                if renamed {
                    edits.push(Edit::set("model", text(model)));
                }
                members.edit(&edits).into()
            }
            Self::Form(form) => {
                let removed = edits.iter().filter_map(|edit| match edit {
                    Edit::Remove(name) => Some(&**name),
                    Edit::Set(..) => None,
                });
                form.edit(renamed.then_some(("model", model)), &removed.collect::<Vec<_>>()).into()
            }
            Self::Empty => body.clone(),
        }
    }
}

/// The fields of a form that mean something to this gateway, as a JSON object.
fn as_json(form: &Form<'_>) -> String {
    let member = |(name, is_text): (&str, bool)| {
        let value = form.field(name)?;
        let bare = !is_text && serde_json::from_str::<serde_json::Value>(value).is_ok();
        let value = if bare { value.to_owned() } else { text(value) };
        Some(format!("\"{name}\":{value}"))
    };
    let members: Vec<String> = FIELDS.into_iter().filter_map(member).collect();
    format!("{{{}}}", members.join(","))
}

fn text(value: &str) -> String {
    serde_json::Value::from(value).to_string()
}

fn unreadable_type() -> Malformed {
    Malformed::new("", "the Content-Type must be printable ASCII")
}
