//! Schedules of a document that follow others: in the document or in the database, in no circle, and written after those they follow.

use std::collections::HashMap;

use syncline_shared::db::schedule;
use syncline_shared::db::{DbConnection, DbResult};

use crate::resources::Notes;
use crate::resources::lookup::{refuse_circle, refuse_unknown};
use crate::resources::schedule::ScheduleInput;

/// Brings schedules, each with its place in the document, into an order in which those that are followed come first. Notes each that
/// follows what is not there, or itself over some steps.
pub(super) async fn in_order(
    db: &mut DbConnection,
    schedules: Vec<(String, ScheduleInput)>,
    notes: &mut Notes,
) -> DbResult<Vec<ScheduleInput>> {
    if schedules.iter().any(|(_, input)| followed(input).is_some()) {
        schedule::lock_following(db).await?;
    }
    let own: HashMap<String, usize> = schedules
        .iter()
        .enumerate()
        .map(|(index, (_, input))| (input.key.clone(), index))
        .collect();
    let mut depths = Vec::with_capacity(schedules.len());
    for (at, input) in &schedules {
        depths.push(depth(db, &schedules, &own, at, input, notes).await?);
    }
    let mut ordered: Vec<(usize, ScheduleInput)> = depths
        .into_iter()
        .zip(schedules.into_iter().map(|(_, input)| input))
        .collect();
    // Stable: what follows nothing stays in the order of the document.
    ordered.sort_by_key(|(depth, _)| *depth);
    Ok(ordered.into_iter().map(|(_, input)| input).collect())
}

fn followed(input: &ScheduleInput) -> Option<&str> {
    let after = input.when.after.as_ref()?;
    Some(after.schedule.as_str()).filter(|name| !name.is_empty())
}

/// How many schedules there are before this one, along what they follow. What the document says holds before what is stored.
async fn depth(
    db: &mut DbConnection,
    schedules: &[(String, ScheduleInput)],
    own: &HashMap<String, usize>,
    at: &str,
    input: &ScheduleInput,
    notes: &mut Notes,
) -> DbResult<usize> {
    let at = format!("{at}/after/schedule");
    let mut path = vec![input.key.clone()];
    let mut next = followed(input).map(str::to_owned);
    while let Some(name) = next {
        let in_document = own.get(&name).and_then(|index| schedules.get(*index));
        let (key, follows) = match in_document {
            Some((_, found)) => (found.key.clone(), followed(found).map(str::to_owned)),
            None => match schedule::find(db, &name).await? {
                // Named by its id, it may be in the document all the same.
                Some(found) => match own.get(&found.key).and_then(|index| schedules.get(*index)) {
                    Some((_, input)) => (found.key, followed(input).map(str::to_owned)),
                    None => (found.key, found.after_key),
                },
                // Told where it is named; a longer chain has a note at that schedule already.
                None if path.len() == 1 => {
                    refuse_unknown("schedule", &name, at, notes);
                    break;
                }
                None => break,
            },
        };
        let is_circle = path.contains(&key);
        path.push(key.clone());
        if is_circle {
            // Whoever is in the circle tells of it; others merely lead there.
            if key == input.key {
                refuse_circle(path.iter().map(String::as_str), at, notes);
            }
            break;
        }
        next = follows;
    }
    Ok(path.len())
}
