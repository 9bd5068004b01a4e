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

/// So many losses are told apart, and so much of a path is told: a request can hold any number of unknown fields.
const MOST: usize = 64;
const LONGEST_PATH: usize = 100;

/// The losses of one translation, in the order met, each path once. Past a limit only a first refusal still counts.
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
        let forbids = matches!(loss.kind, LossKind::Refused(_)) && self.refusals().next().is_none();
        if (self.0.len() < MOST || forbids) && !self.0.iter().any(|known| known.path == loss.path) {
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
        let short = |loss: &Loss| loss.path.chars().take(LONGEST_PATH).collect();
        self.0.iter().map(short).collect::<Vec<String>>().join(",")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_losses_makes_a_short_list_that_still_has_a_refusal() {
        let mut losses = Losses::default();
        (0..100_000).for_each(|number| losses.dropped(format!("{number}{}", "x".repeat(200))));
        losses.refused("n", "one answer only");
        losses.refused("m", "not told any more");
        assert_eq!(losses.refusals().collect::<Vec<_>>(), [("n", "one answer only")]);
        assert!(losses.paths().len() <= (MOST + 1) * (LONGEST_PATH + 1));
    }
}
