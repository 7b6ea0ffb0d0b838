//! What must hold in every state, and what must happen in some, so that the model is known to come to where it hurts.

use stateright::Property;
use syncline_shared::run::Place;

use crate::model::Leases;
use crate::world::{Doing, Order, Run, World};

pub(crate) const LEASES: &str = "no run has two live leases";
pub(crate) const REFUSED: &str = "nothing is accepted from an attempt that has ended";
pub(crate) const PAGES_ONCE: &str =
    "the pages written are those that the checkpoint tells, once each";
pub(crate) const GATE: &str = "at most one run of a connection is queued or running";
pub(crate) const MOVES: &str = "every move is one that a run can make, and none follows its end";

pub(crate) fn all() -> Vec<Property<Leases>> {
    vec![
        Property::always(LEASES, |_, world| leases_are_single(world)),
        Property::always(REFUSED, |_, world: &World| {
            world.runs.iter().all(|run| !run.is_late_write_accepted)
        }),
        Property::always(PAGES_ONCE, |_, world: &World| {
            world.runs.iter().all(pages_match_the_checkpoint)
        }),
        Property::always(GATE, |_, world| gates_are_single(world)),
        Property::always(MOVES, |_, world: &World| {
            world.runs.iter().all(|run| !run.has_moved_wrongly)
        }),
        Property::always(
            "each attempt that has ended has one row",
            |_, world: &World| world.runs.iter().all(attempts_are_complete),
        ),
        Property::sometimes("all runs succeed", |_, world: &World| {
            world.runs.iter().all(Run::has_ended)
        }),
        Property::sometimes("a late writer tries", |_, world: &World| {
            let mut writes = world.under_way.iter();
            writes.any(|sent| {
                matches!(sent.order, Order::Write { .. }) && sent.token < world.runs[sent.run].token
            })
        }),
        Property::sometimes(
            "an answer is lost to a write that took place",
            |_, world| doubted(world, 1),
        ),
        Property::sometimes("an answer is lost to a write that did not", |_, world| {
            doubted(world, 0)
        }),
        Property::sometimes("a run gives way", |_, world: &World| {
            let mut runs = world.runs.iter();
            runs.any(|run| !run.closed.is_empty() && run.place == Place::Blocked)
                || world.runs[0].connection != world.runs[1].connection
        }),
    ]
}

/// A lease is live if its worker believes in it and the row agrees.
fn leases_are_single(world: &World) -> bool {
    world.runs.iter().enumerate().all(|(index, run)| {
        let live = world.workers.iter().filter(|worker| {
            worker.held.is_some_and(|held| {
                held.run == index && held.token == run.token && run.place == Place::Running
            })
        });
        live.count() <= 1 && run.owner.is_some() == run.place.is_leased()
    })
}

fn pages_match_the_checkpoint(run: &Run) -> bool {
    let mut pages = (0_i64..).zip(run.written);
    pages.all(|(page, times)| times == u8::from(page < run.sequence))
}

fn gates_are_single(world: &World) -> bool {
    let holders = world.runs.iter().filter(|run| run.place.holds_gate());
    let mut connections: Vec<_> = holders.map(|run| run.connection).collect();
    let all = connections.len();
    connections.sort_unstable();
    connections.dedup();
    connections.len() == all
}

fn attempts_are_complete(run: &Run) -> bool {
    let mut tokens: Vec<_> = run.closed.iter().map(|(token, _)| *token).collect();
    let all = tokens.len();
    tokens.dedup();
    tokens.len() == all && run.open == i8::from(run.place.is_leased())
}

/// True if a worker doubts a write although the row tells that it is `ahead` by so many checkpoints.
fn doubted(world: &World, ahead: i64) -> bool {
    world.workers.iter().any(|worker| {
        worker.held.is_some_and(|held| {
            let row = &world.runs[held.run];
            held.doing == Doing::Doubting { refused: false }
                && row.token == held.token
                && row.sequence == held.sequence + ahead
        })
    })
}
