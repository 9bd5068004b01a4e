//! Everything that is tested from outside the crate, in one binary so that it links once.

mod store;
