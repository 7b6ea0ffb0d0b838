//! A loaded manifest: what it offers, which config it needs, and the way to a reader.

use std::fmt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Value;

use crate::budget::BudgetPolicy;
use crate::config;
use crate::error::{ConfigProblem, Failure, LoadErrors, LoadProblem, ReadError};
use crate::load;
use crate::load::model::Source;
use crate::reader::{ReadSettings, SharedReads, StreamReader};
use crate::redact::Redactor;

/// A loaded, validated manifest of one platform; cheap to clone.
#[derive(Clone)]
pub struct Connector(pub(crate) Arc<Source>);

impl fmt::Debug for Connector {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "Connector({:?})", self.0.platform)
    }
}

/// What is known about a stream before it is read.
#[derive(Debug, Clone, PartialEq)]
pub struct StreamInfo {
    /// Its name, unique within the connector.
    pub name: String,
    /// The fields that identify a record, each as a path of member names; empty if it has no key.
    pub primary_key: Vec<Vec<String>>,
    /// The JSON schema of its records.
    pub schema: Value,
    /// Whether a single page can be asked for ([`ReadSettings::page`]).
    pub supports_page: bool,
    /// Whether a read yields everything there is, so that what it does not yield is gone. Never so for a stream with a cursor:
    /// a record that changes while the stream is read may leave a slice that is still to come for one that is not.
    pub full_read: bool,
    /// The cursor by which the stream is read incrementally, if it has one.
    pub cursor: Option<CursorInfo>,
    /// The unified model that its records belong to, if the manifest says so (`x_model`).
    pub unified: Option<UnifiedModel>,
}

/// How a stream's records fill one of the models that platforms have in common.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct UnifiedModel {
    /// The model: `campaigns`, `campaign_performance`, `posts`, `post_metrics`, `products` or `events`.
    pub name: String,
    /// Columns of the model, each with the field of the record that fills it, as a path of member names.
    pub columns: Vec<(String, Vec<String>)>,
}

/// What is known about a stream's cursor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CursorInfo {
    /// The field of the record, as the manifest has it.
    pub field: String,
    /// The smallest difference of two of its values, if the manifest says so and it is of fixed length.
    pub granularity: Option<Duration>,
    /// Whether its values are moments, so that a range of the data can be asked for. Others are whole numbers.
    pub is_time: bool,
}

impl Connector {
    /// Loads a manifest. Everything that the engine does not support is refused here, by name and
    /// path, all problems at once.
    pub fn load(platform: &str, yaml: &str) -> Result<Connector, LoadErrors> {
        load::load(platform, yaml).map(|source| Connector(Arc::new(source)))
    }

    /// Loads `<platform>.yaml`; the platform is the file's stem.
    pub fn load_file(path: impl AsRef<Path>) -> Result<Connector, LoadErrors> {
        let path = path.as_ref();
        let platform = path
            .file_stem()
            .unwrap_or_default()
            .to_string_lossy()
            .into_owned();
        match std::fs::read_to_string(path) {
            Ok(yaml) => Connector::load(&platform, &yaml),
            Err(error) => {
                let message = format!("{} cannot be read: {error}", path.display());
                let problems = vec![LoadProblem {
                    path: String::new(),
                    message,
                }];
                Err(LoadErrors { platform, problems })
            }
        }
    }

    /// The platform, as given to [`Connector::load`].
    pub fn platform(&self) -> &str {
        &self.0.platform
    }

    /// The streams, in the manifest's order.
    pub fn streams(&self) -> &[StreamInfo] {
        &self.0.infos
    }

    /// The stream of this name.
    pub fn stream(&self, name: &str) -> Option<&StreamInfo> {
        self.0.infos.iter().find(|stream| stream.name == name)
    }

    /// The streams by which the manifest says that a connection is to be checked.
    pub fn check_streams(&self) -> &[String] {
        &self.0.check_streams
    }

    /// The JSON schema of the config (`spec.connection_specification`).
    pub fn config_schema(&self) -> &Value {
        &self.0.config_schema
    }

