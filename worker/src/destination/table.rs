//! A stream's table: planned from its schema, created and extended as needed.

use std::collections::{BTreeMap, HashSet};
use std::fmt::Write;

use serde_json::Value;
use sqlx::{AssertSqlSafe, Row};
use syncline_engine::StreamInfo;
use syncline_shared::db::{Database, DbConnection};

use super::DestinationError;
use super::column::ColumnType;
use super::names::{quote, sanitise};

/// The schema of all destination tables.
pub(super) const SCHEMA: &str = "synced";

/// A column that holds a property of the records.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Column {
    /// Name of the column.
    pub(super) name: String,
    /// Name of the property.
    pub(super) property: String,
    pub(super) kind: ColumnType,
    pub(super) is_key: bool,
    description: Option<String>,
}

/// A stream's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Table {
    /// Its name within the schema.
    pub(super) name: String,
    /// Its columns, key columns first, but for our own.
    pub(super) columns: Vec<Column>,
    /// True: the stream has no key, and a record is identified by its content.
    pub(super) keyed_by_hash: bool,
    comment: String,
}

impl Table {
    /// Plans the table of a stream.
    pub(super) fn plan(platform: &str, stream: &StreamInfo) -> Result<Self, DestinationError> {
        let refused = |problem: String| {
            DestinationError::Refused(format!("stream {} of {platform}: {problem}", stream.name))
        };
        let name = sanitise(&format!("{platform}_{}", stream.name)).ok_or_else(|| {
            refused("its name makes no table name of at most 63 letters".to_owned())
        })?;
        let mut keys = HashSet::new();
        for path in &stream.primary_key {
            let [property] = path.as_slice() else {
                let path = path.join(".");
                return Err(refused(format!(
                    "its primary key {path:?} is nested, which has no column"
                )));
            };
            keys.insert(property.as_str());
        }
        let properties = stream.schema.get("properties").and_then(Value::as_object);
        let empty = serde_json::Map::new();
        let properties = properties.unwrap_or(&empty);
        if let Some(missing) = keys.iter().find(|key| !properties.contains_key(**key)) {
            return Err(refused(format!(
                "its primary key {missing:?} is not a property of its schema"
            )));
        }

        let mut columns = Vec::with_capacity(properties.len());
        let mut taken: BTreeMap<String, &str> = BTreeMap::new();
        for (property, schema) in properties {
            let column = sanitise(property)
                .ok_or_else(|| refused(format!("property {property:?} makes no column name")))?;
            if column.starts_with('_') {
                return Err(refused(format!(
                    "property {property:?} would be column {column:?}; names that begin with _ are Syncline's own"
                )));
            }
            if let Some(other) = taken.insert(column.clone(), property) {
                return Err(refused(format!(
                    "properties {other:?} and {property:?} would both be column {column:?}"
                )));
            }
            let is_key = keys.contains(property.as_str());
            columns.push(Column {
                name: column,
                property: property.clone(),
                kind: if is_key {
                    ColumnType::Text
                } else {
                    ColumnType::of(schema)
                },
                is_key,
                description: schema
                    .get("description")
                    .and_then(Value::as_str)
                    .map(str::to_owned),
            });
        }
        columns.sort_by_key(|column| !column.is_key);
        Ok(Self {
            name,
            columns,
            keyed_by_hash: keys.is_empty(),
            comment: format!(
                "Stream {} of platform {platform}, kept by Syncline.",
                stream.name
            ),
        })
    }

    /// The table's qualified name, quoted.
    pub(super) fn qualified(&self) -> String {
        format!("{SCHEMA}.{}", quote(&self.name))
    }

    /// Names of the columns that identify a record within its connection, quoted.
    pub(super) fn key_columns(&self) -> Vec<String> {
        if self.keyed_by_hash {
            return vec!["_hash".to_owned()];
        }
        self.columns
            .iter()
            .filter(|column| column.is_key)
            .map(|column| quote(&column.name))
            .collect()
    }

    /// Creates the table, or adds the columns it lacks. A column of another type is refused.
    pub(super) async fn ensure(&self, database: &Database) -> Result<(), DestinationError> {
        let mut transaction = database.begin().await?;
        // Waiting for a lock here must not hold up readers of the table for long.
        sqlx::query("set local lock_timeout = '5s'")
            .execute(&mut *transaction)
            .await?;
        // One process at a time makes or changes tables of this schema.
        sqlx::query("select pg_advisory_xact_lock(hashtextextended($1, 0))")
            .bind(self.qualified())
            .execute(&mut *transaction)
            .await?;
        let existing = self.existing_columns(&mut transaction).await?;
        let statements = if existing.is_empty() {
            self.creation()
        } else {
            self.additions(&existing)?
        };
        for statement in statements {
            // Built from sanitised names and our own words only.
            sqlx::raw_sql(AssertSqlSafe(statement))
                .execute(&mut *transaction)
                .await?;
        }
        transaction.commit().await?;
        Ok(())
    }

