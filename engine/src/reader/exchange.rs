//! One request and its answer, with the token that it may need.

use serde_json::Value;

use super::StreamReader;
use super::session::wants_new_token;
use crate::decode::Decoder;
use crate::error::ReadError;
use crate::expr::Scope;
use crate::incremental::DatetimeCursor;
use crate::paginate::Paginator;
use crate::partition::Routers;
use crate::request::received::Received;
use crate::request::{Asked, Requester};

/// What is asked of the platform.
#[derive(Clone, Copy)]
pub(super) struct Question<'a> {
    pub(super) requester: &'a Requester,
    pub(super) decoder: &'a Decoder,
    pub(super) paginator: &'a Paginator,
    pub(super) token: Option<&'a Value>,
    pub(super) cursor: Option<&'a DatetimeCursor>,
    pub(super) routers: Option<&'a Routers>,
    pub(super) slice: Option<&'a Value>,
    /// The answer is a page of records.
    pub(super) is_page: bool,
}

impl<'a> Question<'a> {
    /// A request that is none for a page.
    pub(super) fn beside(
        requester: &'a Requester,
        decoder: &'a Decoder,
        slice: Option<&'a Value>,
    ) -> Question<'a> {
        Question {
            requester,
            decoder,
            paginator: &Paginator::None,
            token: None,
            cursor: None,
            routers: None,
            slice,
            is_page: false,
        }
    }
}

impl StreamReader {
    /// Sends a request. A token that the platform refuses is fetched anew, once.
    pub(super) async fn exchange(
        &mut self,
        question: &Question<'_>,
    ) -> Result<Received, ReadError> {
        let requester = question.requester;
        let mut refused: Option<String> = None;
        loop {
            let session = self.session(requester, refused.as_deref()).await?;
            let scope = Scope {
                session_token: session.as_deref(),
                asked_at: Some(self.sender.now(&self.settings)),
                ..self.scope(question.slice)
            };
            let asked = Asked {
                scope: &scope,
                base_url: self.settings.base_url.as_deref(),
                paginator: question.paginator,
                token: question.token,
                cursor: question.cursor,
                routers: question.routers,
            };
            let built = requester
                .build(&asked)
                .map_err(|error| error.into_read_error(&self.sender.redactor))?;
            let handler = &requester.error_handler;
            let sending = self
                .sender
                .send(&built, handler, question.decoder, &self.settings);
            match sending.await {
                Err(error) if session.is_some() && refused.is_none() && wants_new_token(&error) => {
                    refused = session;
                }
                Ok(received) if !question.is_page => return received.of_no_page(),
                result => return result,
            }
        }
    }
}
