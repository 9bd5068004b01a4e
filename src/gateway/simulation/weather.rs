//! How a simulated provider is, from one moment to the next.

use std::time::Duration;

use rand::{RngExt, rngs::StdRng};

use super::scene::{BEGIN, HEAL};

/// What becomes of requests.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Weather {
    Fine,
    /// Answers take twenty times as long.
    Slow,
    /// Requests are taken and never answered.
    Silent,
    /// It cannot be reached.
    Away,
    Failing,
    Overloaded,
    /// 429, with a wish for so many seconds of rest, or with none.
    Busy(Option<u64>),
    /// It refuses who asks: the key, or the account.
    Closed,
}

/// The weather that comes, each from its moment on. Before the first it is fine.
#[derive(Clone, Debug, Default)]
pub struct Forecast(Vec<(Duration, Weather)>);

impl Forecast {
    /// One weather as long as there is trouble at all.
    pub fn lasting(weather: Weather) -> Self {
        Self::between(BEGIN, HEAL, weather)
    }

    /// One weather in this time.
    pub fn between(from: Duration, until: Duration, weather: Weather) -> Self {
        Self(vec![(from, weather), (until, Weather::Fine)])
    }

    /// One weather and none by turns, for so long each.
    pub fn flapping(weather: Weather, each: Duration) -> Self {
        let turns = (HEAL - BEGIN).div_duration_f64(each) as u32;
        let turn = |turn| (BEGIN + each * turn, if turn % 2 == 0 { weather } else { Weather::Fine });
        Self((0..turns).map(turn).chain([(HEAL, Weather::Fine)]).collect())
    }

    /// As chance has it.
    pub fn draw(chance: &mut StdRng) -> Self {
        match chance.random_range(0..3) {
            0 => Self::lasting(weather(chance)),
            1 => Self::flapping(weather(chance), Duration::from_millis(chance.random_range(500..8_000))),
            _ => {
                let (mut spells, mut at) = (Vec::new(), BEGIN);
                while at < HEAL {
                    spells.push((at, if chance.random_bool(0.3) { Weather::Fine } else { weather(chance) }));
                    at += Duration::from_millis(chance.random_range(300..12_000));
                }
                Self(spells.into_iter().chain([(HEAL, Weather::Fine)]).collect())
            }
        }
    }

    pub fn at(&self, elapsed: Duration) -> Weather {
        let begun = self.0.partition_point(|(from, _)| *from <= elapsed);
        begun.checked_sub(1).map_or(Weather::Fine, |last| self.0[last].1)
    }
}

fn weather(chance: &mut StdRng) -> Weather {
    match chance.random_range(0..8) {
        0 => Weather::Slow,
        1 => Weather::Silent,
        2 => Weather::Away,
        3 => Weather::Failing,
        4 => Weather::Overloaded,
        5 => Weather::Busy(None),
        6 => Weather::Busy(Some(chance.random_range(1..5))),
        _ => Weather::Closed,
    }
}
