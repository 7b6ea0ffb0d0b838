//! What applying a document did, or would do.

use std::fmt;

use serde::Serialize;
use serde_json::Value;

/// What became of each object of a document, in its order.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Report {
    /// True: nothing was written.
    pub dry_run: bool,
    /// Platforms, then businesses, then connections, then schedules.
    pub objects: Vec<ObjectReport>,
}

/// What became of one object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ObjectReport {
    /// What it is.
    pub kind: Kind,
    /// Its key; of a platform its name.
    pub key: String,
    /// What became of it.
    #[serde(flatten)]
    pub change: Change,
}

/// What an object is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A platform.
    Platform,
    /// A business.
    Business,
    /// A connection.
    Connection,
    /// A schedule.
    Schedule,
}

/// What became of an object.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "change", content = "fields", rename_all = "snake_case")]
pub enum Change {
    /// It was not there.
    Created,
    /// These fields were different.
    Changed(Vec<FieldChange>),
    /// It was like this already.
    Same,
}

/// A field that was different.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct FieldChange {
    /// The field, with dots between its steps.
    pub field: String,
    /// True: old and new are not told.
    pub secret: bool,
    /// The value before; null: it had none.
    pub old: Value,
    /// The value now; null: it has none.
    pub new: Value,
}

impl FieldChange {
    /// A change that may be told.
    pub(super) fn told(field: impl Into<String>, old: Value, new: Value) -> Self {
        Self {
            field: field.into(),
            secret: false,
            old,
            new,
        }
    }

    /// A change of a secret.
    pub(super) fn secret(field: impl Into<String>) -> Self {
        Self {
            field: field.into(),
            secret: true,
            old: Value::Null,
            new: Value::Null,
        }
    }
}

impl Report {
    /// True if schedulers have something new to look at.
    pub fn changes_schedules(&self) -> bool {
        let mut schedules = self
            .objects
            .iter()
            .filter(|object| object.kind == Kind::Schedule);
        schedules.any(|object| object.change != Change::Same)
    }

    /// True if the document says nothing new.
    pub fn is_same(&self) -> bool {
        self.objects
            .iter()
            .all(|object| object.change == Change::Same)
    }
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Platform => "platform",
            Self::Business => "business",
            Self::Connection => "connection",
            Self::Schedule => "schedule",
        })
    }
}

impl fmt::Display for FieldChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.secret {
            return write!(f, "{}  changed (secret)", self.field);
        }
        let shown = |value: &Value| match value {
            Value::Null => "unset".to_owned(),
            other => other.to_string(),
        };
        write!(
            f,
            "{}  {} -> {}",
            self.field,
            shown(&self.old),
            shown(&self.new)
        )
    }
}

/// A line for each object that is not the same, and one that counts: the text of the command line.
impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (mut created, mut changed, mut same) = (0, 0, 0);
        for ObjectReport { kind, key, change } in &self.objects {
            match change {
                Change::Created => {
                    created += 1;
                    writeln!(f, "+ {kind} {key}")?;
                }
                Change::Changed(fields) => {
                    changed += 1;
                    for field in fields {
                        writeln!(f, "~ {kind} {key}  {field}")?;
                    }
                }
                Change::Same => same += 1,
            }
        }
        if self.dry_run {
            write!(f, "{created} to add, {changed} to change, {same} same")
        } else {
            write!(f, "{created} added, {changed} changed, {same} same")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_report_reads_as_a_diff_and_hides_secrets() {
        let object = |kind, key: &str, change| ObjectReport {
            kind,
            key: key.to_owned(),
            change,
        };
        let report = Report {
            dry_run: true,
            objects: vec![
                object(Kind::Business, "acme", Change::Same),
                object(Kind::Connection, "beta", Change::Created),
                object(
                    Kind::Schedule,
                    "hourly",
                    Change::Changed(vec![
                        FieldChange::told("cron", json!("0 * * * *"), json!("*/30 * * * *")),
                        FieldChange::secret("config.token"),
                    ]),
                ),
            ],
        };
        assert_eq!(
            report.to_string(),
            "+ connection beta\n\
             ~ schedule hourly  cron  \"0 * * * *\" -> \"*/30 * * * *\"\n\
             ~ schedule hourly  config.token  changed (secret)\n\
             1 to add, 1 to change, 1 same"
        );
        assert!(report.changes_schedules() && !report.is_same());
        let json = serde_json::to_value(&report).unwrap();
        assert_eq!(
            json["objects"][1],
            json!({"kind": "connection", "key": "beta", "change": "created"})
        );
    }
}
