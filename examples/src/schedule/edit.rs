//! An assignment that is edited by people: each opens a form, thinks, and saves it.

use std::fmt;

use anyhow::{Context as _, Result};

use crate::data::{Row, Tx, Value};

/// An assignment as it was when somebody opened it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Form {
    /// The shift.
    pub shift: String,
    /// Whose it is.
    pub person: String,
    /// Where it is.
    pub room: String,
    /// What has been noted, word by word.
    pub note: String,
    /// Grows with every change.
    pub version: i64,
}

/// What somebody wants to change.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// The room becomes this one.
    Room(String),
    /// A word is added to the note.
    Note(String),
}

/// Somebody else has changed the assignment since the form was opened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outdated {
    shift: String,
    versions: [i64; 2],
    changes: Vec<String>,
}

/// Opens the form of an assignment, if its block is generated.
///
/// # Errors
///
/// The database's.
pub async fn open(tx: &mut Tx, shift: &str) -> Result<Option<Form>> {
    let sql = "SELECT id, person, room, note, version FROM assignments WHERE id = $1";
    tx.rows(sql, [shift.into()]).await?.first().map(form).transpose()
}

impl Form {
    /// The same, with a change made.
    #[must_use]
    pub fn with(&self, change: &Change) -> Self {
        let mut form = self.clone();
        match change {
            Change::Room(room) => form.room.clone_from(room),
            Change::Note(word) => form.note = format!("{} {word}", form.note).trim_start().to_owned(),
        }
        form
    }

    /// Saves all of it with a change made. `compares` refuses to save over another version than the one that was opened;
    /// without, the last one to save wins.
    ///
    /// # Errors
    ///
    /// The database's.
    pub async fn save(
        &self,
        tx: &mut Tx,
        change: &Change,
        worker: &str,
        compares: bool,
    ) -> Result<Result<(), Outdated>> {
        let sql = "
            UPDATE assignments SET room = $2, note = $3, version = version + 1
            WHERE id = $1 AND version = coalesce($4, version) RETURNING version";
        let Self { shift, room, note, .. } = &self.with(change);
        let [shift, room, note]: [Value; 3] = [shift, room, note].map(|text| text.as_str().into());
        let version = compares.then_some(self.version);
        if tx.rows(sql, [shift.clone(), room, note, version.into()]).await?.is_empty() {
            let now = open(tx, &self.shift).await?.with_context(|| format!("{} is gone", self.shift))?;
            return Ok(Err(self.outdated(&now)));
        }
        let (room, word) = match change {
            Change::Room(room) => (Some(room.as_str()), None),
            Change::Note(word) => (None, Some(word.as_str())),
        };
        let sql = "INSERT INTO edits (shift, worker, room, note) VALUES ($1, $2, $3, $4)";
        tx.rows(sql, [shift, worker.into(), room.into(), word.into()]).await?;
        Ok(Ok(()))
    }

    fn outdated(&self, now: &Self) -> Outdated {
        let fields = [
            ("person", &self.person, &now.person),
            ("room", &self.room, &now.room),
            ("note", &self.note, &now.note),
        ];
        let changed = fields.into_iter().filter(|(_, then, now)| then != now);
        let changes = changed.map(|(name, then, now)| format!("{name} {then:?} is {now:?} now")).collect();
        Outdated { shift: self.shift.clone(), versions: [self.version, now.version], changes }
    }
}

fn form(row: &Row) -> Result<Form> {
    Ok(Form {
        shift: row.text(0)?,
        person: row.text(1)?,
        room: row.text(2)?,
        note: row.text(3)?,
        version: row.number(4)?,
    })
}

impl fmt::Display for Outdated {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { shift, versions: [then, now], changes } = self;
        write!(f, "{shift} was opened at version {then} and is at {now}: {}", changes.join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn opened() -> Form {
        let [shift, person, room, note] = ["mon-early", "ann", "north", "keys"].map(str::to_owned);
        Form { shift, person, room, note, version: 3 }
    }

    #[test]
    fn a_change_touches_nothing_else() {
        let form = opened().with(&Change::Note("ladder".to_owned())).with(&Change::Room("south".to_owned()));
        assert_eq!((form.note.as_str(), form.room.as_str()), ("keys ladder", "south"));
        assert_eq!((form.person.as_str(), form.version), ("ann", 3));
    }

    #[test]
    fn what_has_changed_is_named_and_nothing_else() {
        let now = Form {
            version: 5,
            person: "bob".to_owned(),
            ..opened().with(&Change::Note("ladder".to_owned()))
        };
        assert_eq!(
            opened().outdated(&now).to_string(),
            r#"mon-early was opened at version 3 and is at 5: person "ann" is "bob" now, note "keys" is "keys ladder" now"#
        );
    }
}
