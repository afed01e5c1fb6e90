//! The steps: a function of the database for each, which takes many claims at once.

use std::sync::Arc;
use std::time::Duration;

use lock_core::{Attempt, Busy, Claim, Error, ErrorKind, Grant, Key, Mode, Ownership, Result, Token};
use sqlx::postgres::{PgArguments, PgRow};
use sqlx::{Arguments, Row, SqlStr};

use crate::error::{explain, strange};
use crate::names::Names;

/// The functions' calls, as statements.
#[derive(Debug)]
pub(crate) struct Statements {
    pub(crate) acquire: SqlStr,
    pub(crate) take: SqlStr,
    pub(crate) release: SqlStr,
    pub(crate) leave: SqlStr,
    pub(crate) renew: SqlStr,
    pub(crate) sweep: SqlStr,
}

impl Statements {
    pub(crate) fn new(names: &Names) -> Self {
        Self {
            acquire: names.statement("SELECT {acquire}($1, $2, $3, $4, $5, $6, $7, $8, $9)"),
            take: names.statement("SELECT {take}($1, $2, $3, $4, $5, $6, $7, $8)"),
            release: names.statement("SELECT {release}($1, $2, $3, $4)"),
            leave: names.statement("SELECT {leave}($1, $2)"),
            renew: names.statement("SELECT {renew}($1, $2)"),
            sweep: names.statement("SELECT vacuum, snapshot FROM {sweep}()"),
        }
    }
}

/// What is bound to a statement, in order.
#[derive(Default)]
struct Bound(PgArguments);

impl Bound {
    fn add<'q, T>(mut self, value: T) -> Result<Self>
    where
        T: sqlx::Encode<'q, sqlx::Postgres> + sqlx::Type<sqlx::Postgres>,
    {
        self.0.add(value).map_err(|error| explain(sqlx::Error::Encode(error)))?;
        Ok(self)
    }
}

/// `channel` is where the client is rung, empty if it is not. Where not every character can be stored, one label of
/// somebody's would fail everybody's call.
pub(crate) fn acquire(claims: &[&Claim], channel: &str, unicode: bool) -> Result<PgArguments> {
    let mut firsts = Vec::with_capacity(claims.len());
    let mut keys = Vec::with_capacity(claims.len());
    for claim in claims {
        firsts.push(i32::try_from(keys.len() + 1).unwrap_or(i32::MAX));
        keys.extend(claim.keys().iter().map(|key| key.as_str().as_bytes()));
    }
    let bound = Bound::default()
        .add(owners(claims.iter().copied()))?
        .add(claims.iter().map(|claim| mode(claim.mode())).collect::<Vec<_>>())?
        .add(claims.iter().map(|claim| millis(claim.ttl())).collect::<Vec<_>>())?
        .add(claims.iter().map(|claim| claim.waits()).collect::<Vec<_>>())?
        .add(claims.iter().map(|claim| claim.tag().cast_signed()).collect::<Vec<_>>())?
        .add(claims.iter().map(|claim| label(claim, unicode)).collect::<Vec<_>>())?
        .add(firsts)?
        .add(keys)?
        .add(channel)?;
    Ok(bound.0)
}

/// The same for one claim on one key, which comes for the first time.
pub(crate) fn take(claim: &Claim, key: &Key, channel: &str, unicode: bool) -> Result<PgArguments> {
    let bound = Bound::default()
        .add(&claim.owner().to_bytes()[..])?
        .add(mode(claim.mode()))?
        .add(millis(claim.ttl()))?
        .add(claim.waits())?
        .add(claim.tag().cast_signed())?
        .add(label(claim, unicode))?
        .add(key.as_str().as_bytes())?
        .add(channel)?;
    Ok(bound.0)
}

fn label(claim: &Claim, unicode: bool) -> String {
    match unicode {
        true => claim.label().to_owned(),
        false => claim.label().replace(|c: char| !c.is_ascii(), "?"),
    }
}

/// What a look came to, and the number of the place that the claim has if it waits.
pub(crate) type Looked = (Attempt, Option<u64>);

