//! The record of what was measured: a line of JSON for each thing that is known.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::job::{Cell, Outcome};
use crate::machine::Machine;
use crate::rival::{Failure, Kind, Rival};
use crate::store::Store;

#[derive(Clone, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Line {
    Run(Run),
    Store(Setting),
    Cell { cell: Cell, round: usize, outcome: Outcome },
}

/// When and where.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Run {
    pub(crate) date: String,
    pub(crate) machine: Machine,
    pub(crate) rounds: usize,
    pub(crate) quick: bool,
}

/// A store, and who was compared on it.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Setting {
    pub(crate) name: String,
    pub(crate) version: String,
    pub(crate) request: String,
    pub(crate) rivals: Vec<Who>,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Who {
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) waits: String,
}

impl Setting {
    pub(crate) async fn of(store: &dyn Store) -> Result<Self, Failure> {
        let who = |rival: Box<dyn Rival>| {
            let (name, waits) = (rival.name().to_owned(), rival.waits().to_owned());
            Who { name, kind: rival.kind(), waits }
        };
        Ok(Self {
            name: store.name().to_owned(),
            version: store.version().await?,
            request: store.request().to_owned(),
            rivals: store.rivals().into_iter().map(who).collect(),
        })
    }
}

/// Lines, kept here and in a file if there is one.
pub(crate) struct Record {
    pub(crate) lines: Vec<Line>,
    file: Option<File>,
}

impl Record {
    pub(crate) fn new(file: Option<&Path>) -> Result<Self, Failure> {
        let open = |path: &Path| File::options().create(true).append(true).open(path);
        Ok(Self { lines: Vec::new(), file: file.map(open).transpose()? })
    }

    pub(crate) fn add(&mut self, line: Line) -> Result<(), Failure> {
        if let Some(file) = &mut self.file {
            writeln!(file, "{}", serde_json::to_string(&line)?)?;
        }
        self.lines.push(line);
        Ok(())
    }
}

/// All records in a directory.
pub(crate) fn read(directory: &Path) -> Result<Vec<Line>, Failure> {
    let mut files: Vec<_> =
        fs::read_dir(directory)?.map(|file| Ok(file?.path())).collect::<Result<_, Failure>>()?;
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let mut lines = Vec::new();
    for file in files {
        for line in fs::read_to_string(&file)?.lines() {
            let line = serde_json::from_str(line);
            lines.push(line.map_err(|error| format!("{}: {error}", file.display()))?);
        }
    }
    Ok(lines)
}
