//! `SimpleRetriever` and `AsyncRetriever`: how the records of a stream are fetched.

use super::component::{Component, Problems};
use crate::decode::Decoder;
use crate::expr::Place;
use crate::job::{JobPlan, load_extractor};
use crate::paginate::{Paginator, ResetPlan};
use crate::record::Extractor;
use crate::request::{Methods, Requester};

/// What a stream takes of its retriever.
pub(super) struct Parts {
    pub(super) requester: Requester,
    pub(super) decoder: Decoder,
    pub(super) paginator: Paginator,
    /// In place of the record selector's.
    pub(super) extractor: Option<Extractor>,
    pub(super) job: Option<Box<JobPlan>>,
    pub(super) teardown: Option<Requester>,
    pub(super) reset: Option<ResetPlan>,
}

pub(super) fn load(retriever: &Component<'_>, problems: &mut Problems) -> Option<Parts> {
    let refused = &[
        "page_size_reduction",
        "request_window_splitting",
        "additional_query_properties",
    ];
    retriever.refuse(refused, &["x_teardown", "x_streamed"], problems);
    let (field, place) = ("x_teardown", Place::REQUEST);
    let teardown = if retriever.get(field).is_some() {
        Requester::load_field(retriever, field, place, Methods::Any, problems).map(Some)
    } else {
        Some(None)
    };
    let parts = if retriever.kind == "AsyncRetriever" {
        load_async(retriever, problems)
    } else {
        load_simple(retriever, problems)
    };
    let mut parts = parts?;
    if retriever.boolean("x_streamed", problems) {
        if !matches!(parts.paginator, Paginator::None) {
            let message = "a streamed answer is the only page: leave the paginator out";
            problems.add(retriever.path_of("x_streamed"), message);
        }
        if !parts.decoder.can_stream() {
            let message = "XmlDecoder and ZipfileDecoder need the answer as a whole; all other decoders can be streamed";
            problems.add(retriever.path_of("x_streamed"), message);
        }
        if parts.reset.is_some() {
            let message = "the pages of a streamed answer cannot be begun anew: leave pagination_reset and RESET_PAGINATION out";
            problems.add(retriever.path_of("x_streamed"), message);
        }
        parts.decoder = Decoder::Streamed(Box::new(parts.decoder));
    }
    Some(Parts {
        teardown: teardown?,
        ..parts
    })
}

fn load_simple(retriever: &Component<'_>, problems: &mut Problems) -> Option<Parts> {
    let decoder = Decoder::load(retriever, "decoder", problems);
    let requester = Requester::load(retriever, problems);
    let paginator = Paginator::load(retriever, "paginator", problems);
    check_paginator(
        retriever,
        "paginator",
        decoder.as_ref(),
        paginator.as_ref(),
        problems,
    );
    let reset = ResetPlan::load(retriever, problems);
    let requester = requester?;
    Some(Parts {
        reset: reset.or_else(|| resets_of(&requester)),
        requester,
        decoder: decoder?,
        paginator: paginator?,
        extractor: None,
        job: None,
        teardown: None,
    })
}

fn load_async(retriever: &Component<'_>, problems: &mut Problems) -> Option<Parts> {
    let job = JobPlan::load(retriever, problems);
    let decoder = Decoder::load(retriever, "download_decoder", problems);
    let requester = Requester::load_field(
        retriever,
        "download_requester",
        Place::DOWNLOAD,
        Methods::Usual,
        problems,
    );
    let field = "download_paginator";
    let paginator = Paginator::load(retriever, field, problems);
    check_paginator(
        retriever,
        field,
        decoder.as_ref(),
        paginator.as_ref(),
        problems,
    );
    let extractor = match retriever.get("download_extractor") {
        None => Some(Extractor::whole()),
        Some(_) => load_extractor(retriever, "download_extractor", problems),
    };
    let requester = requester?;
    Some(Parts {
        reset: resets_of(&requester),
        requester,
        decoder: decoder?,
        paginator: paginator?,
        extractor: Some(extractor?),
        job: Some(Box::new(job?)),
        teardown: None,
    })
}

/// What holds where only the error handler speaks of resets.
fn resets_of(requester: &Requester) -> Option<ResetPlan> {
    let resets = requester.error_handler.resets_pages();
    resets.then(ResetPlan::default)
}

/// A paginator that reads answers needs answers that can be read as a whole.
fn check_paginator(
    retriever: &Component<'_>,
    field: &str,
    decoder: Option<&Decoder>,
    paginator: Option<&Paginator>,
    problems: &mut Problems,
) {
    let (Some(decoder), Some(paginator)) = (decoder, paginator) else {
        return;
    };
    if paginator.reads_response() && !decoder.gives_response() {
        let message = "the paginator reads \"response\", which the retriever's decoder does not give; a JsonDecoder or an \
                       XmlDecoder does, and headers and last_record are there with all of them";
        problems.add(retriever.path_of(field), message);
    }
}
