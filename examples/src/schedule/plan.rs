//! Who gets which shift: the calculation, and nothing else.

use crate::schedule::shifts::{Person, Shift};

/// A block about to be filled, shift by shift.
///
/// Each shift goes to whoever has worked the least for the hours of his contract and is free: so it is fair, and nobody is
/// booked twice at one time. The same people and shifts make the same plan.
#[derive(Clone, Debug)]
pub struct Plan(Vec<Seat>);

#[derive(Clone, Debug)]
struct Seat {
    person: Person,
    worked: i64,
    free_from: i64,
}

impl Plan {
    /// Begins with what everybody has done `before`, in earlier blocks.
    pub fn new(people: &[Person], before: &[(String, Shift)]) -> Self {
        let seat = |person: &Person| {
            let own = before.iter().filter(|(name, _)| *name == person.name).map(|(_, shift)| shift);
            let worked = own.clone().map(Shift::length).sum();
            let free_from = own.map(|shift| shift.ends).max().unwrap_or(i64::MIN);
            Seat { person: person.clone(), worked, free_from }
        };
        Self(people.iter().map(seat).collect())
    }

    /// Gives the next shift away; none may start before one that was given before. `None` if nobody is free.
    pub fn give(&mut self, shift: &Shift) -> Option<&str> {
        let free = self.0.iter_mut().filter(|seat| seat.free_from <= shift.starts);
        // How much of his contract a shift would make it for somebody: compared without dividing.
        let next = free.min_by(|one, other| {
            let load = |seat: &Seat, hours: u32| i128::from(seat.worked + shift.length()) * i128::from(hours);
            let [of_one, of_other] = [load(one, other.person.hours), load(other, one.person.hours)];
            of_one.cmp(&of_other).then(one.free_from.cmp(&other.free_from))
        })?;
        next.worked += shift.length();
        next.free_from = shift.ends;
        Some(&next.person.name)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::schedule::shifts::HOUR;

    fn people(hours: &[(&str, u32)]) -> Vec<Person> {
        hours.iter().map(|(name, hours)| Person { name: (*name).to_owned(), hours: *hours }).collect()
    }

    fn shift(starts: i64, ends: i64) -> Shift {
        let id = format!("{starts}-{ends}");
        Shift { id, block: "1".to_owned(), starts: starts * HOUR, ends: ends * HOUR }
    }

    fn given(plan: &mut Plan, shifts: impl IntoIterator<Item = (i64, i64)>) -> Vec<String> {
        let shifts = shifts.into_iter().map(|(starts, ends)| shift(starts, ends));
        shifts.map(|shift| plan.give(&shift).unwrap_or("nobody").to_owned()).collect()
    }

    #[test]
    fn nobody_is_booked_twice_at_one_time() {
        let mut plan = Plan::new(&people(&[("ann", 40), ("bob", 40)]), &[]);
        assert_eq!(given(&mut plan, [(0, 8), (0, 8), (4, 12), (8, 16)]), ["ann", "bob", "nobody", "ann"]);
    }

    #[test]
    fn a_shift_that_begins_as_another_ends_is_not_at_one_time_with_it() {
        let mut plan = Plan::new(&people(&[("ann", 40)]), &[]);
        assert_eq!(given(&mut plan, [(0, 8), (8, 16), (15, 20)]), ["ann", "ann", "nobody"]);
    }

    #[test]
    fn who_has_worked_the_least_for_his_contract_is_next() {
        let mut plan = Plan::new(&people(&[("ann", 40), ("bob", 20)]), &[]);
        let turns = given(&mut plan, (0..6).map(|n| (n * 8, n * 8 + 8)));
        assert_eq!(turns, ["ann", "bob", "ann", "ann", "bob", "ann"]);
    }

    #[test]
    fn what_was_done_in_earlier_blocks_counts() {
        let before = [("ann".to_owned(), shift(0, 8)), ("ann".to_owned(), shift(10, 18))];
        let mut plan = Plan::new(&people(&[("ann", 40), ("bob", 40)]), &before);
        assert_eq!(given(&mut plan, [(18, 26), (26, 34), (34, 42)]), ["bob", "bob", "ann"]);
    }

    #[test]
    fn in_the_shipped_shifts_everybody_has_a_fair_share() {
        let (people, shifts) = crate::schedule::shifts::shipped();
        let mut plan = Plan::new(&people, &[]);
        for shift in &shifts {
            assert!(plan.give(shift).is_some(), "somebody is free for {}", shift.id);
        }
        let contracts: i64 = people.iter().map(|person| i64::from(person.hours)).sum();
        let all: i64 = shifts.iter().map(Shift::length).sum();
        let longest = shifts.iter().map(Shift::length).max().expect("there are shifts");
        for seat in plan.0 {
            let share = all * i64::from(seat.person.hours) / contracts;
            assert!(
                (seat.worked - share).abs() <= longest,
                "{}: {} of {share}",
                seat.person.name,
                seat.worked
            );
        }
    }
}
