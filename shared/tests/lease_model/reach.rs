//! Looks for a dead end: a state that can be reached, and from which not all runs can come to their end any more.

use std::collections::HashMap;

use stateright::Model;

use crate::model::Leases;
use crate::world::{Run, World};

/// A dead end, if there is one. Searches forwards for all states, then backwards from those in which all runs have ended.
pub(crate) fn dead_end(model: &Leases) -> Option<World> {
    let mut worlds = model.init_states();
    let mut numbers: HashMap<World, usize> = worlds.iter().cloned().zip(0..).collect();
    let mut before: Vec<Vec<usize>> = vec![Vec::new(); worlds.len()];
    let mut next = 0;
    while next < worlds.len() {
        for world in model.next_states(&worlds[next]) {
            let number = *numbers.entry(world).or_insert_with_key(|world| {
                worlds.push(world.clone());
                before.push(Vec::new());
                worlds.len() - 1
            });
            before[number].push(next);
        }
        next += 1;
    }
    let mut can_end: Vec<bool> = worlds
        .iter()
        .map(|world| world.runs.iter().all(Run::has_ended))
        .collect();
    let mut reached: Vec<usize> = (0..worlds.len())
        .filter(|number| can_end[*number])
        .collect();
    while let Some(number) = reached.pop() {
        for earlier in &before[number] {
            if !can_end[*earlier] {
                can_end[*earlier] = true;
                reached.push(*earlier);
            }
        }
    }
    let dead = can_end.iter().position(|can| !can)?;
    Some(worlds.swap_remove(dead))
}
