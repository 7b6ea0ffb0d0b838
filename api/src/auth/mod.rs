//! Who is asking, and what they may do.
//!
//! Programs send a bearer token; people sign in and get a session, which the web page keeps in a cookie. Handlers name the
//! least role they need by their extractor, [`Viewer`], [`Operator`] or [`Admin`], so the right is checked where the work is
//! done, whatever the page shows.

mod caller;
mod hs256;
mod password;
mod session;
mod token;

pub(crate) use caller::cookie;
pub use caller::{Admin, Caller, Operator, Viewer};
pub use password::{PasswordError, PasswordHasher};
pub use session::{SESSION_COOKIE, SESSION_HOURS, Session, SessionKeys};
pub use token::NewToken;
