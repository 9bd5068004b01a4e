//! How long an upstream takes, as a moving average that follows peaks at once and forgets them slowly ("peak EWMA", as in
//! Finagle). Pure, over the time that is given.

use std::time::Duration;

use tokio::time::Instant;

/// How long it takes until about a third of what was known is left.
const DECAY: f64 = 10.0;

#[derive(Clone, Copy, Debug)]
pub struct PeakEwma {
    seconds: f64,
    at: Instant,
}

impl PeakEwma {
    pub fn new(took: Duration, now: Instant) -> Self {
        Self { seconds: took.as_secs_f64(), at: now }
    }

    /// What was slower than ever counts whole; what was faster counts the more, the older the average is.
    pub fn observe(&mut self, took: Duration, now: Instant) {
        let (took, kept) = (took.as_secs_f64(), self.kept(now));
        self.seconds = if took > self.seconds { took } else { self.seconds * kept + took * (1.0 - kept) };
        self.at = now;
    }

    /// Seconds that it probably takes. Less with the time, so that whoever was slow is tried again.
    pub fn seconds(&self, now: Instant) -> f64 {
        self.seconds * self.kept(now)
    }

    fn kept(&self, now: Instant) -> f64 {
        (-now.saturating_duration_since(self.at).as_secs_f64() / DECAY).exp()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_counts_at_once_and_is_forgotten_slowly() {
        let began = Instant::now();
        let mut ewma = PeakEwma::new(Duration::from_millis(100), began);
        ewma.observe(Duration::from_secs(2), began);
        assert_eq!(ewma.seconds(began), 2.0);
        let mut now = began;
        for _ in 0..100 {
            now += Duration::from_millis(100);
            ewma.observe(Duration::from_millis(100), now);
        }
        assert!((0.6..1.0).contains(&ewma.seconds(now)), "{}", ewma.seconds(now));
        assert!(ewma.seconds(now + Duration::from_secs(30)) < 0.1, "who is not asked is forgotten too");
    }
}
