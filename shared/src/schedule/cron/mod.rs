//! Cron expressions in a time zone.
//!
//! # What they match
//!
//! Five fields, minute hour day month weekday, or six with seconds first: numbers, names, lists, ranges, steps, `L`, `W`,
//! `#`, as croner reads them; `@hourly`, `@daily`, `@midnight`, `@weekly`, `@monthly`, `@yearly`, `@annually`. If neither day nor
//! weekday is `*`, either is enough; with `+` before the weekday both must match. The calendar is 1970 to 9999.
//!
//! # Changes of the clock
//!
//! Fields are matched against the zone's wall clock. Where that clock jumps:
//!
//! 1. **A skipped time runs at the first valid instant after the gap.** Whatever number of skipped times there are, and also
//!    if a regular time falls on that instant, it is one moment. Nothing is lost in spring, and nothing comes in a burst.
//! 2. **A repeated time runs once**, at its first pass.
//! 3. **A cron that runs on through the change keeps its rhythm instead**: in autumn it runs in both passes, in spring
//!    nothing is made up. It runs on if its hour field names all hours from the one just before the skipped or repeated
//!    times to the one in which they end; every cron with `*` as its hours does.
//!
//! In Berlin, where 02:00 to 03:00 is skipped in spring and repeated in autumn, `30 2 * * *` runs once on every day of the
//! year, in spring at 03:00. `*/15 * * * *` and `*/15 0-6 * * *` run every 15 minutes of real time, all year, and `5 * * * *` every
//! 60: had they only the first two rules, they would be silent for an hour in autumn. `0 */2 * * *` does not name the hours
//! beside 02:00, so it is a list of times of day, and runs at 02:00 once.
//!
//! The third rule is Vixie cron's for jobs with wildcards, but it looks at what the field means and not at how it is
//! written: `*`, `0-23` and `*/1` are the same schedule. Rejected: to repeat everything (a nightly job would run twice), and
//! to repeat nothing (the silent hour). croner's own handling of zones is not used, since this rule is ours to keep,
//! whatever a version of the library does.
//!
//! # Cost
//!
//! Between two changes of the clock local time is plain arithmetic (`fields.rs`), so a span is cut at its changes
//! (`clock_changes.rs`) and each piece is counted month by month. A year of ten-second moments takes microseconds.

mod bits;
mod clock_changes;
mod fields;
mod parse;

use chrono_tz::Tz;
use croner::CronPattern;

use clock_changes::{Change, Instant, REACH, last_change, next_change, offset_at};
use fields::{Fields, LAST_LOCAL, Local};

use super::TriggerError;

/// Before it no zone has a local time that is considered, and after [`LAST`] none has one any more.
const FIRST: Instant = -REACH;
const LAST: Instant = LAST_LOCAL + REACH;

/// A cron expression in a zone.
#[derive(Debug, Clone)]
pub struct CronTrigger {
    expression: String,
    pattern: CronPattern,
    fields: Fields,
    zone: Tz,
}

impl CronTrigger {
    /// Reads an expression. Refuses what cannot be read and what never matches.
    pub(super) fn parse(expression: &str, zone: Tz) -> Result<Self, TriggerError> {
        let pattern = parse::parse(expression)?;
        let fields = Fields::of(&pattern);
        if !fields.can_match() {
            return Err(parse::refused(
                expression,
                "it never matches, such as the 30th of February; allowed: a day that some month has",
            ));
        }
        Ok(Self {
            expression: expression.trim().to_owned(),
            pattern,
            fields,
            zone,
        })
    }

    /// The expression as it was written.
    pub fn expression(&self) -> &str {
        &self.expression
    }

    /// The zone it is read in.
    pub fn zone(&self) -> Tz {
        self.zone
    }

    pub(super) fn pattern(&self) -> &CronPattern {
        &self.pattern
    }

    /// The first moment that is not before `from`.
    pub(super) fn next(&self, from: Instant) -> Option<Instant> {
        let mut from = from.max(FIRST);
        if from > LAST {
            return None;
        }
        let mut change = last_change(self.zone, from - REACH, from);
        loop {
            if let Some(change) = change
                && from <= change.at
                && self.makes_up(change)
            {
                return Some(change.at);
            }
            let offset = offset_at(self.zone, from);
            let local = self.first_local(change, from + offset);
            let found = self.fields.next(local)? - offset;
            // The clock may change before it shows that time.
            let Some(next) = next_change(self.zone, from, found) else {
                return Some(found);
            };
            from = next.at;
            change = Some(next);
        }
    }

    /// The last moment that is not after `to`.
    pub(super) fn previous(&self, to: Instant) -> Option<Instant> {
        let mut to = to.min(LAST);
        while to >= FIRST {
            let offset = offset_at(self.zone, to);
            let local = self.fields.previous(to + offset);
            let found = local.map(|local| local - offset);
            let not_before = found.unwrap_or(FIRST) - REACH;
            let Some(change) = last_change(self.zone, not_before, to) else {
                return found;
            };
            // This stretch of the clock began with the change.
            if let Some(local) = local
                && local >= self.first_local(Some(change), change.new_local())
            {
                return found;
            }
            if self.makes_up(change) {
                return Some(change.at);
            }
            to = change.at - 1;
        }
        None
    }

    /// How many moments lie in `from..=to`.
    pub(super) fn count(&self, from: Instant, to: Instant) -> u64 {
        let mut from = from.max(FIRST);
        let to = to.min(LAST);
        if from > to {
            return 0;
        }
        let mut count = 0;
        let mut change = last_change(self.zone, from - REACH, from);
        loop {
            if let Some(change) = change
                && from <= change.at
                && self.makes_up(change)
            {
                count += 1;
            }
            let next = next_change(self.zone, from, to);
            let last = next.map_or(to, |next| next.at - 1);
            let offset = offset_at(self.zone, from);
            let local = self.first_local(change, from + offset);
            count += self.fields.count(local, last + offset);
            let Some(next) = next else {
                return count;
            };
            from = next.at;
            change = Some(next);
        }
    }

    /// The first local time that counts, of those from `local` on: after the times that were shown before the change.
    fn first_local(&self, change: Option<Change>, local: Local) -> Local {
        match change {
            Some(change) if !change.skips() && !self.runs_on_through(change) => {
                local.max(change.old_local())
            }
            _ => local,
        }
    }

    /// True if the instant of a change stands in for times that it skips, and is no regular moment itself.
    fn makes_up(&self, change: Change) -> bool {
        change.skips()
            && !self.fields.matches(change.new_local())
            && self
                .fields
                .count(change.old_local(), change.new_local() - 1)
                > 0
            && !self.runs_on_through(change)
    }

    fn runs_on_through(&self, change: Change) -> bool {
        let first = change.old_local().min(change.new_local());
        let end = change.old_local().max(change.new_local());
        let hour_of = |local: Local| local.div_euclid(3600);
        (hour_of(first - 1)..=hour_of(end)).all(|hour| self.fields.has_hour(hour.rem_euclid(24)))
    }
}

#[cfg(test)]
mod tests;
