//! The ledger: policies, events, claims, and which days were calculated.
//!
//! What has to hold from a look to the write that follows from it is what locks are for.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Error, Result};
use lock_core::Token;
use lock_postgres::RowWait;

use crate::claim::calculation::{Claim, due, within};
use crate::claim::input::{Case, Day, Event, Input, Policy};
use crate::data::{Data, Place, Proof, Row, Tx, Value};
use crate::decimal::Decimal;
use crate::place::drawn;

/// One process's way to the ledger.
#[derive(Clone, Debug)]
pub struct Ledger {
    data: Data,
    name: Arc<str>,
}

/// What is in the ledger about a day of a policy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The policy.
    pub policy: Policy,
    /// What happened from its first day to the end of this one.
    pub events: Vec<Event>,
    /// Which claims this day has.
    pub claims: Vec<Claim>,
    /// What all its days have been paid.
    pub paid: Decimal,
    /// Whether the day has been calculated.
    pub calculated: bool,
}

impl Seen {
    /// Whether the day has been calculated, and its events have not been corrected since.
    pub fn is_done(&self, day: &Day) -> bool {
        self.calculated && self.lacks(day, self.paid).is_empty()
    }

    /// What is to be added to the claims of a day, if all its days have been paid this much.
    pub fn lacks(&self, day: &Day, paid: Decimal) -> Vec<Claim> {
        let mut claims = due(&self.policy, &self.events, day);
        claims.retain(|claim| claim.day == *day && !self.claims.iter().any(|has| has.tier == claim.tier));
        within(self.policy.limit.minus(paid), claims)
    }
}

const POLICIES: &str = "SELECT id, region, cover, most, first_day, last_day FROM policies";

impl Ledger {
    /// What it is called where it is kept.
    pub const FILE: &str = "claims";

    /// Creates the ledger of some policies and events.
    ///
    /// # Errors
    ///
    /// There is one already, or it cannot be written to.
    pub async fn create(place: &Place, input: &Input) -> Result<Self> {
        let (data, mut tx) = Data::create(place, Self::FILE, include_str!("schema.sql")).await?;
        let name = drawn("claims-");
        let fill = async {
            tx.rows("INSERT INTO ledger VALUES ($1)", [name.as_str().into()]).await?;
            insert(&mut tx, input).await?;
            tx.commit().await
        };
        fill.await.with_context(|| format!("cannot write the ledger in {place}"))?;
        Ok(Self { data, name: name.into() })
    }

    /// Opens the ledger in a place. `ttl` is how long a row that was locked outlives a worker that was stopped.
    ///
    /// # Errors
    ///
    /// There is none, or it cannot be read.
    pub async fn open(place: &Place, ttl: Duration) -> Result<Self> {
        let data = Data::open(place, Self::FILE, ttl).await?;
        let name = async {
            let mut tx = data.snapshot().await?;
            let rows = tx.rows("SELECT name FROM ledger", []).await?;
            tx.commit().await?;
            rows.first().context("it has no name")?.text(0)
        };
        let name = name.await.with_context(|| format!("cannot open the ledger in {place}"))?;
        Ok(Self { data, name: name.into() })
    }

