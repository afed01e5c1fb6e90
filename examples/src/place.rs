//! Where the data of a run is kept, or is for as long as it lasts.

use std::fmt;
use std::hash::{BuildHasher as _, RandomState};
use std::path::PathBuf;

use anyhow::{Context as _, Result};
use tempfile::TempDir;

use crate::backend::Url;
use crate::data::postgres;

/// What a temporary place is called, and what makes it one of its own.
const TEMPORARY: &str = "lock-examples-";

/// A place for data: a directory for SQLite, or a schema in a PostgreSQL.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Place {
    /// Files are in it.
    Directory(PathBuf),
    /// Tables are in it.
    Schema(Url),
}

impl Place {
    /// What can be said.
    pub const KNOWN: &str = "a directory, or postgres://[USER:PASSWORD@]HOST[:PORT][/DATABASE]#SCHEMA";

    /// Where locks live that are to be beside the data.
    pub fn locks(&self) -> Url {
        match self {
            Self::Directory(dir) => Url::sqlite(&dir.join("locks.db")),
            Self::Schema(url) => url.clone(),
        }
    }

    /// Whether locks there and this data are in one PostgreSQL, so that a transaction can see both.
    pub fn shares(&self, locks: &Url) -> bool {
        matches!(self, Self::Schema(url) if url.server() == locks.server())
    }

    /// The whole of it, for another process of this program. Not for print.
    pub fn as_arg(&self) -> String {
        match self {
            Self::Directory(dir) => dir.display().to_string(),
            Self::Schema(url) => url.as_arg().to_owned(),
        }
    }

    async fn make(&self) -> Result<()> {
        match self {
            Self::Directory(dir) => {
                std::fs::create_dir_all(dir).with_context(|| format!("cannot make {}", dir.display()))
            }
            Self::Schema(url) => postgres::make(url).await,
        }
    }
}

/// What begins with a word and a colon is a URL, if a mistyped one, and has its password: it is refused when it is used, and
/// never made a directory. One that is called so is `./a:b`.
impl From<String> for Place {
    fn from(text: String) -> Self {
        let url = Url::from(text);
        if url.scheme().is_some() || url.as_arg().contains("://") {
            Self::Schema(url)
        } else {
            Self::Directory(url.as_arg().into())
        }
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(dir) => write!(f, "{}", dir.display()),
            Self::Schema(url) => write!(f, "{url}"),
        }
    }
}

/// The place of a run's data, made for it.
#[derive(Debug)]
pub struct Home {
    place: Place,
    end: End,
}

/// What becomes of it.
#[derive(Debug)]
enum End {
    Stays,
    Removed(Option<TempDir>),
}

impl Home {
    /// Makes a place that stays.
    ///
    /// # Errors
    ///
    /// It cannot be made; a schema may not be there already.
    pub async fn kept(place: Place) -> Result<Self> {
        place.make().await?;
        Ok(Self { place, end: End::Stays })
    }

    /// Makes a place that is removed at the end: in that PostgreSQL, or in a directory.
    ///
    /// # Errors
    ///
    /// It cannot be made.
    pub async fn temporary(server: Option<&Url>) -> Result<Self> {
        let Some(server) = server else {
            let dir = TempDir::with_prefix(TEMPORARY).context("cannot make a temporary directory")?;
            return Ok(Self { place: Place::Directory(dir.path().into()), end: End::Removed(Some(dir)) });
        };
        let place = Place::Schema(server.in_schema(&drawn(TEMPORARY)));
        place.make().await?;
        Ok(Self { place, end: End::Removed(None) })
    }

    /// Where it is.
    pub fn place(&self) -> &Place {
        &self.place
    }

    /// Removes it, unless it is kept.
    ///
    /// # Errors
    ///
    /// It cannot be removed.
    pub async fn end(self) -> Result<()> {
        match (self.end, &self.place) {
            (End::Stays, _) => Ok(()),
            (End::Removed(None), Place::Schema(url)) => postgres::remove(url).await,
            (End::Removed(dir), _) => dir.map_or(Ok(()), TempDir::close).context("cannot remove the data"),
        }
    }

    /// Takes back that it was made, if that is what it was: for a run that does not begin.
    pub async fn undo(mut self) -> Result<()> {
        if matches!(self.place, Place::Schema(_)) {
            self.end = End::Removed(None);
        }
        self.end().await
    }
}

/// A name that nobody else has.
pub fn drawn(prefix: &str) -> String {
    format!("{prefix}{:08x}", RandomState::new().hash_one(()) as u32)
}
