//! What a request has cost beside its answer: attempts that were broken off, or broke off themselves.

use std::sync::{Arc, Mutex};

use llm_protocol::ir::Usage;

use crate::{app::App, limits::Spent, routing::Target, store::LogRow};

/// The tokens of an answer that nobody has seen yet, for it is put together first.
#[derive(Clone, Debug, Default)]
pub struct Meter(Arc<Mutex<Option<Usage>>>);

impl Meter {
    pub fn read(&self, usage: &Usage) {
        self.set(Some(usage.clone()));
    }

    /// The answer is there, and tells its tokens itself.
    pub fn stop(&self) {
        self.set(None);
    }

    fn set(&self, usage: Option<Usage>) {
        *self.0.lock().expect("no holder panics") = usage;
    }

    fn take(&self) -> Option<Usage> {
        self.0.lock().expect("no holder panics").take()
    }
}

/// The attempts of a request that may have cost something without an answer.
#[derive(Default)]
pub struct Unanswered {
    metered: Vec<(Target, Meter)>,
    /// Whose attempt was broken off because another one had answered.
    broken_off: Option<Box<Target>>,
}

impl Unanswered {
    pub fn metered(&mut self, target: &Target, meter: &Meter) {
        self.metered.push((target.clone(), meter.clone()));
    }

    /// What it has read is paid for all the same.
    pub fn broken_off(&mut self, target: &Target) {
        self.broken_off = Some(Box::new(target.clone()));
    }

    /// The tokens of the row's own attempt, where it broke off.
    pub fn of(&self, row: &LogRow) -> Option<Usage> {
        self.metered.iter().rev().filter(|(target, _)| is_of(row, target)).find_map(|(_, meter)| meter.take())
    }

    /// What all others have cost, as far as anybody knows: of one that was broken off without a word, what it had to read,
    /// which is what the answer's tokens say.
    pub fn cost(&self, app: &App, answer: Option<&Usage>) -> Option<i64> {
        let mut broken_off = self.broken_off.as_deref();
        let mut sum = None;
        for (target, meter) in &self.metered {
            let Some(usage) = meter.take() else { continue };
            broken_off = broken_off.filter(|other| !Arc::ptr_eq(&other.provider, &target.provider));
            sum = add(sum, cost(app, target, &usage));
        }
        let read = answer.map(|usage| Usage { input: usage.input, ..Usage::default() });
        let unread = broken_off.zip(read).and_then(|(target, read)| cost(app, target, &read));
        add(sum, unread)
    }
}

/// The sum of two costs, of which nobody may know either.
pub fn add(one: Option<i64>, other: Option<i64>) -> Option<i64> {
    one.map(|cost| cost.saturating_add(other.unwrap_or(0))).or(other)
}

fn is_of(row: &LogRow, target: &Target) -> bool {
    row.provider_id == Some(target.provider.id) && row.upstream_model.as_deref().unwrap_or_default() == target.model
}

fn cost(app: &App, target: &Target, usage: &Usage) -> Option<i64> {
    let own = target.configured.as_ref().and_then(|model| model.price.as_ref());
    app.prices.cost_at(target.provider.kind.name, &target.model, own, usage)
}

/// The status that a request gets in the log when its client left. No client ever sees it.
pub const CLIENT_CLOSED: u16 = 499;

/// What a request used of its limits: nothing if nobody was asked, no tokens if nobody answered; of a client that left nobody
/// knows.
pub fn of_limits(status: u16, attempts: i64, usage: Option<&Usage>) -> Spent {
    match usage {
        Some(usage) => Spent::Tokens(usage.total().saturating_add(usage.extra())),
        None if status == 200 || status == CLIENT_CLOSED => Spent::Unknown,
        None if attempts == 0 => Spent::Nothing,
        None => Spent::Tokens(0),
    }
}