    /// What tells it from other ledgers.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// All policies and events.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn input(&self) -> Result<Input> {
        let mut tx = self.snapshot().await?;
        let policies = tx.rows(POLICIES, []).await?;
        let events = tx.rows("SELECT id, region, tier, at FROM events", []).await?;
        tx.commit().await?;
        let policies = policies.iter().map(policy).collect::<Result<_>>()?;
        Ok(Input { policies, events: events.iter().map(event).collect::<Result<_>>()? })
    }

    /// Begins a look or a write; `None` if the proof of the lock comes too late.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn begin(&self, proof: Proof<'_>) -> Result<Option<Tx>> {
        self.data.begin(proof).await.context("the ledger")
    }

    /// Begins to read what is there at one moment.
    pub(crate) async fn snapshot(&self) -> Result<Tx> {
        self.data.snapshot().await.context("the ledger")
    }

    /// Locks the events of a day until the transaction ends: nobody corrects them while they are calculated with.
    ///
    /// # Errors
    ///
    /// The database's; SQLite has no locks on rows.
    pub async fn lock_events(tx: &mut Tx, case: &Case) -> Result<()> {
        let of_day =
            "SELECT id FROM events WHERE day = $2 AND region = (SELECT region FROM policies WHERE id = $1)";
        let ids = tx.rows(of_day, words(case)).await?;
        let ids = ids.iter().map(|row| row.text(0)).collect::<Result<Vec<_>>>()?;
        tx.lock_rows("events", &ids, RowWait::Block).await.map(drop)
    }

    /// Looks at a day of a policy.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn look(tx: &mut Tx, case: &Case) -> Result<Seen> {
        let one = "
            SELECT
                id, region, cover, most, first_day, last_day,
                (SELECT count(*) FROM calculations WHERE policy_id = $1 AND day = $2),
                (SELECT CAST(coalesce(sum(amount), 0) AS bigint) FROM policy_claims WHERE policy_id = $1)
            FROM policies WHERE id = $1";
        let found = tx.rows(one, words(case)).await?;
        let found = found.first().with_context(|| format!("no policy {}", case.policy))?;
        let of_day = "SELECT day, tier, event_id, amount FROM policy_claims WHERE policy_id = $1 AND day = $2 ORDER BY id";
        let claims = tx.rows(of_day, words(case)).await?;
        Ok(Seen {
            policy: policy(found)?,
            events: Self::events(tx, case).await?,
            claims: claims.iter().map(claim).collect::<Result<_>>()?,
            paid: Decimal::from_units(found.number(7)?),
            calculated: found.number(6)? > 0,
        })
    }

    /// What happened where a policy covers, from its first day to the end of this one.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn events(tx: &mut Tx, case: &Case) -> Result<Vec<Event>> {
        let until = "
            SELECT events.id, events.region, tier, at
            FROM events JOIN policies ON policies.region = events.region
            WHERE policies.id = $1 AND day >= first_day AND day <= $2 ORDER BY at, events.id";
        tx.rows(until, words(case)).await?.iter().map(event).collect()
    }

    /// What all days of a policy have been paid.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn paid(tx: &mut Tx, case: &Case) -> Result<Decimal> {
        let all = "SELECT CAST(coalesce(sum(amount), 0) AS bigint) FROM policy_claims WHERE policy_id = $1";
        let rows = tx.rows(all, [case.policy.as_str().into()]).await?;
        Ok(Decimal::from_units(rows.first().context("a sum")?.number(0)?))
    }

    /// Writes the claims of a day, and that it was calculated. Nothing lasts before the transaction is committed.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn add(
        tx: &mut Tx,
        case: &Case,
        claims: &[Claim],
        worker: &str,
        token: Option<Token>,
    ) -> Result<()> {
        let row = |claim: &Claim| {
            let [policy, day] = words(case);
            vec![
                policy,
                day,
                claim.tier.number().into(),
                claim.event.as_str().into(),
                claim.amount.units().into(),
            ]
        };
        let into = "INSERT INTO policy_claims (policy_id, day, tier, event_id, amount) VALUES";
        tx.insert(into, claims.iter().map(row).collect()).await?;
        let token = token.map(|token| i64::try_from(token.get())).transpose().context("a token")?;
        let done = "INSERT INTO calculations (policy_id, day, worker, token) VALUES ($1, $2, $3, $4)";
        let [policy, day] = words(case);
        tx.rows(done, [policy, day, worker.into(), token.into()]).await.map(drop)
    }

    /// Takes note of a calculation that came too late.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn refused(&self, case: &Case, worker: &str) -> Result<()> {
        let mut tx = self.begin(Proof::None).await?.context("nobody asks for a proof")?;
        let [policy, day] = words(case);
        let note = "INSERT INTO refusals (policy_id, day, worker) VALUES ($1, $2, $3)";
        tx.rows(note, [policy, day, worker.into()]).await?;
        tx.commit().await
    }
}

fn words(case: &Case) -> [Value; 2] {
    [case.policy.as_str().into(), case.day.to_string().as_str().into()]
}

async fn insert(tx: &mut Tx, input: &Input) -> Result<()> {
    let policy = |policy: &Policy| {
        let Policy { id, region, cover, limit, from, to } = policy;
        let [from, to] = [from, to].map(|day| day.to_string().as_str().into());
        vec![id.as_str().into(), region.as_str().into(), cover.units().into(), limit.units().into(), from, to]
    };
    let event = |event: &Event| {
        let Event { id, region, tier, at } = event;
        let [at, day] = [at.to_string(), at.day().to_string()].map(|text| text.as_str().into());
        vec![id.as_str().into(), region.as_str().into(), tier.number().into(), at, day]
    };
    let into = "INSERT INTO policies (id, region, cover, most, first_day, last_day) VALUES";
    tx.insert(into, input.policies.iter().map(policy).collect()).await?;
    let into = "INSERT INTO events (id, region, tier, at, day) VALUES";
    tx.insert(into, input.events.iter().map(event).collect()).await
}

fn policy(row: &Row) -> Result<Policy> {
    Ok(Policy {
        id: row.text(0)?,
        region: row.text(1)?,
        cover: Decimal::from_units(row.number(2)?),
        limit: Decimal::from_units(row.number(3)?),
        from: row.text(4)?.parse().map_err(Error::msg)?,
        to: row.text(5)?.parse().map_err(Error::msg)?,
    })
}

fn event(row: &Row) -> Result<Event> {
    Ok(Event {
        id: row.text(0)?,
        region: row.text(1)?,
        tier: row.number(2)?.try_into().map_err(Error::msg)?,
        at: row.text(3)?.parse().map_err(Error::msg)?,
    })
}

/// A claim, from its day, tier, event and amount.
fn claim(row: &Row) -> Result<Claim> {
    Ok(Claim {
        day: row.text(0)?.parse().map_err(Error::msg)?,
        tier: row.number(1)?.try_into().map_err(Error::msg)?,
        event: row.text(2)?,
        amount: Decimal::from_units(row.number(3)?),
    })
}
