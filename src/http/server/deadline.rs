//! A timer that is polled beside other work and can be set many times.

use std::{
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use tokio::time::{Instant, Sleep, sleep};

/// Unset, or set to a moment.
pub struct Deadline {
    length: Duration,
    sleep: Pin<Box<Sleep>>,
    set: bool,
}

impl Deadline {
    /// A deadline `length` after the moment it is set; unset for now.
    pub fn new(length: Duration) -> Self {
        Self { length, sleep: Box::pin(sleep(length)), set: false }
    }

    /// Starts the time, unless it is running.
    pub fn set(&mut self) {
        if !self.set {
            self.set = true;
            self.sleep.as_mut().reset(Instant::now() + self.length);
        }
    }

    /// Forgets the time.
    pub fn unset(&mut self) {
        self.set = false;
    }

    /// Whether the time is over; if not, the task is woken when it is.
    pub fn is_over(&mut self, context: &mut Context<'_>) -> bool {
        self.set && matches!(self.sleep.as_mut().poll(context), Poll::Ready(()))
    }
}
