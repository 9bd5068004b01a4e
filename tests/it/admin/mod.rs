//! The admin API where it meets the database: one that is away, one that is locked, and PostgreSQL instead of SQLite.

mod content;
mod database;
mod export;
mod keys;
mod keys_scope;
mod providers;
