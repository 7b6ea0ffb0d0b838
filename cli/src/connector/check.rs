//! `syncline connector check`: does the platform answer with this config?
//!
//! Each stream that the manifest names for this is read until its first page, as in the reference.

use std::process::ExitCode;
use std::sync::Arc;

use clap::Args;

use super::given::Given;
use super::message::{Fault, Message, Verdict};
use super::output::{Form, Output};
use super::platform::{Limits, Platform};

#[derive(Debug, Args)]
pub(super) struct CheckCommand {
    #[command(flatten)]
    given: Given,
    #[command(flatten)]
    limits: Limits,
}

pub(super) async fn run(command: CheckCommand) -> ExitCode {
    let output = Arc::new(command.given.output());
    let inputs = match command.given.read() {
        Ok(inputs) => inputs,
        Err(error) => {
            output.fault(&Fault::of_input(format!("{error:#}")));
            return output.exit(false);
        }
    };
    let problem = if let Err(error) = inputs.check_config() {
        Some(error.to_string())
    } else {
        let platform = Platform::new(inputs, &command.limits, Arc::clone(&output));
        first_problem(&platform, &output).await
    };
    let verdict = match &problem {
        None => Verdict::Succeeded,
        Some(message) => Verdict::Failed { message },
    };
    match output.form() {
        Form::Protocol => output.message(&Message::ConnectionStatus { status: verdict }),
        Form::People => match &problem {
            None => output.tell("the check succeeded"),
            Some(message) => output.tell(&format!("the check failed: {message}")),
        },
    }
    // In the protocol a failed check is an answer like any other, and the reference exits with 0.
    output.exit(problem.is_none() || output.form() == Form::Protocol)
}

/// What is wrong, if anything is.
async fn first_problem(platform: &Platform<'_>, output: &Output) -> Option<String> {
    for name in platform.inputs.connector.check_streams() {
        let page = match platform.reader(name, None) {
            Ok(mut reader) => platform.next_page(&mut reader, name).await,
            Err(failure) => Err(failure),
        };
        let page = match page {
            Ok(page) => page,
            Err(failure) => {
                let message = failure.fault(name).message;
                return Some(format!("stream \"{name}\": {message}"));
            }
        };
        // A page that took no time was not asked for: there was no partition, or nothing in the cursor's range.
        let Some(page) = page.filter(|page| !page.duration.is_zero()) else {
            return Some(format!(
                "stream \"{name}\": there is nothing to ask the platform for: the stream has no partition, or its cursor \
                 starts after its end"
            ));
        };
        output.tell(&format!(
            "{name}: the platform answers, with {} records on the first page",
            page.records.len()
        ));
    }
    None
}
