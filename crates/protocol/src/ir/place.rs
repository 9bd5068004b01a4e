//! Where things stood in a client's request, in the client's own words: what a [`Loss`](super::Loss) is told by.

use crate::splice::Members;

/// Where something stood in the client's request: a path such as `messages[3].content[1]`, empty in a request that no client
/// sent.
///
/// It is no part of what was said: two things are equal wherever they stood.
#[derive(Clone, Default)]
pub struct Place(String);

impl Place {
    /// What stood nowhere.
    pub const NOWHERE: &'static Self = &Self(String::new());

    pub fn as_str(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<&str> for Place {
    fn from(path: &str) -> Self {
        Self(path.to_owned())
    }
}

impl From<String> for Place {
    fn from(path: String) -> Self {
        Self(path)
    }
}

impl PartialEq for Place {
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

impl Eq for Place {}

impl std::fmt::Debug for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        // What is equal looks equal.
        f.write_str("_")
    }
}

/// For a field, by its name in OpenAI's chat protocol: the names that another protocol has for it, the one that counts first
/// where a request has several.
pub(crate) type Ways = [(&'static str, &'static [&'static str])];

/// What one client calls the fields of its request, where OpenAI's chat protocol calls them otherwise.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Names(Vec<(&'static str, &'static str)>);

impl Names {
    /// Of each field's names the first that the request has.
    pub(crate) fn of(ways: &Ways, request: &Members<'_>) -> Self {
        let named = |(field, names): &(&'static str, &'static [&'static str])| {
            let given = names.iter().find(|name| names.len() > 1 && has(request, name));
            Some((*field, *given.or_else(|| names.first())?))
        };
        Self(ways.iter().filter_map(named).collect())
    }

    /// The client's name for a field, given OpenAI's chat protocol's.
    pub fn name<'n>(&self, field: &'n str) -> &'n str {
        self.0.iter().find(|(known, _)| *known == field).map_or(field, |(_, name)| name)
    }
}

/// Whether the object has a member at a path of names with dots between them.
fn has(object: &Members<'_>, path: &str) -> bool {
    match path.split_once('.') {
        None => object.get(path).is_some(),
        Some((first, rest)) => {
            let inner = object.get(first).and_then(|text| Members::read(text.as_bytes()).ok());
            inner.is_some_and(|inner| has(&inner, rest))
        }
    }
}

/// What a loss is about.
#[derive(Clone, Copy, Debug)]
pub enum Subject<'s> {
    /// A field of the request, by its name in OpenAI's chat protocol.
    Field(&'s str),
    /// Something that stood in the request.
    At(&'s Place),
    /// A member of it, by its name in OpenAI's chat protocol.
    Within(&'s Place, &'s str),
}

impl Subject<'_> {
    /// Its path as the client wrote it. What stood nowhere is told as the conversation, or by its member alone.
    pub(super) fn path(self, names: &Names) -> String {
        match self {
            Self::Field(field) => names.name(field).to_owned(),
            Self::At(place) if place.is_empty() => names.name("messages").to_owned(),
            Self::At(place) => place.0.clone(),
            Self::Within(place, member) => crate::fields::below(&place.0, names.name(member)),
        }
    }
}

impl<'s> From<&'s str> for Subject<'s> {
    fn from(field: &'s str) -> Self {
        Self::Field(field)
    }
}

impl<'s> From<&'s String> for Subject<'s> {
    fn from(field: &'s String) -> Self {
        Self::Field(field)
    }
}

impl<'s> From<&'s Place> for Subject<'s> {
    fn from(place: &'s Place) -> Self {
        Self::At(place)
    }
}

impl<'s> From<(&'s Place, &'s str)> for Subject<'s> {
    fn from((place, member): (&'s Place, &'s str)) -> Self {
        Self::Within(place, member)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WAYS: &Ways = &[("user", &["metadata.user_id"]), ("effort", &["a.b", "c"]), ("stop", &["x", "y.z"])];

    #[test]
    fn of_several_names_the_one_that_was_used_is_told() {
        let names = |body: &str| Names::of(WAYS, &Members::read(body.as_bytes()).unwrap());
        let told = |body| ["user", "effort", "stop", "seed"].map(|field| names(body).name(field).to_owned());
        assert_eq!(told("{}"), ["metadata.user_id", "a.b", "x", "seed"]);
        assert_eq!(told(r#"{"c":1,"a":{"d":1},"y":{"z":[]}}"#), ["metadata.user_id", "c", "y.z", "seed"]);
        assert_eq!(told(r#"{"c":1,"a":{"b":1},"x":0,"y":{"z":[]}}"#), ["metadata.user_id", "a.b", "x", "seed"]);
    }

    #[test]
    fn a_subject_is_told_by_its_place_and_a_member_by_the_clients_name() {
        let names = Names(vec![("messages", "input"), ("filename", "title")]);
        let place = Place::from("input[2].content[0]");
        let told = |subject: Subject<'_>| subject.path(&names);
        assert_eq!(told("seed".into()), "seed");
        assert_eq!(told((&place).into()), "input[2].content[0]");
        assert_eq!(told((&place, "filename").into()), "input[2].content[0].title");
        assert_eq!(told(Place::NOWHERE.into()), "input");
        assert_eq!(told((Place::NOWHERE, "detail").into()), "detail");
    }
}
