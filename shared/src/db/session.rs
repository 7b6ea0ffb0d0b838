//! What statements run on: a connection that knows whether it may keep prepared statements.
//!
//! sqlx 0.9 gives every statement a name unless it is told otherwise query by query, also when it is to cache none. Behind a
//! pooler such a statement stays with a server that others get next, and their first statement has the same name. So the functions
//! of this module take a [`DbConnection`], which decides for all of them.

use std::ops::{Deref, DerefMut};
use std::pin::Pin;

use futures::Stream;
use sqlx::error::BoxDynError;
use sqlx::pool::PoolConnection;
use sqlx::postgres::{
    PgArguments, PgConnection, PgCopyIn, PgQueryResult, PgRow, PgStatement, PgTypeInfo, Postgres,
};
use sqlx::{AssertSqlSafe, Connection, Describe, Either, Execute, Executor, SqlStr};

use super::DbResult;

/// A connection, or a transaction on one.
#[derive(Debug)]
pub struct DbConnection {
    inner: Inner,
    /// True: statements are prepared under a name, and kept for the next time.
    keeps_statements: bool,
}

#[derive(Debug)]
enum Inner {
    Plain(PoolConnection<Postgres>),
    Within(sqlx::Transaction<'static, Postgres>),
}

impl DbConnection {
    fn raw(&mut self) -> &mut PgConnection {
        match &mut self.inner {
            Inner::Plain(connection) => connection,
            Inner::Within(transaction) => transaction,
        }
    }

    /// Runs statements as this connection does.
    fn statements(&mut self) -> Statements<'_> {
        Statements {
            keeps_statements: self.keeps_statements,
            connection: self.raw(),
        }
    }

    /// A transaction within this one, or on this connection, that is always rolled back: for settings that are to end soon.
    pub(super) async fn passing(&mut self) -> DbResult<Passing<'_>> {
        Ok(Passing {
            keeps_statements: self.keeps_statements,
            transaction: self.raw().begin().await?,
        })
    }

    /// Sets a savepoint within the transaction; a savepoint of the same name is forgotten.
    pub async fn savepoint(&mut self, name: &'static str) -> DbResult<()> {
        let statement = format!("savepoint {name}");
        self.raw().execute(AssertSqlSafe(statement)).await?;
        Ok(())
    }

    /// Undoes what was written since the savepoint.
    pub async fn back_to_savepoint(&mut self, name: &'static str) -> DbResult<()> {
        let statement = format!("rollback to savepoint {name}");
        self.raw().execute(AssertSqlSafe(statement)).await?;
        Ok(())
    }

    /// Copies into a table: `copy ... from stdin`.
    pub async fn copy_in(&mut self, statement: &str) -> sqlx::Result<PgCopyIn<&mut PgConnection>> {
        self.raw().copy_in_raw(statement).await
    }
}

/// A connection for a while. Whoever has written by it calls [`Session::end`]; after mere questions it may just be dropped.
#[derive(Debug)]
pub struct Session(DbConnection);

impl Session {
    /// Each statement is a transaction of its own.
    pub(super) fn plain(connection: PoolConnection<Postgres>) -> Self {
        Self(DbConnection {
            inner: Inner::Plain(connection),
            keeps_statements: true,
        })
    }

    /// All statements are one transaction, which is rolled back unless it is ended.
    pub(super) fn within(transaction: Transaction) -> Self {
        Self(transaction.0)
    }

    /// True if it may be kept for later statements. Behind a pooler it may not: it is a transaction, which would grow old.
    pub fn outlives_a_statement(&self) -> bool {
        matches!(self.0.inner, Inner::Plain(_))
    }

    /// Keeps what was written.
    pub async fn end(self) -> DbResult<()> {
        if let Inner::Within(transaction) = self.0.inner {
            transaction.commit().await?;
        }
        Ok(())
    }
}

impl From<PoolConnection<Postgres>> for Session {
    /// A connection of another pool than ours, that no pooler stands before.
    fn from(connection: PoolConnection<Postgres>) -> Self {
        Self::plain(connection)
    }
}

/// A transaction; rolled back unless it is committed.
#[derive(Debug)]
pub struct Transaction(DbConnection);

impl Transaction {
    pub(super) fn new(
        transaction: sqlx::Transaction<'static, Postgres>,
        keeps_statements: bool,
    ) -> Self {
        Self(DbConnection {
            inner: Inner::Within(transaction),
            keeps_statements,
        })
    }

    /// Keeps what was written.
    pub async fn commit(self) -> sqlx::Result<()> {
        match self.0.inner {
            Inner::Within(transaction) => transaction.commit().await,
            Inner::Plain(_) => Ok(()),
        }
    }

