//! The conversations that clients may go on from, where no provider keeps them.

use std::{
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use lru::LruCache;
use serde_json::value::RawValue;
use tokio::time::Instant;

use super::keep::member;
use crate::config::{Keeping, ResponsesConfig};

/// An answer, and all that was said before it.
#[derive(Debug, PartialEq, Eq)]
pub struct Conversation {
    /// The response object.
    pub response: String,
    /// The items of its output, as a JSON array.
    pub output: String,
    /// The items that it answers, those of former turns included, as a JSON array.
    pub input: String,
}

impl Conversation {
    /// An answer to `input`, a JSON array of items.
    pub fn new(response: String, input: String) -> Self {
        let output = member(&response, "output").unwrap_or("[]").to_owned();
        Self { response, output, input }
    }

    pub fn bytes(&self) -> usize {
        self.response.len() + self.output.len() + self.input.len()
    }
}

/// How long memory knows what the database keeps: what another gateway deletes is gone here too by then.
const IN_FRONT: Duration = Duration::from_secs(60);

/// An owner and an id.
type Key = (String, String);

/// What is kept in memory: so many bytes, for so long.
pub struct Conversations {
    kept: Mutex<Kept>,
    most: usize,
    ttl: Duration,
}

struct Kept {
    known: LruCache<Key, (Arc<Conversation>, Instant)>,
    bytes: usize,
}

impl Conversations {
    pub fn new(config: &ResponsesConfig) -> Self {
        let most = if config.store == Keeping::Off { 0 } else { config.max_bytes };
        let ttl = if config.store == Keeping::Database { config.ttl.min(IN_FRONT) } else { config.ttl };
        Self { kept: Mutex::new(Kept { known: LruCache::unbounded(), bytes: 0 }), most, ttl }
    }

    /// Whether anything is kept at all.
    pub fn are_kept(&self) -> bool {
        self.most > 0
    }

    /// Keeps a conversation, and forgets those for which there is no more room.
    pub fn keep(&self, owner: &str, id: &str, conversation: Arc<Conversation>) {
        if conversation.bytes() > self.most {
            return;
        }
        let now = Instant::now();
        self.with(|kept| {
            kept.remove(&(owner.to_owned(), id.to_owned()));
            kept.bytes += conversation.bytes();
            kept.known.put((owner.to_owned(), id.to_owned()), (conversation, now + self.ttl));
            while kept.bytes > self.most
                && let Some((key, _)) = kept.known.peek_lru()
            {
                let key = key.clone();
                kept.remove(&key);
            }
        });
    }

    /// Forgets those whose time is over.
    pub fn sweep(&self) {
        let now = Instant::now();
        self.with(|kept| {
            let over = kept.known.iter().filter(|(_, (_, until))| *until <= now).map(|(key, _)| key.clone());
            over.collect::<Vec<_>>().iter().for_each(|key| {
                kept.remove(key);
            });
        });
    }

    pub fn get(&self, owner: &str, id: &str) -> Option<Arc<Conversation>> {
        let key = (owner.to_owned(), id.to_owned());
        let now = Instant::now();
        self.with(|kept| match kept.known.get(&key) {
            Some((conversation, until)) if *until > now => Some(conversation.clone()),
            Some(_) => {
                kept.remove(&key);
                None
            }
            None => None,
        })
    }

    /// Forgets a conversation; whether it was known.
    pub fn forget(&self, owner: &str, id: &str) -> bool {
        self.with(|kept| kept.remove(&(owner.to_owned(), id.to_owned())))
    }

    fn with<T>(&self, change: impl FnOnce(&mut Kept) -> T) -> T {
        change(&mut self.kept.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

impl Kept {
    fn remove(&mut self, key: &Key) -> bool {
        let Some((conversation, _)) = self.known.pop(key) else { return false };
        self.bytes -= conversation.bytes();
        true
    }
}

/// A request's `input` as a list of items: a text is one message.
pub fn items(input: Option<&str>) -> String {
    match input {
        Some(text) if text.starts_with('"') => {
            format!(r#"[{{"type":"message","role":"user","content":[{{"type":"input_text","text":{text}}}]}}]"#)
        }
        Some(list) if list.starts_with('[') => list.to_owned(),
        _ => "[]".to_owned(),
    }
}

/// One list of the items of all, each of which is a JSON array.
pub fn join(lists: &[&str]) -> String {
    let inside = lists.iter().filter_map(|list| {
        let list = list.trim().strip_prefix('[')?.strip_suffix(']')?.trim();
        Some(list).filter(|list| !list.is_empty())
    });
    format!("[{}]", inside.collect::<Vec<_>>().join(","))
}

/// The items of a JSON array.
pub fn split(list: &str) -> Vec<&RawValue> {
    serde_json::from_str(list).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn conversations(max_bytes: usize) -> Conversations {
        Conversations::new(&ResponsesConfig { max_bytes, ..ResponsesConfig::default() })
    }

    fn conversation(bytes: usize) -> Arc<Conversation> {
        Arc::new(Conversation { response: "x".repeat(bytes), output: String::new(), input: String::new() })
    }

    #[test]
    fn the_one_not_used_for_longest_goes_first() {
        let kept = conversations(10);
        kept.keep("me", "1", conversation(4));
        kept.keep("me", "2", conversation(4));
        assert!(kept.get("me", "1").is_some());
        kept.keep("me", "3", conversation(4));
        let left = ["1", "2", "3"].map(|id| kept.get("me", id).is_some());
        assert_eq!(left, [true, false, true]);
        kept.keep("me", "4", conversation(11));
        assert!(kept.get("me", "4").is_none() && kept.get("me", "3").is_some(), "what fits nowhere displaces nothing");
    }

    #[test]
    fn nobody_finds_what_is_anothers() {
        let kept = conversations(10);
        kept.keep("me", "1", conversation(4));
        assert!(kept.get("you", "1").is_none() && !kept.forget("you", "1"));
        assert!(kept.forget("me", "1") && !kept.forget("me", "1"));
    }

    #[tokio::test(start_paused = true)]
    async fn everything_is_forgotten_in_time() {
        let kept = conversations(10);
        for id in ["1", "2"] {
            kept.keep("me", id, conversation(4));
        }
        tokio::time::advance(ResponsesConfig::default().ttl / 2).await;
        kept.sweep();
        assert_eq!(kept.with(|kept| kept.bytes), 8);
        tokio::time::advance(ResponsesConfig::default().ttl / 2).await;
        assert!(kept.get("me", "1").is_none());
        kept.sweep();
        assert_eq!(kept.with(|kept| kept.bytes), 0);
    }

    #[test]
    fn items_are_put_together_as_they_are() {
        assert_eq!(join(&["[1, 2]", " [ ] ", "[{\"a\":[]}]"]), "[1, 2,{\"a\":[]}]");
        assert_eq!(items(None), "[]");
        assert!(items(Some("\"a\\n\"")).contains("\"text\":\"a\\n\""));
        assert_eq!(split("[1,[2]]").len(), 2);
    }
}
