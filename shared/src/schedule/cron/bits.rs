//! Sets of small numbers, each a bit.

/// The smallest member that is not below `from`.
pub(super) fn next(set: u64, from: u32) -> Option<u32> {
    let rest = set.checked_shr(from)?;
    (rest != 0).then(|| from + rest.trailing_zeros())
}

/// The largest member that is not above `to`; `to` is at most 63.
pub(super) fn previous(set: u64, to: u32) -> Option<u32> {
    let rest = set & (u64::MAX >> (63 - to.min(63)));
    rest.checked_ilog2()
}

/// How many members are below `limit`.
pub(super) fn count_below(set: u64, limit: u32) -> i64 {
    let below = 1_u64.checked_shl(limit).map_or(u64::MAX, |bit| bit - 1);
    i64::from((set & below).count_ones())
}

/// True if `member` is in the set.
pub(super) fn has(set: u64, member: u32) -> bool {
    set.checked_shr(member).is_some_and(|rest| rest & 1 == 1)
}

/// The set of these numbers; those above 63 are left out.
pub(super) fn of(members: impl IntoIterator<Item = u16>) -> u64 {
    members
        .into_iter()
        .filter_map(|member| 1_u64.checked_shl(u32::from(member)))
        .fold(0, |set, bit| set | bit)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_and_counts() {
        let set = of([0, 5, 63]);
        assert_eq!(
            (next(set, 0), next(set, 1), next(set, 6)),
            (Some(0), Some(5), Some(63))
        );
        assert_eq!((next(of([5]), 6), next(set, 64)), (None, None));
        assert_eq!(
            (previous(set, 63), previous(set, 62), previous(set, 4)),
            (Some(63), Some(5), Some(0))
        );
        assert_eq!(previous(of([5]), 4), None);
        assert_eq!(
            (
                count_below(set, 0),
                count_below(set, 5),
                count_below(set, 64)
            ),
            (0, 1, 3)
        );
        assert!(has(set, 63) && !has(set, 1) && !has(set, 64));
    }
}