    /// Where people read about the platform (`spec.documentation_url`), if the manifest says so.
    pub fn documentation_url(&self) -> Option<&str> {
        self.0.documentation_url.as_deref()
    }

    /// JSON pointers of the config's secrets (`airbyte_secret: true`), such as `/client_secret`. A list, or a mapping of free
    /// names, that holds a secret is one as a whole.
    pub fn secret_fields(&self) -> Vec<String> {
        config::secret_pointers(&self.0.config_schema)
    }

    /// Checks a config against the schema and names every problem, never the value of a secret.
    pub fn check_config(&self, config: &Value) -> Result<(), Vec<ConfigProblem>> {
        let config = self.normalised(config).map_err(|problem| vec![problem])?;
        self.check_normalised(&config)
    }

    /// The config after the manifest's `config_normalization_rules`.
    fn normalised(&self, config: &Value) -> Result<Value, ConfigProblem> {
        self.0.config_rules.apply(config)
    }

    fn secrets(&self, config: &Value) -> Vec<String> {
        config::secret_values(&self.0.config_schema, config)
    }

    fn check_normalised(&self, config: &Value) -> Result<(), Vec<ConfigProblem>> {
        config::check(&self.0.config_schema, &self.0.config_validator, config)?;
        let problems = self.0.config_rules.problems(config);
        if problems.is_empty() {
            Ok(())
        } else {
            Err(problems)
        }
    }

    /// The manifest's `api_budget`, in its order.
    pub fn budgets(&self) -> &[BudgetPolicy] {
        &self.0.budgets
    }

    /// The account part of each budget's key for this config, in the order of
    /// [`Connector::budgets`]: what [`BudgetKey::scope`](crate::BudgetKey::scope) will hold.
    pub fn budget_scopes(&self, config: &Value) -> Result<Vec<String>, ReadError> {
        let mut secrets = self.secrets(config);
        let config = self
            .normalised(config)
            .map_err(|problem| unfit(&[problem]))?;
        secrets.extend(self.secrets(&config));
        crate::request::budget_scopes(&self.0, &config, &Redactor::new(&secrets))
    }

    /// A reader of one stream. Sends nothing yet. Fails if the stream is unknown, the config does not
    /// fit, or the position is not one of this stream.
    pub fn reader(&self, stream: &str, settings: ReadSettings) -> Result<StreamReader, ReadError> {
        self.reader_sharing(stream, settings, &SharedReads::default())
    }

    /// As [`reader`](Self::reader), with what other reads of the same sync have fetched: tokens, and the records of parents.
    pub fn reader_sharing(
        &self,
        stream: &str,
        mut settings: ReadSettings,
        shared: &SharedReads,
    ) -> Result<StreamReader, ReadError> {
        let Some(index) = self.0.infos.iter().position(|info| info.name == stream) else {
            let known: Vec<&str> = self.0.infos.iter().map(|info| info.name.as_str()).collect();
            let message = format!(
                "platform \"{}\" has no stream \"{stream}\"; it has: {}",
                self.platform(),
                known.join(", ")
            );
            let failure = Box::new(Failure {
                message,
                ..Failure::default()
            });
            return Err(ReadError::Permanent { failure });
        };
        let shared = SharedReads {
            given_secrets: self.secrets(&settings.config).into(),
            ..shared.clone()
        };
        settings.config = self
            .normalised(&settings.config)
            .map_err(|problem| unfit(&[problem]))?;
        self.check_normalised(&settings.config)
            .map_err(|problems| unfit(&problems))?;
        StreamReader::new(Arc::clone(&self.0), index, settings, shared)
    }
}

fn unfit(problems: &[ConfigProblem]) -> ReadError {
    let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
    let message = format!("the connection's config does not fit: {}", lines.join("; "));
    let failure = Box::new(Failure {
        message,
        ..Failure::default()
    });
    ReadError::NeedsPerson { failure }
}
