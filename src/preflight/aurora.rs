//! What a person should know of Aurora before a run: until when its version is supported, and in which order its instances restart.
//! Pure.

use jiff::civil::{Date, date};

use crate::changes::ChangeSet;
use crate::plan::Plan;
use crate::resources::rds_global_cluster::major;

/// When the standard support of Aurora for a major version of PostgreSQL ends, by AWS's release calendar (`rds.support.dates`).
const STANDARD_SUPPORT: [(&str, Date); 7] = [
    ("11", date(2024, 2, 29)),
    ("12", date(2025, 2, 28)),
    ("13", date(2026, 2, 28)),
    ("14", date(2027, 2, 28)),
    ("15", date(2028, 2, 29)),
    ("16", date(2029, 2, 28)),
    ("17", date(2030, 2, 28)),
];

/// When the standard support of the plan's version ends, and what that means; nothing without Aurora, or where no date is known.
pub fn support(plan: &Plan, today: Date) -> Option<String> {
    let aurora = &plan.database.aurora;
    let version = major(aurora.engine_version.as_str());
    let (_, end) = STANDARD_SUPPORT.iter().find(|(known, _)| *known == version).filter(|_| aurora.enabled)?;
    Some(match (*end < today, aurora.extended_support) {
        (false, true) => format!(
            "note: the standard support of Aurora for PostgreSQL {version} ends on {end}; from then on it costs more (Extended Support)"
        ),
        (false, false) => format!(
            "note: the standard support of Aurora for PostgreSQL {version} ends on {end}; then AWS upgrades the clusters by itself, \
             because the plan has extended_support = false"
        ),
        (true, true) => format!(
            "note: the standard support of Aurora for PostgreSQL {version} ended on {end}; it costs more (Extended Support)"
        ),
        (true, false) => format!(
            "note: the standard support of Aurora for PostgreSQL {version} ended on {end}; AWS refuses to make such a cluster, because \
             the plan has extended_support = false"
        ),
    })
}

/// In which order instances restart, when changes make them.
pub fn restarts(set: &ChangeSet) -> Option<String> {
    let mut turns: Vec<_> = set.changes.values().filter_map(|change| Some((change.turn?, &change.address))).collect();
    turns.sort_unstable();
    let order: Vec<String> = turns.iter().map(|(_, address)| address.to_string()).collect();
    (!order.is_empty()).then(|| {
        format!(
            "note: instances restart one at a time, as their roles are now: {}; one that writes first hands over to another of its cluster",
            order.join(", ")
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `rds.support.dates`
    #[test]
    fn a_plan_is_told_until_when_its_version_is_supported() {
        let mut plan = Plan::default();
        let told = |plan: &Plan, today: Date| support(plan, today).unwrap_or_default();
        let before = told(&plan, date(2027, 2, 28));
        assert!(before.contains("PostgreSQL 14 ends on 2027-02-28") && before.contains("costs more"), "{before}");
        assert!(told(&plan, date(2027, 3, 1)).contains("ended on 2027-02-28"));
        plan.database.aurora.extended_support = false;
        assert!(told(&plan, date(2027, 1, 1)).contains("AWS upgrades the clusters"));
        assert!(told(&plan, date(2027, 3, 1)).contains("AWS refuses to make"));
        plan.database.aurora.engine_version = "16.6".parse().unwrap();
        assert!(told(&plan, date(2027, 3, 1)).contains("PostgreSQL 16 ends on 2029-02-28"));
        plan.database.aurora.engine_version = "99".parse().unwrap();
        assert_eq!(support(&plan, date(2027, 1, 1)), None, "no date is known");
        plan = Plan::default();
        plan.database.aurora.enabled = false;
        assert_eq!(support(&plan, date(2027, 1, 1)), None);
    }

    /// Each year one version leaves on the last day of February, as PostgreSQL's own five years end in the November before.
    #[test]
    fn the_dates_are_a_year_apart() {
        for pair in STANDARD_SUPPORT.windows(2) {
            let [(one, from), (other, to)] = pair else { unreachable!("windows of two") };
            let numbers = (one.parse::<i16>().unwrap(), other.parse::<i16>().unwrap());
            assert_eq!((numbers.1 - numbers.0, to.year() - from.year()), (1, 1), "{one}, {other}");
            assert_eq!(*to, to.last_of_month(), "{other}");
        }
    }
}
