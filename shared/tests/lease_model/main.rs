//! The leases, checked exhaustively: two workers and two runs in every order of events that a handful of mishaps allows.
//!
//! The model knows the database's rows, what each worker believes, and the statements that are under way between them. A statement may
//! be carried out late, its answer may be lost, a worker may be frozen or killed, a process may fall silent and be rescued: at any
//! moment. Every move of a run is [`Place::after`](syncline_shared::run::Place::after); what follows a failure is
//! [`after_failure`](syncline_shared::run::after_failure); what follows a lost answer is
//! [`read_back`](syncline_shared::run::read_back).
//!
//! That the model can fail is shown by taking away one rule at a time: each time it finds the harm that the rule prevents.
//!
//! `stateright` searches for states that break a rule and shows the way there. Its `eventually` gives up on cycles, and a queue is full of
//! them, so that every run can still end is searched for here (`reach.rs`).

#![expect(clippy::unwrap_used, reason = "a test may fail by panicking")]
#![expect(clippy::print_stdout, reason = "the size of the model")]

mod action;
mod model;
mod properties;
mod reach;
mod steps;
mod world;

use stateright::{Checker, Model};

use model::{Leases, Rules};
use properties::{GATE, LEASES, MOVES, PAGES_ONCE, REFUSED};

/// Checks all of it; panics with the way to the first state that breaks a property.
fn check(model: Leases) {
    let checker = model.checker().threads(2).spawn_bfs().join();
    println!("{} states", checker.unique_state_count());
    checker.assert_properties();
    assert!(
        checker.unique_state_count() > 10_000,
        "only {} states: the model does hardly anything",
        checker.unique_state_count()
    );
}

/// The names of the properties that a weakened model breaks.
fn broken_by(rules: Rules) -> Vec<&'static str> {
    let model = Leases {
        rules,
        ..Leases::on_two_connections(1)
    };
    let checker = model.checker().spawn_bfs().join();
    let mut broken: Vec<_> = [LEASES, REFUSED, PAGES_ONCE, GATE, MOVES]
        .into_iter()
        .filter(|property| checker.discovery(property).is_some())
        .collect();
    broken.sort_unstable();
    broken
}

#[test]
fn two_runs_of_one_connection_are_safe_in_every_order_of_events() {
    check(Leases::on_one_connection(2));
}

#[test]
fn two_runs_of_two_connections_are_safe_in_every_order_of_events() {
    check(Leases::on_two_connections(2));
}

#[test]
#[ignore = "takes minutes"]
fn proof_that_runs_are_safe_with_one_more_mishap() {
    check(Leases::on_one_connection(3));
    check(Leases::on_two_connections(3));
}

#[test]
fn a_run_can_end_from_every_state_that_can_be_reached() {
    for model in [Leases::on_one_connection(2), Leases::on_two_connections(2)] {
        assert_eq!(reach::dead_end(&model), None);
    }
}

#[test]
fn without_the_fence_a_late_writer_does_harm() {
    let broken = broken_by(Rules {
        token: false,
        ..Rules::ALL
    });
    assert!(broken.contains(&REFUSED), "{broken:?}");
}

#[test]
fn without_the_checkpoints_number_a_page_is_written_twice() {
    let broken = broken_by(Rules {
        sequence: false,
        ..Rules::ALL
    });
    assert_eq!(broken, [PAGES_ONCE]);
}

#[test]
fn without_the_look_at_its_process_a_claim_strands_its_run() {
    let model = Leases {
        rules: Rules {
            process: false,
            ..Rules::ALL
        },
        ..Leases::on_two_connections(1)
    };
    assert!(reach::dead_end(&model).is_some());
}

#[test]
fn without_reading_back_a_lost_answer_strands_the_run() {
    let model = Leases {
        rules: Rules {
            read_back: false,
            ..Rules::ALL
        },
        ..Leases::on_two_connections(1)
    };
    assert!(reach::dead_end(&model).is_some());
}