    /// Drops what was written, at once.
    pub async fn rollback(self) -> sqlx::Result<()> {
        match self.0.inner {
            Inner::Within(transaction) => transaction.rollback().await,
            Inner::Plain(_) => Ok(()),
        }
    }
}

impl From<sqlx::Transaction<'static, Postgres>> for Transaction {
    /// A transaction of another pool than ours, that no pooler stands before.
    fn from(transaction: sqlx::Transaction<'static, Postgres>) -> Self {
        Self::new(transaction, true)
    }
}

/// See [`DbConnection::passing`].
#[derive(Debug)]
pub(super) struct Passing<'c> {
    transaction: sqlx::Transaction<'c, Postgres>,
    keeps_statements: bool,
}

impl Passing<'_> {
    /// Runs statements within it.
    pub(super) fn statements(&mut self) -> Statements<'_> {
        Statements {
            keeps_statements: self.keeps_statements,
            connection: &mut self.transaction,
        }
    }

    /// Ends it, at once.
    pub(super) async fn end(self) -> DbResult<()> {
        Ok(self.transaction.rollback().await?)
    }
}

impl Deref for Session {
    type Target = DbConnection;

    fn deref(&self) -> &DbConnection {
        &self.0
    }
}

impl DerefMut for Session {
    fn deref_mut(&mut self) -> &mut DbConnection {
        &mut self.0
    }
}

impl Deref for Transaction {
    type Target = DbConnection;

    fn deref(&self) -> &DbConnection {
        &self.0
    }
}

impl DerefMut for Transaction {
    fn deref_mut(&mut self) -> &mut DbConnection {
        &mut self.0
    }
}

/// Runs a statement.
#[derive(Debug)]
pub(super) struct Statements<'c> {
    connection: &'c mut PgConnection,
    keeps_statements: bool,
}

/// A query as it is, but for the name of its statement.
struct Kept<Q> {
    query: Q,
    keeps_statements: bool,
}

impl<'q, Q: Execute<'q, Postgres>> Execute<'q, Postgres> for Kept<Q> {
    fn sql(self) -> SqlStr {
        self.query.sql()
    }

    fn statement(&self) -> Option<&PgStatement> {
        self.query.statement()
    }

    fn take_arguments(&mut self) -> Result<Option<PgArguments>, BoxDynError> {
        self.query.take_arguments()
    }

    fn persistent(&self) -> bool {
        self.keeps_statements && self.query.persistent()
    }
}

type Answer<'e, T> = Pin<Box<dyn Future<Output = sqlx::Result<T>> + Send + 'e>>;
type Answers<'e, T> = Pin<Box<dyn Stream<Item = sqlx::Result<T>> + Send + 'e>>;

impl<'c> Executor<'c> for Statements<'c> {
    type Database = Postgres;

    fn fetch_many<'e, 'q, E>(self, query: E) -> Answers<'e, Either<PgQueryResult, PgRow>>
    where
        'q: 'e,
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let keeps_statements = self.keeps_statements;
        self.connection.fetch_many(Kept {
            query,
            keeps_statements,
        })
    }

    fn fetch_optional<'e, 'q, E>(self, query: E) -> Answer<'e, Option<PgRow>>
    where
        'q: 'e,
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        let keeps_statements = self.keeps_statements;
        self.connection.fetch_optional(Kept {
            query,
            keeps_statements,
        })
    }

    /// Always keeps the statement under a name: not for use behind a pooler.
    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> Answer<'e, PgStatement>
    where
        'c: 'e,
    {
        self.connection.prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> Answer<'e, Describe<Postgres>>
    where
        'c: 'e,
    {
        self.connection.describe(sql)
    }
}

impl<'c> Executor<'c> for &'c mut DbConnection {
    type Database = Postgres;

    fn fetch_many<'e, 'q, E>(self, query: E) -> Answers<'e, Either<PgQueryResult, PgRow>>
    where
        'q: 'e,
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.statements().fetch_many(query)
    }

    fn fetch_optional<'e, 'q, E>(self, query: E) -> Answer<'e, Option<PgRow>>
    where
        'q: 'e,
        'c: 'e,
        E: 'q + Execute<'q, Postgres>,
    {
        self.statements().fetch_optional(query)
    }

    fn prepare_with<'e>(self, sql: SqlStr, parameters: &'e [PgTypeInfo]) -> Answer<'e, PgStatement>
    where
        'c: 'e,
    {
        self.statements().prepare_with(sql, parameters)
    }

    fn describe<'e>(self, sql: SqlStr) -> Answer<'e, Describe<Postgres>>
    where
        'c: 'e,
    {
        self.statements().describe(sql)
    }
}
