//! Looks for damage in what was stored, and believes nobody.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;

use anyhow::Result;

use crate::claim::calculation::due;
use crate::claim::input::{Input, Tier};
use crate::claim::ledger::Ledger;
use crate::data::{Row, Tx};
use crate::decimal::Decimal;

/// What was found in the ledger.
#[derive(Clone, Debug, Default)]
pub struct Findings {
    /// How many claims there are.
    pub claims: usize,
    /// How many there should be.
    pub expected: usize,
    /// Every offence, in the order of their kinds.
    pub offences: Vec<Offence>,
}

/// A tier of a day of a policy: what is paid once.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Cause {
    /// The policy.
    pub policy: String,
    /// The day, as it is stored.
    pub day: String,
    /// The tier.
    pub tier: Tier,
}

/// Something that must not be in the ledger.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Offence {
    /// A day that nobody calculated.
    Uncalculated {
        /// The policy.
        policy: String,
        /// The day.
        day: String,
    },
    /// A tier that was paid more than once.
    Duplicate {
        /// What for.
        cause: Cause,
        /// How often.
        times: i64,
    },
    /// A tier that was paid another amount than the events make it.
    Wrong {
        /// What for.
        cause: Cause,
        /// How much was paid.
        paid: Decimal,
        /// How much should have been.
        expected: Decimal,
    },
    /// A policy that paid more than its limit.
    OverLimit {
        /// Which one.
        policy: String,
        /// How much it paid.
        paid: Decimal,
        /// How much it may.
        limit: Decimal,
    },
}

impl Findings {
    /// How many claims are there that should not be, because somebody else had raised them.
    pub fn duplicates(&self) -> usize {
        let more = |offence: &Offence| match offence {
            Offence::Duplicate { times, .. } => usize::try_from(times - 1).unwrap_or_default(),
            _ => 0,
        };
        self.offences.iter().map(more).sum()
    }

    /// How many policies paid too much.
    pub fn over_limit(&self) -> usize {
        self.offences.iter().filter(|offence| matches!(offence, Offence::OverLimit { .. })).count()
    }
}

/// Looks through the ledger. The input is that of the run, in any order.
///
/// # Errors
///
/// The database's.
pub async fn check(ledger: &Ledger, input: &Input) -> Result<Findings> {
    let expected = expected(input);
    let mut tx = ledger.snapshot().await?;
    let mut offences = uncalculated(&mut tx, input).await?;
    offences.extend(duplicates(&mut tx).await?);
    let stored = stored(&mut tx).await?;
    offences.extend(wrong(&expected, &stored));
    offences.extend(over_limit(&mut tx).await?);
    let claims = tx.rows("SELECT count(*) FROM policy_claims", []).await?;
    tx.commit().await?;
    let claims = claims.first().map(|row| row.number(0)).transpose()?.unwrap_or_default();
    Ok(Findings { claims: usize::try_from(claims)?, expected: expected.len(), offences })
}

/// What one calculation gives, for all days of all policies.
fn expected(input: &Input) -> BTreeMap<Cause, Decimal> {
    let claims = input.policies.iter().flat_map(|policy| {
        let cause = |day: String, tier| Cause { policy: policy.id.clone(), day, tier };
        let claims = due(policy, &input.events, &policy.to).into_iter();
        claims.map(move |claim| (cause(claim.day.to_string(), claim.tier), claim.amount)).collect::<Vec<_>>()
    });
    claims.collect()
}

async fn uncalculated(tx: &mut Tx, input: &Input) -> Result<Vec<Offence>> {
    let all = "SELECT DISTINCT policy_id, day FROM calculations";
    let pair = |row: &Row| Ok((row.text(0)?, row.text(1)?));
    let done = tx.rows(all, []).await?.iter().map(pair).collect::<Result<HashSet<_>>>()?;
    let missing = input.cases().into_iter().map(|case| (case.policy, case.day.to_string()));
    let missing = missing.filter(|case| !done.contains(case));
    Ok(missing.map(|(policy, day)| Offence::Uncalculated { policy, day }).collect())
}

async fn duplicates(tx: &mut Tx) -> Result<Vec<Offence>> {
    let all = "
        SELECT policy_id, day, tier, count(*) FROM policy_claims
        GROUP BY policy_id, day, tier HAVING count(*) > 1 ORDER BY policy_id, day, tier";
    let offence = |row: &Row| Ok(Offence::Duplicate { cause: cause(row)?, times: row.number(3)? });
    tx.rows(all, []).await?.iter().map(offence).collect()
}

/// Each claim once: that there are more of it is said by [`duplicates`].
async fn stored(tx: &mut Tx) -> Result<BTreeMap<Cause, Decimal>> {
    let all = "SELECT policy_id, day, tier, amount FROM policy_claims ORDER BY id DESC";
    let claim = |row: &Row| Ok((cause(row)?, Decimal::from_units(row.number(3)?)));
    tx.rows(all, []).await?.iter().map(claim).collect()
}

fn wrong(expected: &BTreeMap<Cause, Decimal>, stored: &BTreeMap<Cause, Decimal>) -> Vec<Offence> {
    let causes: BTreeSet<_> = expected.keys().chain(stored.keys()).collect();
    let amount = |of: &BTreeMap<Cause, Decimal>, cause: &Cause| of.get(cause).copied().unwrap_or_default();
    let offence = |cause: &Cause| {
        let (paid, expected) = (amount(stored, cause), amount(expected, cause));
        (paid != expected).then(|| Offence::Wrong { cause: cause.clone(), paid, expected })
    };
    causes.into_iter().filter_map(offence).collect()
}

async fn over_limit(tx: &mut Tx) -> Result<Vec<Offence>> {
    let all = "
        SELECT policies.id, CAST(sum(amount) AS bigint), most
        FROM policies JOIN policy_claims ON policy_id = policies.id
        GROUP BY policies.id, most HAVING sum(amount) > most ORDER BY policies.id";
    let offence = |row: &Row| {
        let [paid, limit] = [row.number(1)?, row.number(2)?].map(Decimal::from_units);
        Ok(Offence::OverLimit { policy: row.text(0)?, paid, limit })
    };
    tx.rows(all, []).await?.iter().map(offence).collect()
}

fn cause(row: &Row) -> Result<Cause> {
    let tier = row.number(2)?.try_into().map_err(anyhow::Error::msg)?;
    Ok(Cause { policy: row.text(0)?, day: row.text(1)?, tier })
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "tier {} of {} on {}", self.tier, self.policy, self.day)
    }
}

impl fmt::Display for Offence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Uncalculated { policy, day } => write!(f, "{policy} was not calculated for {day}"),
            Self::Duplicate { cause, times } => write!(f, "{cause} was paid {times} times"),
            Self::Wrong { cause, paid, expected } => {
                write!(f, "{cause} was paid {paid}; its events make it {expected}")
            }
            Self::OverLimit { policy, paid, limit } => {
                write!(f, "{policy} was paid {paid}, over its limit of {limit}")
            }
        }
    }
}
