//! Faults of upstreams, of clients, of the process and of its dependencies. Each test ends with the check of all that must
//! hold whatever happens (`harness::invariants`).
//!
//! What takes long is behind `cargo test --test it faults:: -- --ignored --test-threads 1`.

mod answers;
mod breaks;
mod database;
mod disconnects;
mod document;
mod encryption;
mod ends;
mod floods;
mod health;
mod load;
mod mixing;
mod names;
mod reading;
mod requests;
mod reuse;
mod stage;

pub use self::stage::measured;
use self::stage::{PATIENT, SOON, Stage};
