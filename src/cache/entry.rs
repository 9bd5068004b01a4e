//! An answer that is kept, and how it is written down.

use std::time::Duration;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

/// A complete answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Entry {
    pub head: Head,
    pub body: Bytes,
}

/// All of an answer but its body.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Head {
    /// When it was given, in microseconds since the epoch.
    pub given_at: i64,
    /// How long it is good for.
    pub ttl: Duration,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// Who gave it, with which of its keys, and whether it was translated; `None` where nothing goes on from such an answer.
    pub origin: Option<(i64, Option<String>, bool)>,
    /// What it cost, in nano-dollars, where that is known.
    pub cost: Option<i64>,
    pub stream: bool,
}

impl Entry {
    /// How old it is at `now`, in microseconds since the epoch. Clocks of several gateways may differ: nothing is younger than 0.
    pub fn age(&self, now: i64) -> Duration {
        Duration::from_micros(u64::try_from(now.saturating_sub(self.head.given_at)).unwrap_or(0))
    }

    /// Whether it is good at `now` for who wants nothing older than `max_age`.
    pub fn is_good(&self, now: i64, max_age: Option<Duration>) -> bool {
        let age = self.age(now);
        age < self.head.ttl && max_age.is_none_or(|most| age <= most)
    }

    /// Bytes that it takes in memory, about.
    pub fn weight(&self) -> usize {
        /// Of what it is kept in.
        const AROUND: usize = 512;
        let headers: usize = self.head.headers.iter().map(|(name, value)| name.len() + value.len() + 48).sum();
        AROUND + headers + self.body.len()
    }

    /// As bytes: the length of the head, the head in JSON, the body.
    pub fn write(&self) -> Vec<u8> {
        let head = serde_json::to_vec(&self.head).expect("texts and numbers can be written as JSON");
        let mut out = Vec::with_capacity(4 + head.len() + self.body.len() + 32);
        out.extend_from_slice(&u32::try_from(head.len()).expect("a few headers are short").to_le_bytes());
        out.extend_from_slice(&head);
        out.extend_from_slice(&self.body);
        out
    }

    /// Reads what [`Entry::write`] wrote; `None` where it is something else.
    pub fn read(written: Vec<u8>) -> Option<Self> {
        let written = Bytes::from(written);
        let (length, rest) = written.split_first_chunk()?;
        let (head, _) = rest.split_at_checked(u32::from_le_bytes(*length) as usize)?;
        Some(Self { head: serde_json::from_slice(head).ok()?, body: written.slice(4 + head.len()..) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry() -> Entry {
        let headers = vec![("content-type".to_owned(), "application/json".to_owned())];
        let head = Head { given_at: 5_000_000, ttl: Duration::from_secs(60), headers, ..Head::default() };
        Entry { head, body: Bytes::from_static(b"{\"id\":1}") }
    }

    #[test]
    fn an_answer_is_good_until_its_time_is_over() {
        let (entry, second) = (entry(), 1_000_000);
        assert!(entry.is_good(5 * second, None) && entry.is_good(65 * second - 1, None));
        assert!(!entry.is_good(65 * second, None));
        assert_eq!(entry.age(65 * second), Duration::from_secs(60));
    }

    #[test]
    fn who_wants_nothing_old_gets_nothing_old() {
        let (entry, second) = (entry(), 1_000_000);
        let most = Some(Duration::from_secs(10));
        assert!(entry.is_good(15 * second, most) && !entry.is_good(15 * second + 1, most));
        assert!(!entry.is_good(5 * second + 1, Some(Duration::ZERO)));
    }

    #[test]
    fn an_answer_of_a_clock_that_is_ahead_is_new() {
        assert_eq!(entry().age(0), Duration::ZERO);
    }

    #[test]
    fn what_is_written_is_read_again_and_anything_else_is_not() {
        let written = entry().write();
        assert_eq!(Entry::read(written.clone()), Some(entry()));
        for cut in [0, 3, 20] {
            assert_eq!(Entry::read(written[..cut].to_vec()), None);
        }
        assert_eq!(Entry::read(b"\xff\xff\xff\xff{}".to_vec()), None);
    }
}
