//! A swap: somebody gives a shift and takes another. What is asked, what follows from what is there, what is written.

use std::fmt;

use anyhow::{Context as _, Result};
use lock_core::Token;

use crate::data::{Tx, Value};
use crate::schedule::rota::{self, Assignment, Rota};

/// What somebody asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Request {
    /// Who asks.
    pub person: String,
    /// The shift that he gives.
    pub gives: String,
    /// The one that he takes, from whoever has it.
    pub takes: String,
}

/// A request that was accepted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Swap {
    /// Its number.
    pub id: i64,
    /// What was asked for.
    pub request: Request,
    /// Whose turn it was at the shifts when it was asked, the one that is given and the one that is taken.
    pub turns: [i64; 2],
    /// Their blocks.
    pub blocks: [String; 2],
    /// Whether it waits to be executed or refused.
    pub pending: bool,
}

/// Accepts a request as pending. A shift whose block is not generated yet is asked for as it will be.
///
/// # Errors
///
/// There is no such shift, or the database's.
pub async fn accept(tx: &mut Tx, request: &Request) -> Result<i64> {
    let sql = "
        INSERT INTO swaps (person, gives, gives_turn, takes, takes_turn)
        SELECT $1, gives.id, coalesce((SELECT turn FROM assignments WHERE id = gives.id), 1),
                   takes.id, coalesce((SELECT turn FROM assignments WHERE id = takes.id), 1)
        FROM shifts AS gives, shifts AS takes WHERE gives.id = $2 AND takes.id = $3
        RETURNING id";
    let Request { person, gives, takes } = request;
    let accepted = tx.rows(sql, [person, gives, takes].map(|text| text.as_str().into())).await?;
    accepted.first().with_context(|| format!("there is no shift {gives} or {takes}"))?.number(0)
}

/// Finds a request that was accepted.
///
/// # Errors
///
/// There is none, or the database's.
pub async fn find(rota: &Rota, id: i64) -> Result<Swap> {
    let sql = "
        SELECT person, gives, takes, gives_turn, takes_turn, given.block, taken.block, state
        FROM swaps JOIN shifts AS given ON given.id = gives JOIN shifts AS taken ON taken.id = takes
        WHERE swaps.id = $1";
    let rows = rota.ask(sql, [id.into()]).await?;
    let row = rows.first().with_context(|| format!("there is no swap {id}"))?;
    Ok(Swap {
        id,
        request: Request { person: row.text(0)?, gives: row.text(1)?, takes: row.text(2)? },
        turns: [row.number(3)?, row.number(4)?],
        blocks: [row.text(5)?, row.text(6)?],
        pending: row.text(7)? == "pending",
    })
}

/// Everything that decides about a swap, as it is at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Seen {
    /// Whether it is settled already.
    pub settled: bool,
    /// All that has been given to anybody.
    pub assignments: Vec<Assignment>,
}

/// Looks at a swap.
///
/// # Errors
///
/// The database's.
pub async fn look(tx: &mut Tx, swap: &Swap) -> Result<Seen> {
    let rows = tx.rows("SELECT state FROM swaps WHERE id = $1", [swap.id.into()]).await?;
    let state = rows.first().context("a swap that was accepted stays")?.text(0)?;
    Ok(Seen { settled: state != "pending", assignments: rota::assignments(tx).await? })
}

/// Why a swap is refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Conflict {
    /// The shift has gone to somebody since.
    Gone {
        /// Who asked.
        asked: String,
        /// The shift.
        shift: String,
        /// Who has it now.
        holder: String,
    },
    /// The shift that is given is not his who asks.
    NotHis {
        /// Who asked.
        asked: String,
        /// The shift.
        shift: String,
        /// Whose it is.
        holder: String,
    },
    /// The shift that is taken is his who asks.
    HisAlready {
        /// Who asked.
        asked: String,
        /// The shift.
        shift: String,
    },
    /// Somebody would be in two places.
    Twice {
        /// Who.
        person: String,
        /// The shift that he would get.
        shift: String,
        /// One that he has, at the same time.
        other: String,
    },
}

/// What is to happen: who gets which shift, and as of which turn.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Exchange {
    /// The one who asked gets the shift that he takes.
    pub taken: Assignment,
    /// The other one gets the shift that was given.
    pub given: Assignment,
}

impl Seen {
    /// Who has a shift, if its block is generated.
    pub fn holder(&self, shift: &str) -> Option<&Assignment> {
        self.assignments.iter().find(|assignment| assignment.shift.id == shift)
    }

