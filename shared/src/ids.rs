//! Identities as types of their own, so that a run's id cannot be taken for a connection's.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

macro_rules! ids {
    ($( $(#[$doc:meta])* $name:ident ),+ $(,)?) => { $(
        $(#[$doc])*
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize, sqlx::Type,
        )]
        #[serde(transparent)]
        #[sqlx(transparent)]
        pub struct $name(pub Uuid);

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.0.fmt(f)
            }
        }

        impl std::str::FromStr for $name {
            type Err = uuid::Error;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                Uuid::parse_str(text).map(Self)
            }
        }
    )+ };
}

ids! {
    /// A business: a tenant.
    BusinessId,
    /// One account of one business on one platform.
    ConnectionId,
    /// A trigger on a target.
    ScheduleId,
    /// The runs of one tick or of one request.
    BatchId,
    /// One execution of a connection's sync. A UUID version 7 of the database's clock: ids order by creation.
    RunId,
    /// A process that takes part, new at each start.
    ProcessId,
}

impl ProcessId {
    /// A new identity for a process that starts now.
    pub fn random() -> Self {
        Self(Uuid::new_v4())
    }
}
