//! Answers that several gateways give again. Their names are made here into keys; what they say is sealed by then.

use std::time::Duration;

use super::Shared;

impl Shared {
    /// The answer of this name; none where the server has none, or does not say so in time.
    pub async fn answer(&self, name: &str) -> Option<Vec<u8>> {
        let connection = self.connection.load_full()?;
        let key = self.answer_key(name);
        self.within(self.timeout, &connection, connection.get(&key)).await?
    }

    /// Keeps an answer for `ttl`, where the server can be reached.
    pub async fn keep_answer(&self, name: &str, answer: Vec<u8>, ttl: Duration) {
        let Some(connection) = self.connection.load_full() else { return };
        let key = self.answer_key(name);
        self.within(self.patience(), &connection, connection.set(&key, &answer, ttl)).await;
    }

    /// Forgets the answers whose names fit `pattern`, in which each `*` stands for any letters; how many there were. `None` where
    /// the server could not be asked to the end.
    pub async fn forget_answers(&self, pattern: &str) -> Option<u64> {
        let pattern = format!("{}{pattern}", literal(&self.answer_key("")));
        let (mut cursor, mut forgotten) = (0, 0);
        loop {
            let connection = self.connection.load_full()?;
            let (next, keys) = self.within(self.patience(), &connection, connection.scan(cursor, &pattern)).await?;
            if !keys.is_empty() {
                forgotten += self.within(self.patience(), &connection, connection.unlink(&keys)).await?;
            }
            if next == 0 {
                return Some(forgotten);
            }
            cursor = next;
        }
    }

    fn answer_key(&self, name: &str) -> String {
        self.key(&format!("answer:{name}"))
    }
}

/// A pattern that only this text fits.
fn literal(text: &str) -> String {
    let special = |letter: char| matches!(letter, '*' | '?' | '[' | ']' | '\\');
    text.chars().flat_map(|letter| special(letter).then_some('\\').into_iter().chain([letter])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_taken_literally() {
        assert_eq!(literal("{a*b?[c]}:answer:"), r"{a\*b\?\[c\]}:answer:");
    }
}
