//! Destination tables as a reader of the database sees them, and the comparison with the simulator's truth.

use std::collections::BTreeMap;

use serde_json::{Map, Value};
use sqlx::{AssertSqlSafe, PgPool};

/// A row with every column, as Postgres writes it in JSON: numbers keep their digits.
pub type Row = Map<String, Value>;

/// Columns that are Syncline's own.
pub const OWN_COLUMNS: [&str; 7] = [
    "_connection_id",
    "_run_id",
    "_synced_at",
    "_first_seen_at",
    "_deleted_at",
    "_hash",
    "_extra",
];

/// Properties of a G2A product, in its table's column names. Written down by hand: the product's own sanitiser is under test.
pub const G2A_COLUMNS: [(&str, &str, &str); 18] = [
    ("id", "id", "text"),
    ("name", "name", "text"),
    ("type", "type", "text"),
    ("slug", "slug", "text"),
    ("qty", "qty", "bigint"),
    ("minPrice", "min_price", "numeric"),
    ("retail_min_price", "retail_min_price", "numeric"),
    ("thumbnail", "thumbnail", "text"),
    ("smallImage", "small_image", "text"),
    ("description", "description", "text"),
    ("region", "region", "text"),
    ("developer", "developer", "text"),
    ("publisher", "publisher", "text"),
    ("platform", "platform", "text"),
    ("restrictions", "restrictions", "jsonb"),
    ("requirements", "requirements", "jsonb"),
    ("videos", "videos", "jsonb"),
    ("categories", "categories", "jsonb"),
];

/// All rows of a destination table that a connection owns, deleted ones included, by the named column.
pub async fn rows(
    pool: &PgPool,
    table: &str,
    key: &str,
    connection: &str,
) -> BTreeMap<String, Row> {
    let query =
        format!("select to_jsonb(t)::text from synced.{table} t where _connection_id::text = $1");
    let texts: Vec<String> = sqlx::query_scalar(AssertSqlSafe(query))
        .bind(connection)
        .fetch_all(pool)
        .await
        .unwrap();
    let mut rows = BTreeMap::new();
    for text in &texts {
        let row: Row = serde_json::from_str(text).unwrap();
        let id = row[key].as_str().unwrap().to_owned();
        assert!(
            rows.insert(id.clone(), row).is_none(),
            "{table} holds {id} twice"
        );
    }
    rows
}

/// Name and type of every column of a destination table.
pub async fn columns(pool: &PgPool, table: &str) -> BTreeMap<String, String> {
    let query = "select attname::text, format_type(atttypid, atttypmod) from pg_attribute \
                 where attrelid = ('synced.' || $1)::regclass and attnum > 0 and not attisdropped";
    let found: Vec<(String, String)> = sqlx::query_as(query)
        .bind(table)
        .fetch_all(pool)
        .await
        .unwrap();
    found.into_iter().collect()
}

/// A number: how many rows a query finds.
pub async fn count(pool: &PgPool, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(pool).await.unwrap()
}

/// What the row of a product must look like, without Syncline's own columns.
pub fn expected_product(product: &Map<String, Value>) -> Row {
    let mut row = Row::new();
    for (property, column, _) in G2A_COLUMNS {
        let value = product.get(property).cloned().unwrap_or(Value::Null);
        row.insert(column.to_owned(), value);
    }
    let unknown: Vec<_> = product
        .keys()
        .filter(|name| !G2A_COLUMNS.iter().any(|(known, ..)| known == name))
        .collect();
    assert!(
        unknown.is_empty(),
        "the simulator serves properties that no column is written down for: {unknown:?}"
    );
    row
}

/// Fails unless the living rows are exactly the truth: every row, every column, every digit. `rows` as of [`rows`].
#[track_caller]
pub fn assert_products_equal(rows: &BTreeMap<String, Row>, truth: &[Map<String, Value>]) {
    if let Err(difference) = compare_products(rows, truth) {
        panic!("{difference}");
    }
}

/// Compares as [`assert_products_equal`] does, and tells the first difference.
pub fn compare_products(
    rows: &BTreeMap<String, Row>,
    truth: &[Map<String, Value>],
) -> Result<(), String> {
    let living: BTreeMap<_, _> = rows
        .iter()
        .filter(|(_, row)| row["_deleted_at"].is_null())
        .collect();
    for product in truth {
        let id = product["id"].as_str().unwrap();
        let Some(row) = living.get(&id.to_owned()) else {
            let (found, expected) = (living.len(), truth.len());
            return Err(format!(
                "product {id} is missing: {found} of {expected} are there"
            ));
        };
        let mut row = (*row).clone();
        if row["_extra"] != Value::Null {
            return Err(format!(
                "product {id} has no property without a column, yet {}",
                row["_extra"]
            ));
        }
        row.retain(|column, _| !OWN_COLUMNS.contains(&column.as_str()));
        let expected = expected_product(product);
        if row != expected {
            return Err(format!("product {id} is {row:?}, not {expected:?}"));
        }
    }
    if living.len() != truth.len() {
        let more = living.len() - truth.len();
        return Err(format!(
            "there are {more} rows that the source does not have"
        ));
    }
    Ok(())
}