pub(crate) fn acquired(row: &PgRow) -> Result<Vec<Result<Looked>>> {
    let answers: Vec<i64> = row.try_get(0).map_err(explain)?;
    let attempt = |pair: &[i64]| {
        let [number, micros] = *pair else { return Err(strange()) };
        let time = Duration::from_micros(u64::try_from(micros).map_err(|_| strange())?);
        match number {
            -1 => Err(pinned()),
            0 => Ok((Attempt::Busy(Busy::new(time)), None)),
            ..0 => Ok((Attempt::Busy(Busy::new(time)), Some(number.unsigned_abs()))),
            _ => Ok((Attempt::Granted(Grant::new(Token::new(number.cast_unsigned()), time)), None)),
        }
    };
    Ok(answers.chunks(2).map(attempt).collect())
}

pub(crate) fn release(claims: &[(&Claim, Duration)]) -> Result<PgArguments> {
    let mut remnants = Vec::with_capacity(claims.len());
    for (_, keep) in claims {
        remnants.push(if keep.is_zero() { Vec::new() } else { crate::random()?.to_vec() });
    }
    let keys = claims.iter().flat_map(|(claim, _)| claim.keys());
    let bound = Bound::default()
        .add(owners(claims.iter().map(|(claim, _)| *claim)))?
        .add(claims.iter().map(|(_, keep)| millis(*keep)).collect::<Vec<_>>())?
        .add(remnants)?
        .add(keys.map(|key| key.as_str().as_bytes()).collect::<Vec<_>>())?;
    Ok(bound.0)
}

/// The same for one claim on one key, of which nothing is kept.
pub(crate) fn leave(claim: &Claim, key: &Key) -> Result<PgArguments> {
    Ok(Bound::default().add(&claim.owner().to_bytes()[..])?.add(key.as_str().as_bytes())?.0)
}

pub(crate) fn released(row: &PgRow, claims: &[(&Claim, Duration)]) -> Result<Vec<Result<Ownership>>> {
    let answers: Vec<i32> = row.try_get(0).map_err(explain)?;
    let answer = |(answer, (_, keep)): (i32, &(&Claim, Duration))| match answer {
        1 => Ok(Ownership::held(*keep)),
        0 => Ok(Ownership::Lost),
        -1 => Err(pinned()),
        _ => Err(strange()),
    };
    Ok(answers.into_iter().zip(claims).map(answer).collect())
}

pub(crate) fn renew(claims: &[Arc<Claim>]) -> Result<PgArguments> {
    let bound = Bound::default()
        .add(owners(claims.iter().map(|claim| &**claim)))?
        .add(claims.iter().map(|claim| millis(claim.ttl())).collect::<Vec<_>>())?;
    Ok(bound.0)
}

pub(crate) fn renewed(row: &PgRow, claims: &[Arc<Claim>]) -> Result<Vec<Result<Ownership>>> {
    let answers: Vec<i32> = row.try_get(0).map_err(explain)?;
    let answer = |(answer, claim): (i32, &Arc<Claim>)| match answer {
        1 => Ok(Ownership::held(claim.ttl())),
        0 => Ok(Ownership::Lost),
        -1 => Err(Error::new(ErrorKind::Unavailable, "somebody has locked the claim's rows")),
        _ => Err(strange()),
    };
    Ok(answers.into_iter().zip(claims).map(answer).collect())
}

fn pinned() -> Error {
    Error::new(ErrorKind::Unavailable, "a transaction that has confirmed the claim has not ended")
}

fn owners<'a>(claims: impl Iterator<Item = &'a Claim>) -> Vec<Vec<u8>> {
    claims.map(|claim| claim.owner().to_bytes().to_vec()).collect()
}

/// Every duration of a claim is whole milliseconds, at most a day, and greater than zero but for `keep`.
fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos().div_ceil(1_000_000)).unwrap_or(i64::MAX)
}

fn mode(mode: Mode) -> i32 {
    match mode {
        Mode::Shared => -1,
        // So many permits are never held at once.
        Mode::Permit { of } => i32::try_from(of.get()).unwrap_or(i32::MAX),
        _ => 0,
    }
}
