//! Makes an enum of a closed list of words that are stored as text and shown in JSON: one list, one place.

macro_rules! words {
    (
        $(#[$meta:meta])*
        $vis:vis enum $name:ident { $( $(#[$doc:meta])* $variant:ident = $word:literal ),+ $(,)? }
    ) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, serde::Serialize, serde::Deserialize, sqlx::Type)]
        #[sqlx(type_name = "text")]
        $vis enum $name {
            $( $(#[$doc])* #[serde(rename = $word)] #[sqlx(rename = $word)] $variant ),+
        }

        impl $name {
            /// All of them, in the order of their definition.
            pub const ALL: &'static [Self] = &[$( Self::$variant ),+];

            /// The word, as stored and shown.
            pub const fn as_str(self) -> &'static str {
                match self { $( Self::$variant => $word ),+ }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            /// The error names the words that are allowed.
            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $( $word => Ok(Self::$variant), )+
                    other => Err(format!(
                        "{other:?} is not known; allowed: {}",
                        [$( $word ),+].join(", ")
                    )),
                }
            }
        }
    };
}

pub(crate) use words;
