//! The tables of schema `synced`: one a stream.
//!
//! A table has a typed column for each property of the stream's JSON schema, and columns of our own that begin with `_`. Its
//! primary key is the connection and the stream's key. A batch is copied into a staging table that ends with the transaction,
//! then merged in one statement that leaves equal rows alone. All SQL of these tables is in this module.

mod column;
mod copy;
mod load;
mod names;
mod table;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use syncline_engine::StreamInfo;
use syncline_shared::db::{Database, DbError};

pub(crate) use copy::Encoded;
pub(crate) use load::{Target, forget_seen};
pub(crate) use table::Table;

/// Why a stream's table cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum DestinationError {
    /// The schema of the stream, or of the existing table, does not permit it.
    #[error("{0}")]
    Refused(String),
    /// The database did not do as asked.
    #[error(transparent)]
    Database(#[from] DbError),
}

impl From<sqlx::Error> for DestinationError {
    fn from(error: sqlx::Error) -> Self {
        Self::Database(error.into())
    }
}

/// The tables that this process has made sure of.
#[derive(Debug, Default)]
pub(crate) struct Destination {
    tables: Mutex<HashMap<String, Arc<Table>>>,
}

impl Destination {
    /// The table of a stream, which exists and has all columns when this returns.
    pub(crate) async fn table(
        &self,
        database: &Database,
        platform: &str,
        stream: &StreamInfo,
    ) -> Result<Arc<Table>, DestinationError> {
        let table = Table::plan(platform, stream)?;
        let known = self
            .tables
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .get(&table.name)
            .cloned();
        if let Some(known) = known.filter(|known| **known == table) {
            return Ok(known);
        }
        table.ensure(database).await?;
        let table = Arc::new(table);
        self.tables
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .insert(table.name.clone(), table.clone());
        Ok(table)
    }
}