    async fn existing_columns(
        &self,
        db: &mut DbConnection,
    ) -> Result<BTreeMap<String, String>, DestinationError> {
        let rows = sqlx::query(
            "select a.attname::text, format_type(a.atttypid, a.atttypmod)
             from pg_attribute a
             where a.attrelid = to_regclass($1) and a.attnum > 0 and not a.attisdropped",
        )
        .bind(self.qualified())
        .fetch_all(db)
        .await?;
        let mut columns = BTreeMap::new();
        for row in rows {
            columns.insert(row.try_get(0)?, row.try_get(1)?);
        }
        Ok(columns)
    }

    fn creation(&self) -> Vec<String> {
        let table = self.qualified();
        let mut create = format!("create table {table} (\n    _connection_id uuid not null,\n");
        for column in &self.columns {
            let null = if column.is_key { " not null" } else { "" };
            let _ = writeln!(
                create,
                "    {} {}{null},",
                quote(&column.name),
                column.kind.sql()
            );
        }
        let _ = write!(
            create,
            "    _run_id uuid not null,
    _synced_at timestamptz not null,
    _first_seen_at timestamptz not null,
    _deleted_at timestamptz,
    _hash bytea not null,
    _extra jsonb,
    primary key (_connection_id, {})
)",
            self.key_columns().join(", ")
        );
        let mut statements = vec![
            create,
            format!("comment on table {table} is {}", literal(&self.comment)),
        ];
        for (column, comment) in [
            ("_connection_id", "The connection it was read through."),
            ("_run_id", "The run that last changed it."),
            ("_synced_at", "When it was last changed here."),
            ("_first_seen_at", "When it was first written here."),
            (
                "_deleted_at",
                "When a complete read no longer met it; null: it was there.",
            ),
            (
                "_hash",
                "Fingerprint of the record; equal records are not written again.",
            ),
            (
                "_extra",
                "Properties without a column, and values that do not fit theirs.",
            ),
        ] {
            statements.push(format!(
                "comment on column {table}.{column} is {}",
                literal(comment)
            ));
        }
        for column in &self.columns {
            statements.extend(self.column_comment(column));
        }
        statements
    }

    fn additions(
        &self,
        existing: &BTreeMap<String, String>,
    ) -> Result<Vec<String>, DestinationError> {
        let mut statements = Vec::new();
        for column in &self.columns {
            match existing.get(&column.name) {
                Some(kind) if kind == column.kind.sql() => {}
                Some(kind) => {
                    return Err(DestinationError::Refused(format!(
                        "column {}.{} has type {kind}, but the manifest makes it {}; rename or drop the column, or \
                         change the manifest",
                        self.qualified(),
                        column.name,
                        column.kind.sql()
                    )));
                }
                None if column.is_key => {
                    return Err(DestinationError::Refused(format!(
                        "table {} lacks key column {}; a table's key cannot change: rename or drop the table",
                        self.qualified(),
                        column.name
                    )));
                }
                None => {
                    statements.push(format!(
                        "alter table {} add column {} {}",
                        self.qualified(),
                        quote(&column.name),
                        column.kind.sql()
                    ));
                    statements.extend(self.column_comment(column));
                }
            }
        }
        Ok(statements)
    }

    fn column_comment(&self, column: &Column) -> Option<String> {
        let description = column.description.as_ref()?;
        Some(format!(
            "comment on column {}.{} is {}",
            self.qualified(),
            quote(&column.name),
            literal(description)
        ))
    }
}

/// A string constant of SQL, in the form that no setting changes the meaning of.
fn literal(text: &str) -> String {
    let escaped = text
        .replace('\0', "")
        .replace('\\', "\\\\")
        .replace('\'', "''");
    format!("E'{escaped}'")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn stream(key: &[&str], schema: Value) -> StreamInfo {
        StreamInfo {
            name: "products".to_owned(),
            primary_key: key.iter().map(|name| vec![(*name).to_owned()]).collect(),
            schema,
            supports_page: true,
            full_read: true,
            cursor: None,
            unified: None,
        }
    }

    #[test]
    fn keys_come_first_and_are_text() {
        let schema = json!({"properties": {"name": {"type": "string"}, "id": {"type": "integer"}}});
        let table = Table::plan("g2a", &stream(&["id"], schema)).expect("a table");
        assert_eq!(table.qualified(), "synced.\"g2a_products\"");
        let columns: Vec<_> = table
            .columns
            .iter()
            .map(|column| (column.name.as_str(), column.kind))
            .collect();
        assert_eq!(
            columns,
            [("id", ColumnType::Text), ("name", ColumnType::Text)]
        );
    }

    #[test]
    fn colliding_and_reserved_names_are_refused_by_name() {
        for (properties, expected) in [
            (
                json!({"minPrice": {}, "min_price": {}}),
                "would both be column \"min_price\"",
            ),
            (
                json!({"_hash": {}}),
                "names that begin with _ are Syncline's own",
            ),
        ] {
            let error = Table::plan("g2a", &stream(&[], json!({"properties": properties})))
                .expect_err("refused");
            assert!(error.to_string().contains(expected), "{error}");
        }
    }

    #[test]
    fn comments_cannot_break_out_of_their_literal() {
        assert_eq!(literal(r"it's \' here"), r"E'it''s \\'' here'");
    }
}
