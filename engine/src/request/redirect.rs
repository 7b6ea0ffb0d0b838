//! Redirects: each hop is a request of its own.

use reqwest::header::LOCATION;
use reqwest::{Method, StatusCode};

use super::send::Sender;
use super::{Built, url};
use crate::error::ReadError;
use crate::http::HttpAnswer;

impl Sender {
    /// The next hop. To another host go neither credentials nor a body.
    pub(super) fn redirected(
        &self,
        request: &Built,
        status: StatusCode,
        location: &str,
    ) -> Result<Built, ReadError> {
        let target = request.url.join(location).map_err(|error| {
            self.permanent(
                &format!("the redirect cannot be followed: {error}"),
                request,
                Some(status),
            )
        })?;
        let mut next = request.clone();
        let same_origin = url::same_origin(&request.url, &target);
        if request.url.scheme() == "https" && target.scheme() != "https" {
            let message = "the redirect leads from https to an unprotected address".to_owned();
            return Err(self.permanent(&message, request, Some(status)));
        }
        let becomes_get = status == StatusCode::SEE_OTHER
            || (matches!(status, StatusCode::MOVED_PERMANENTLY | StatusCode::FOUND)
                && request.method == Method::POST);
        if becomes_get {
            next.method = Method::GET;
            next.body = None;
            next.headers
                .retain(|(name, _)| name != reqwest::header::CONTENT_TYPE);
        }
        if !same_origin {
            if next.body.is_some() {
                let message = format!(
                    "the redirect leads to another host ({}), which is not sent the body",
                    target.host_str().unwrap_or_default()
                );
                return Err(self.permanent(&message, request, Some(status)));
            }
            // Any header of the manifest may hold a credential.
            next.headers
                .retain(|(name, _)| name == reqwest::header::ACCEPT);
        }
        next.url = target;
        Ok(next)
    }
}

/// Where an answer leads, if it is a redirect that is followed.
pub(super) fn redirect_target(answer: &HttpAnswer) -> Option<String> {
    let follows = matches!(answer.status.as_u16(), 301 | 302 | 303 | 307 | 308);
    let location = answer
        .headers
        .get(LOCATION)
        .and_then(|value| value.to_str().ok());
    if follows {
        location.map(str::to_owned)
    } else {
        None
    }
}
