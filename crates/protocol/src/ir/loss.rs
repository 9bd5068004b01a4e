//! What a target cannot carry.

use super::{Names, Subject};

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
    /// Left out, which changes what the answer means: sent only for clients that said that they do not mind. Holds the
    /// reason.
    Refused(String),
    /// Part of the conversation itself, or a reference to what another provider keeps: without it there is no request to be
    /// sent, whatever the client minds. Holds the reason.
    Impossible(String),
}

impl LossKind {
    /// The refusal of what stands at `path`: [`LossKind::Impossible`] for the conversation and for what is kept elsewhere. A
    /// tool that the conversation brought is a tool all the same.
    pub fn refusal(path: &str, why: impl Into<String>) -> Self {
        let root = path.split(['.', '[']).next().unwrap_or_default();
        if ESSENTIAL.contains(&root) && !path.contains(".tools[") {
            Self::Impossible(why.into())
        } else {
            Self::Refused(why.into())
        }
    }

    /// The reason, if this is a refusal of any kind.
    fn reason(&self) -> Option<&str> {
        match self {
            Self::Refused(why) | Self::Impossible(why) => Some(why),
            Self::Dropped | Self::Approximated => None,
        }
    }
}

/// Fields of all protocols that hold the conversation, or name what a provider keeps of it.
const ESSENTIAL: [&str; 14] = [
    "messages",
    "input",
    "contents",
    "system",
    "instructions",
    "systemInstruction",
    "system_instruction",
    "previous_response_id",
    "conversation",
    "prompt",
    "background",
    "container",
    "cachedContent",
    "cached_content",
];

/// So many losses are told apart, and so much of a path is told: a request can hold any number of unknown fields.
const MOST: usize = 64;
const LONGEST_PATH: usize = 100;

/// So long is a list of paths at most, in bytes: a header among others, and a column of the log.
const LONGEST_LIST: usize = 1900;

/// Stands at the end of a list that was cut, before the number of what it leaves out.
const MORE: &str = "...+";

/// Room for [`MORE`] with a comma before it and a number behind it.
const ROOM_FOR_MORE: usize = MORE.len() + 21;

/// The losses of one translation, in the order met, each path once. Past a limit the rest is only counted, but for a first
/// refusal of each kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Losses {
    list: Vec<Loss>,
    names: Names,
    /// Those that are not in the list: what was left out, and what was said in a nearby form.
    untold: [usize; 2],
}

impl Losses {
    /// Has all that follows told by the names that the client has for its fields.
    pub fn name_as(&mut self, names: &Names) {
        self.names.clone_from(names);
    }

    pub fn dropped<'s>(&mut self, what: impl Into<Subject<'s>>) {
        self.note(Loss { path: what.into().path(&self.names), kind: LossKind::Dropped });
    }

    pub fn approximated<'s>(&mut self, what: impl Into<Subject<'s>>) {
        self.note(Loss { path: what.into().path(&self.names), kind: LossKind::Approximated });
    }

    /// What must not be left out without the client's word; [`LossKind::refusal`] says how grave it is.
    pub fn refused<'s>(&mut self, what: impl Into<Subject<'s>>, why: impl Into<String>) {
        let path = what.into().path(&self.names);
        let kind = LossKind::refusal(&path, why);
        self.note(Loss { path, kind });
    }

    /// Adds a loss. Of two at one path the graver counts.
    pub fn note(&mut self, loss: Loss) {
        if let Some(known) = self.list.iter_mut().find(|known| known.path == loss.path) {
            if loss.kind.reason().is_some() && known.kind.reason().is_none() {
                known.kind = loss.kind;
            }
            return;
        }
        let forbids = match loss.kind {
            LossKind::Refused(_) => self.refusals().next().is_none(),
            LossKind::Impossible(_) => self.impossible().next().is_none(),
            LossKind::Dropped | LossKind::Approximated => false,
        };
        if self.list.len() < MOST || forbids {
            self.list.push(loss);
        } else {
            self.untold[usize::from(loss.kind == LossKind::Approximated)] += 1;
        }
    }

    pub fn iter(&self) -> impl Iterator<Item = &Loss> {
        self.list.iter()
    }

    /// What changes the answer's meaning or makes one impossible, with the reasons.
    pub fn refusals(&self) -> impl Iterator<Item = (&str, &str)> {
        self.list.iter().filter_map(|loss| Some((loss.path.as_str(), loss.kind.reason()?)))
    }

    /// What no request can do without, with the reasons.
    pub fn impossible(&self) -> impl Iterator<Item = (&str, &str)> {
        let gravest = self.list.iter().filter(|loss| matches!(loss.kind, LossKind::Impossible(_)));
        gravest.filter_map(|loss| Some((loss.path.as_str(), loss.kind.reason()?)))
    }

    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// All paths, comma-separated, fit for a header: whatever else than visible ASCII a path holds is percent-encoded.
    pub fn paths(&self) -> String {
        list(self.list.iter(), self.untold[0] + self.untold[1])
    }

    /// The paths of what was left out: the value of the `X-Orchestrator-Dropped` header.
    pub fn left_out(&self) -> String {
        list(self.list.iter().filter(|loss| loss.kind != LossKind::Approximated), self.untold[0])
    }

    /// The paths of what was said in a nearby form: the value of the `X-Orchestrator-Approximated` header.
    pub fn approximations(&self) -> String {
        list(self.list.iter().filter(|loss| loss.kind == LossKind::Approximated), self.untold[1])
    }
}

