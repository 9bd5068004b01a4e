//! What a target cannot carry.

/// One thing that a translation could not say as it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Loss {
    /// The field's path as the client would write it: `seed`, `messages[3].content[1]`.
    pub path: String,
    pub kind: LossKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LossKind {
    /// Left out; the answer means the same without it.
    Dropped,
    /// Said in a weaker or nearby form.
    Approximated,
    /// Leaving it out would change what the answer means, so the request must not be sent. Holds the reason.
    Refused(String),
}

/// All losses of one translation, in the order met, each path once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses(Vec<Loss>);

impl Losses {
    pub fn dropped(&mut self, path: impl Into<String>) {
        self.note(Loss { path: path.into(), kind: LossKind::Dropped });
    }

    pub fn approximated(&mut self, path: impl Into<String>) {
        self.note(Loss { path: path.into(), kind: LossKind::Approximated });
    }

    pub fn refused(&mut self, path: impl Into<String>, why: impl Into<String>) {
        self.note(Loss { path: path.into(), kind: LossKind::Refused(why.into()) });
    }

    /// Adds a loss unless its path is named already.
    pub fn note(&mut self, loss: Loss) {
        if !self.0.iter().any(|known| known.path == loss.path) {
            self.0.push(loss);
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Loss> {
        self.0.iter()
    }

    /// Those that forbid sending, with their reasons.
    pub fn refusals(&self) -> impl Iterator<Item = (&str, &str)> {
        self.0.iter().filter_map(|loss| match &loss.kind {
            LossKind::Refused(why) => Some((loss.path.as_str(), why.as_str())),
            LossKind::Dropped | LossKind::Approximated => None,
        })
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The paths, comma-separated: the value of the `X-Orchestrator-Dropped` header.
    pub fn paths(&self) -> String {
        self.0.iter().map(|loss| loss.path.as_str()).collect::<Vec<_>>().join(",")
    }
}
