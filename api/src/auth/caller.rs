//! The caller of a request, and the extractors that check the role.

use axum::extract::{FromRequestParts, OptionalFromRequestParts};
use axum::http::request::Parts;
use axum::http::{HeaderMap, Method, header};
use serde::Serialize;
use syncline_shared::db::access::{self, Role};
use utoipa::ToSchema;

use super::{SESSION_COOKIE, token};
use crate::error::{ApiError, ApiResult};
use crate::state::AppState;

/// Somebody we know.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, ToSchema)]
pub struct Caller {
    /// The name of the account or of the token.
    #[schema(example = "ana")]
    pub name: String,
    /// What they may do.
    #[schema(value_type = String, example = "operator")]
    pub role: Role,
    /// True of a person who signed in, false of a program with an API token.
    pub signed_in: bool,
}

/// A caller who may look: everybody we know.
#[derive(Debug)]
pub struct Viewer(pub Caller);
/// A caller who may start runs and change things.
#[derive(Debug)]
pub struct Operator(pub Caller);
/// A caller who may do everything.
#[derive(Debug)]
pub struct Admin(pub Caller);

macro_rules! extractors {
    ($( $name:ident: $($role:ident)|+ ),+) => { $(
        impl FromRequestParts<AppState> for $name {
            type Rejection = ApiError;

            async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Self> {
                let caller = identify(parts, state).await?;
                if matches!(caller.role, $( Role::$role )|+) {
                    return Ok(Self(caller));
                }
                let allowed = [$( Role::$role.as_str() ),+].join(" or ");
                Err(ApiError::Forbidden(format!(
                    "{:?} has the role {}; this needs {allowed}", caller.name, caller.role
                )))
            }
        }
    )+ };
}

extractors! {
    Viewer: Viewer | Operator | Admin,
    Operator: Operator | Admin,
    Admin: Admin
}

impl OptionalFromRequestParts<AppState> for Viewer {
    type Rejection = ApiError;

    /// `None` for somebody we do not know; fails only if that cannot be found out.
    async fn from_request_parts(parts: &mut Parts, state: &AppState) -> ApiResult<Option<Self>> {
        match identify(parts, state).await {
            Ok(caller) => Ok(Some(Self(caller))),
            Err(ApiError::Unauthenticated(_)) => Ok(None),
            Err(error) => Err(error),
        }
    }
}

async fn identify(parts: &Parts, state: &AppState) -> ApiResult<Caller> {
    if let Some(bearer) = bearer(&parts.headers)? {
        if bearer.starts_with(token::PREFIX) {
            return by_token(bearer, state).await;
        }
        return by_session(bearer, state).await;
    }
    let Some(session) = cookie(&parts.headers, SESSION_COOKIE) else {
        return Err(ApiError::Unauthenticated(
            "a token is required: Authorization: Bearer syn_...; or sign in",
        ));
    };
    if is_foreign_write(&parts.method, &parts.headers) {
        return Err(ApiError::Forbidden(
            "a page of another site may not act with your session".to_owned(),
        ));
    }
    by_session(session, state).await
}

async fn by_token(text: &str, state: &AppState) -> ApiResult<Caller> {
    let mut db = state.database.session().await?;
    let found = access::find_token(&mut db, &token::hash(text)).await?;
    let found = found.ok_or(ApiError::Unauthenticated(
        "the token is unknown or has expired",
    ))?;
    Ok(Caller {
        name: found.name,
        role: found.role,
        signed_in: false,
    })
}

async fn by_session(text: &str, state: &AppState) -> ApiResult<Caller> {
    const ENDED: ApiError = ApiError::Unauthenticated("the session has ended; sign in again");
    let session = state.sessions.check(text, state.clock.now()).ok_or(ENDED)?;
    let mut db = state.database.session().await?;
    let account = access::find_user(&mut db, &session.user)
        .await?
        .ok_or(ENDED)?;
    if !session.fits(&account.password_hash) {
        return Err(ENDED);
    }
    Ok(Caller {
        name: account.name,
        role: account.role,
        signed_in: true,
    })
}

fn bearer(headers: &HeaderMap) -> ApiResult<Option<&str>> {
    const MALFORMED: ApiError =
        ApiError::Unauthenticated("the Authorization header must be: Bearer syn_...");
    let Some(value) = headers.get(header::AUTHORIZATION) else {
        return Ok(None);
    };
    let (scheme, token) = value
        .to_str()
        .ok()
        .and_then(|text| text.split_once(' '))
        .ok_or(MALFORMED)?;
    if scheme.eq_ignore_ascii_case("bearer") {
        Ok(Some(token.trim()))
    } else {
        Err(MALFORMED)
    }
}

/// The value of a cookie, if it was sent.
pub(crate) fn cookie<'a>(headers: &'a HeaderMap, name: &str) -> Option<&'a str> {
    let lines = headers
        .get_all(header::COOKIE)
        .iter()
        .filter_map(|line| line.to_str().ok());
    let mut pairs = lines
        .flat_map(|line| line.split(';'))
        .filter_map(|pair| pair.trim().split_once('='));
    pairs
        .find(|(found, _)| *found == name)
        .map(|(_, value)| value)
}

/// `SameSite=Strict` keeps the cookie from other sites' requests; browsers that also say where a request comes from
/// are taken at their word, which covers sister domains, too.
fn is_foreign_write(method: &Method, headers: &HeaderMap) -> bool {
    if matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS) {
        return false;
    }
    let site = headers
        .get("sec-fetch-site")
        .and_then(|value| value.to_str().ok());
    site.is_some_and(|site| !matches!(site, "same-origin" | "none"))
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::HeaderValue;

    fn headers(name: &'static str, value: &'static str) -> HeaderMap {
        let mut headers = HeaderMap::new();
        headers.insert(name, HeaderValue::from_static(value));
        headers
    }

    #[test]
    fn bearer_tokens_are_read_and_other_schemes_refused() {
        assert_eq!(
            bearer(&headers("authorization", "Bearer abc")).unwrap(),
            Some("abc")
        );
        assert_eq!(
            bearer(&headers("authorization", "bearer abc")).unwrap(),
            Some("abc")
        );
        assert_eq!(bearer(&HeaderMap::new()).unwrap(), None);
        for text in ["Basic abc", "Bearer", ""] {
            assert!(bearer(&headers("authorization", text)).is_err(), "{text}");
        }
    }

    #[test]
    fn the_session_is_found_among_other_cookies() {
        let found = headers("cookie", "a=1; syncline_session=x.y.z; b=2");
        assert_eq!(cookie(&found, SESSION_COOKIE), Some("x.y.z"));
        assert_eq!(
            cookie(&headers("cookie", "my_syncline_session=x"), SESSION_COOKIE),
            None
        );
    }

    #[test]
    fn writes_from_other_sites_are_foreign() {
        let cross = headers("sec-fetch-site", "same-site");
        assert!(is_foreign_write(&Method::POST, &cross));
        assert!(!is_foreign_write(&Method::GET, &cross));
        assert!(!is_foreign_write(
            &Method::POST,
            &headers("sec-fetch-site", "same-origin")
        ));
        assert!(!is_foreign_write(&Method::POST, &HeaderMap::new()));
    }
}
