//! What a policy pays for a day: arithmetic, in whole numbers.
//!
//! Each tier pays its percentage of the cover once for a day, however many events there were: by the first of them. The limit
//! is used up in the order in which things happened. So what a day pays follows from the events up to its end and from nothing
//! else, in whatever order they were reported, and in whatever order days are calculated.

use std::collections::BTreeSet;

use crate::claim::input::{Day, Event, Policy, Tier};
use crate::decimal::Decimal;

/// A claim that an event raises.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// The day that it is for.
    pub day: Day,
    /// The tier that it pays for.
    pub tier: Tier,
    /// The event that raised it.
    pub event: String,
    /// How much it pays.
    pub amount: Decimal,
}

/// What a policy pays, from its first day to the end of this one, by events in any order.
pub fn due(policy: &Policy, events: &[Event], to: &Day) -> Vec<Claim> {
    let mut events: Vec<_> =
        events.iter().filter(|event| policy.covers(event) && event.at.day() <= *to).collect();
    events.sort_by(|one, other| (&one.at, &one.id).cmp(&(&other.at, &other.id)));
    let mut paid = BTreeSet::new();
    events.retain(|event| paid.insert((event.at.day(), event.tier)));
    let claim = |event: &Event| Claim {
        day: event.at.day(),
        tier: event.tier,
        event: event.id.clone(),
        amount: percentage(policy.cover, event.tier),
    };
    within(policy.limit, events.into_iter().map(claim).collect())
}

/// Cuts claims to what is left of a limit, the first ones first.
pub fn within(mut left: Decimal, mut claims: Vec<Claim>) -> Vec<Claim> {
    for claim in &mut claims {
        claim.amount = claim.amount.min(left).max(Decimal::ZERO);
        left = left.minus(claim.amount);
    }
    claims.retain(|claim| claim.amount > Decimal::ZERO);
    claims
}

/// Hundred-millionths that do not come out even are the insurer's.
fn percentage(cover: Decimal, tier: Tier) -> Decimal {
    let units = i128::from(cover.units()) * i128::from(tier.percent()) / 100;
    Decimal::from_units(i64::try_from(units).expect("a part is no larger than the whole"))
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::*;

    /// `1@2025-01-15T10` is an event of the first tier.
    fn event(text: &str) -> Event {
        let (tier, hour) = text.split_once('@').expect("tier@hour");
        Event {
            id: text.into(),
            region: "coast".into(),
            tier: tier.parse().expect("a tier"),
            at: format!("2025-01-{hour}:00:00Z").parse().expect("a time"),
        }
    }

    fn policy(limit: &str) -> Policy {
        Policy {
            id: "P-1".into(),
            region: "coast".into(),
            cover: "1000".parse().expect("a number"),
            limit: limit.parse().expect("a number"),
            from: "2025-01-10".parse().expect("a day"),
            to: "2025-01-20".parse().expect("a day"),
        }
    }

    fn amounts(claims: &[Claim]) -> Vec<String> {
        claims.iter().map(|claim| format!("{} for {}", claim.amount, claim.event)).collect()
    }

    #[rstest]
    #[case::a_tier_pays_its_percentage(&["1@15T10", "2@15T11", "3@15T12"],
        &["100 for 1@15T10", "250 for 2@15T11", "500 for 3@15T12"])]
    #[case::once_for_a_day_by_the_first(&["2@15T11", "2@15T10"], &["250 for 2@15T10"])]
    #[case::and_again_the_next_day(&["2@15T10", "2@16T10"], &["250 for 2@15T10", "250 for 2@16T10"])]
    #[case::what_is_left_of_the_limit(&["3@15T10", "3@16T10", "3@17T10"],
        &["500 for 3@15T10", "500 for 3@16T10", "100 for 3@17T10"])]
    #[case::and_no_more(&["3@15T10", "3@16T10", "3@17T10", "1@18T10"],
        &["500 for 3@15T10", "500 for 3@16T10", "100 for 3@17T10"])]
    #[case::a_day_that_comes_later(&["1@15T10", "1@19T00"], &["100 for 1@15T10"])]
    #[case::a_day_out_of_the_period(&["1@09T23", "1@10T00"], &["100 for 1@10T00"])]
    #[case::nothing(&[], &[])]
    fn a_policy_pays(#[case] events: &[&str], #[case] claims: &[&str]) {
        let mut events: Vec<_> = events.iter().map(|text| event(text)).collect();
        let to = "2025-01-18".parse().expect("a day");
        for _ in 0..=events.len() {
            assert_eq!(amounts(&due(&policy("1100"), &events, &to)), claims);
            let turn = events.len().min(1);
            events.rotate_left(turn);
        }
    }

    #[test]
    fn another_region_is_not_its_business() {
        let elsewhere = Event { region: "hills".into(), ..event("3@15T10") };
        assert_eq!(due(&policy("1100"), &[elsewhere], &"2025-01-18".parse().expect("a day")), []);
    }

    #[test]
    fn parts_that_do_not_come_out_even_are_cut_off() {
        let mut policy = policy("1");
        policy.cover = Decimal::from_units(39);
        let claims = due(&policy, &[event("1@15T10")], &"2025-01-18".parse().expect("a day"));
        assert_eq!(claims[0].amount, Decimal::from_units(3));
    }

    #[rstest]
    #[case("0", &[])]
    #[case("-5", &[])]
    #[case("120", &["100 for 1@15T10", "20 for 2@15T11"])]
    fn what_is_left_of_a_limit_goes_to_the_first(#[case] left: &str, #[case] claims: &[&str]) {
        let all = due(
            &policy("1100"),
            &[event("1@15T10"), event("2@15T11")],
            &"2025-01-18".parse().expect("a day"),
        );
        assert_eq!(amounts(&within(left.parse().expect("a number"), all)), claims);
    }
}
