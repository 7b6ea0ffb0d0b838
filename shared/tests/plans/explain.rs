//! Asks Postgres for its plan, in the way in which the product's connections make it.

use serde_json::Value;
use sqlx::{AssertSqlSafe, PgConnection};

use crate::statements::Statement;

/// A plan, node by node.
#[derive(Debug, Clone)]
pub(crate) struct Plan(Value);

/// The plan for any parameters, as the queue uses it. `arguments` is what stands between the brackets of `execute`.
pub(crate) async fn generic(db: &mut PgConnection, statement: &Statement, arguments: &str) -> Plan {
    explain(db, statement, arguments, "format json").await
}

/// Carries the statement out, counts its buffers, and takes everything back.
pub(crate) async fn analysed(
    db: &mut PgConnection,
    statement: &Statement,
    arguments: &str,
) -> Plan {
    run(db, "begin").await;
    let plan = explain(db, statement, arguments, "analyze, buffers, format json").await;
    run(db, "rollback").await;
    plan
}

async fn explain(
    db: &mut PgConnection,
    statement: &Statement,
    arguments: &str,
    options: &str,
) -> Plan {
    let (types, text) = (statement.types.join(", "), &statement.text);
    let types = if types.is_empty() {
        String::new()
    } else {
        format!("({types})")
    };
    let arguments = if types.is_empty() {
        String::new()
    } else {
        format!("({arguments})")
    };
    run(
        db,
        "set plan_cache_mode = force_generic_plan; set enable_seqscan = off",
    )
    .await;
    run(db, &format!("prepare explained {types} as {text}")).await;
    let question = format!("explain ({options}) execute explained {arguments}");
    let plan: Value = sqlx::query_scalar(AssertSqlSafe(question))
        .persistent(false)
        .fetch_one(&mut *db)
        .await
        .unwrap_or_else(|error| panic!("{}: {error}", statement.name));
    run(db, "deallocate explained").await;
    Plan(plan)
}

pub(crate) async fn run(db: &mut PgConnection, text: &str) {
    sqlx::raw_sql(AssertSqlSafe(text.to_owned()))
        .execute(db)
        .await
        .unwrap();
}

impl Plan {
    /// Buffers that the execution touched, whether they were in memory or not.
    pub(crate) fn buffers(&self) -> u64 {
        let top = &self.0[0]["Plan"];
        let count = |name: &str| top[name].as_u64().unwrap();
        count("Shared Hit Blocks") + count("Shared Read Blocks")
    }

    /// Tables that are read from one end to the other, be it by way of an index. What stands right under a limit stops early.
    pub(crate) fn read_whole(&self) -> Vec<String> {
        let mut found = Vec::new();
        walk(&self.0[0]["Plan"], false, &mut |node, is_limited| {
            let kind = node["Node Type"].as_str().unwrap();
            let by_index = matches!(kind, "Index Scan" | "Index Only Scan");
            if kind == "Seq Scan" || (by_index && node["Index Cond"].is_null() && !is_limited) {
                let table = node["Relation Name"].as_str().unwrap();
                found.push(format!("{table} by {kind}"));
            }
        });
        found
    }

    /// How often parts of a table were searched by an execution. Fails unless the plan has such a search.
    pub(crate) fn searches_of(&self, table: &str) -> u64 {
        let mut loops = Vec::new();
        walk(&self.0[0]["Plan"], false, &mut |node, _| {
            let name = node["Relation Name"].as_str().unwrap_or_default();
            if name.starts_with(table) && node["Node Type"].as_str().unwrap().contains("Scan") {
                loops.push(node["Actual Loops"].as_u64().unwrap());
            }
        });
        assert!(!loops.is_empty(), "nothing searches {table}:\n{self}");
        loops.iter().sum()
    }

    /// Pairs of rows that joins of an execution compared, only to find that they do not match.
    pub(crate) fn compared_in_vain(&self) -> u64 {
        let mut removed = 0;
        walk(&self.0[0]["Plan"], false, &mut |node, _| {
            let each = node["Rows Removed by Join Filter"].as_u64().unwrap_or(0);
            removed += each * node["Actual Loops"].as_u64().unwrap_or(1);
        });
        removed
    }

    /// True if there is such a node, of such a name in one of its fields.
    pub(crate) fn has(&self, node_type: &str, field: &str, name: &str) -> bool {
        let mut found = false;
        walk(&self.0[0]["Plan"], false, &mut |node, _| {
            found |= node["Node Type"] == node_type && node[field] == name;
        });
        found
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:#}", self.0)
    }
}

fn walk(node: &Value, is_limited: bool, look: &mut impl FnMut(&Value, bool)) {
    look(node, is_limited);
    let is_limited = match node["Node Type"].as_str() {
        Some("Limit") => true,
        Some("LockRows" | "Append" | "Merge Append" | "Subquery Scan" | "Result") => is_limited,
        _ => false,
    };
    for child in node["Plans"].as_array().into_iter().flatten() {
        walk(child, is_limited, look);
    }
}