/// The paths of `losses` as far as there is room, and how many more there are, `untold` ones included.
fn list<'a>(losses: impl Iterator<Item = &'a Loss>, untold: usize) -> String {
    let mut list = String::new();
    let mut more = untold;
    for loss in losses {
        let path = written(&loss.path);
        if more > untold || list.len() + path.len() + ROOM_FOR_MORE > LONGEST_LIST {
            more += 1;
            continue;
        }
        separate(&mut list);
        list.push_str(&path);
    }
    if more > 0 {
        separate(&mut list);
        list.push_str(&format!("{MORE}{more}"));
    }
    list
}

fn separate(list: &mut String) {
    if !list.is_empty() {
        list.push(',');
    }
}

/// A path's beginning, with what would end it or could not stand in a header percent-encoded.
fn written(path: &str) -> String {
    let mut text = String::with_capacity(path.len());
    for byte in path.chars().take(LONGEST_PATH).collect::<String>().bytes() {
        match byte {
            b',' | b'%' => text.push_str(&format!("%{byte:02X}")),
            visible if visible.is_ascii_graphic() => text.push(char::from(visible)),
            other => text.push_str(&format!("%{other:02X}")),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_of_losses_makes_a_short_list_that_still_has_a_refusal() {
        let mut losses = Losses::default();
        (0..1000).for_each(|number| losses.dropped(&format!("{number}{}", "x".repeat(200))));
        losses.refused("n", "one answer only");
        losses.refused("m", "not told any more");
        losses.refused("messages[0]", "cannot be shown");
        assert_eq!(
            losses.refusals().collect::<Vec<_>>(),
            [("n", "one answer only"), ("messages[0]", "cannot be shown")]
        );
        assert!(losses.paths().len() <= LONGEST_LIST, "{}", losses.paths().len());
        assert!(losses.paths().ends_with(",...+985"), "{}", losses.paths());
        assert_eq!(losses.approximations(), "");
    }

    #[test]
    fn a_list_tells_what_was_left_out_from_what_was_said_otherwise() {
        let mut losses = Losses::default();
        losses.dropped("seed");
        losses.approximated("tools[0].function.parameters");
        losses.refused("n", "one answer only");
        assert_eq!(losses.left_out(), "seed,n");
        assert_eq!(losses.approximations(), "tools[0].function.parameters");
    }

    #[test]
    fn odd_characters_of_a_path_are_escaped_so_that_a_header_can_hold_it() {
        let mut losses = Losses::default();
        losses.dropped("a,b\r\nX-Evil: 1");
        losses.dropped("é%");
        assert_eq!(losses.paths(), "a%2Cb%0D%0AX-Evil:%201,%C3%A9%25");
    }

    #[test]
    fn the_conversation_and_what_is_kept_elsewhere_cannot_be_left_out() {
        let mut losses = Losses::default();
        for path in
            ["n", "tools[1]", "input[0].tools[1]", "messages[2].content[0]", "previous_response_id", "input[3].file_id"]
        {
            losses.refused(path, "why");
        }
        let impossible: Vec<_> = losses.impossible().map(|(path, _)| path).collect();
        assert_eq!(impossible, ["messages[2].content[0]", "previous_response_id", "input[3].file_id"]);
        assert_eq!(losses.refusals().count(), 6);
    }

    #[test]
    fn of_two_losses_at_one_path_the_graver_counts() {
        let mut losses = Losses::default();
        losses.approximated("messages");
        losses.refused("messages", "nothing is left");
        losses.dropped("messages");
        assert_eq!(losses.impossible().collect::<Vec<_>>(), [("messages", "nothing is left")]);
    }
}
