//! Reading rows: the few kinds of column there are, and what each means in Rust.

use serde::de::DeserializeOwned;
use sqlx::{Row as _, postgres::PgRow, sqlite::SqliteRow};

/// A row of either database, by column names.
pub(super) trait Columns {
    fn int(&self, column: &str) -> sqlx::Result<i64>;
    fn int_if_any(&self, column: &str) -> sqlx::Result<Option<i64>>;
    fn text(&self, column: &str) -> sqlx::Result<String>;
    fn text_if_any(&self, column: &str) -> sqlx::Result<Option<String>>;
    fn bytes(&self, column: &str) -> sqlx::Result<Vec<u8>>;

    /// A 0 or a 1.
    fn flag(&self, column: &str) -> sqlx::Result<bool> {
        Ok(self.int(column)? != 0)
    }

    fn flag_if_any(&self, column: &str) -> sqlx::Result<Option<bool>> {
        Ok(self.int_if_any(column)?.map(|flag| flag != 0))
    }

    /// JSON text.
    fn json<T: DeserializeOwned>(&self, column: &str) -> sqlx::Result<T> {
        parse(column, &self.text(column)?)
    }

    /// JSON text, or nothing.
    fn json_if_any<T: DeserializeOwned>(&self, column: &str) -> sqlx::Result<Option<T>> {
        self.text_if_any(column)?.map(|text| parse(column, &text)).transpose()
    }
}

fn parse<T: DeserializeOwned>(column: &str, text: &str) -> sqlx::Result<T> {
    serde_json::from_str(text)
        .map_err(|error| sqlx::Error::ColumnDecode { index: column.to_owned(), source: Box::new(error) })
}

macro_rules! columns_of {
    ($row:ty) => {
        impl Columns for $row {
            fn int(&self, column: &str) -> sqlx::Result<i64> {
                self.try_get(column)
            }
            fn int_if_any(&self, column: &str) -> sqlx::Result<Option<i64>> {
                self.try_get(column)
            }
            fn text(&self, column: &str) -> sqlx::Result<String> {
                self.try_get(column)
            }
            fn text_if_any(&self, column: &str) -> sqlx::Result<Option<String>> {
                self.try_get(column)
            }
            fn bytes(&self, column: &str) -> sqlx::Result<Vec<u8>> {
                self.try_get(column)
            }
        }
    };
}

columns_of!(SqliteRow);
columns_of!(PgRow);

/// Says once how a type is read from a row of either database.
macro_rules! from_row {
    ($type:ty, |$row:ident| $read:expr) => {
        impl sqlx::FromRow<'_, sqlx::sqlite::SqliteRow> for $type {
            fn from_row($row: &sqlx::sqlite::SqliteRow) -> sqlx::Result<Self> {
                use $crate::store::row::Columns as _;
                Ok($read)
            }
        }
        impl sqlx::FromRow<'_, sqlx::postgres::PgRow> for $type {
            fn from_row($row: &sqlx::postgres::PgRow) -> sqlx::Result<Self> {
                use $crate::store::row::Columns as _;
                Ok($read)
            }
        }
    };
}

pub(super) use from_row;

/// JSON text of a list or an object, for a column.
pub(super) fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).expect("lists of strings and JSON values can always be written")
}