    /// What follows for a swap; `None` as long as one of its blocks is not generated.
    ///
    /// # Errors
    ///
    /// The conflict that it is refused for.
    pub fn decide(&self, swap: &Swap) -> Option<Result<Exchange, Conflict>> {
        let Request { person, gives, takes } = &swap.request;
        let (given, taken) = (self.holder(gives)?, self.holder(takes)?);
        Some(self.exchange(swap, person, given, taken))
    }

    fn exchange(
        &self,
        swap: &Swap,
        asked: &str,
        given: &Assignment,
        taken: &Assignment,
    ) -> Result<Exchange, Conflict> {
        let asked = asked.to_owned();
        for (now, then) in [given, taken].into_iter().zip(swap.turns) {
            if now.turn != then {
                let (shift, holder) = (now.shift.id.clone(), now.person.clone());
                return Err(Conflict::Gone { asked, shift, holder });
            }
        }
        if given.person != asked {
            let (shift, holder) = (given.shift.id.clone(), given.person.clone());
            return Err(Conflict::NotHis { asked, shift, holder });
        }
        if taken.person == asked {
            return Err(Conflict::HisAlready { asked, shift: taken.shift.id.clone() });
        }
        self.free(&asked, given, taken)?;
        self.free(&taken.person, taken, given)?;
        let to = |assignment: &Assignment, person: &str| Assignment {
            shift: assignment.shift.clone(),
            person: person.to_owned(),
            turn: assignment.turn + 1,
        };
        Ok(Exchange { taken: to(taken, &asked), given: to(given, &taken.person) })
    }

    /// Nobody may be in two places at once, once he has left what he leaves.
    fn free(&self, person: &str, leaves: &Assignment, gets: &Assignment) -> Result<(), Conflict> {
        let has =
            self.assignments.iter().filter(|its| its.person == person && its.shift.id != leaves.shift.id);
        match has.into_iter().find(|its| its.shift.overlaps(&gets.shift)) {
            None => Ok(()),
            Some(other) => Err(Conflict::Twice {
                person: person.to_owned(),
                shift: gets.shift.id.clone(),
                other: other.shift.id.clone(),
            }),
        }
    }
}

/// Writes what was decided: both shifts change hands, or the conflict stands beside the request.
///
/// # Errors
///
/// The database's.
pub async fn write(
    tx: &mut Tx,
    swap: &Swap,
    decided: &Result<Exchange, Conflict>,
    worker: &str,
    token: Option<Token>,
) -> Result<()> {
    if let Ok(Exchange { taken, given }) = decided {
        let moment = hand_over(tx, taken, swap, None).await?;
        hand_over(tx, given, swap, Some(moment)).await?;
    }
    let (state, why) = match decided {
        Ok(_) => ("executed", None),
        Err(conflict) => ("refused", Some(conflict.to_string())),
    };
    let token = token.map(|token| i64::try_from(token.get())).transpose().context("a token")?;
    let sql = "
        UPDATE swaps SET state = $2, why = $3, worker = $4, token = $5, settled_at = (SELECT now FROM clock)
        WHERE id = $1";
    let values = [swap.id.into(), state.into(), why.as_deref().into(), worker.into(), token.into()];
    tx.rows(sql, values).await?;
    Ok(())
}

async fn hand_over(tx: &mut Tx, to: &Assignment, swap: &Swap, moment: Option<i64>) -> Result<i64> {
    let sql = "UPDATE assignments SET person = $2, turn = $3, version = version + 1 WHERE id = $1";
    let (shift, person): (Value, Value) = (to.shift.id.as_str().into(), to.person.as_str().into());
    tx.rows(sql, [shift.clone(), person.clone(), to.turn.into()]).await?;
    rota::hand_over(tx, moment, [shift, to.turn.into(), person, swap.id.into()]).await
}

impl fmt::Display for Conflict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Gone { asked, shift, holder } if asked == holder => {
                write!(f, "{shift} has changed hands since {asked} asked: it is {holder}'s own now")
            }
            Self::Gone { asked, shift, holder } => {
                write!(f, "{shift} has changed hands since {asked} asked: it is {holder}'s now")
            }
            Self::NotHis { asked, shift, holder } => {
                write!(f, "{shift} is {holder}'s: {asked} cannot give it")
            }
            Self::HisAlready { asked, shift } => write!(f, "{shift} is {asked}'s already"),
            Self::Twice { person, shift, other } => {
                write!(f, "{person} would be at {shift} and {other} at once")
            }
        }
    }
}
