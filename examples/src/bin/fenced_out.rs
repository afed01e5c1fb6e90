//! A stale holder is fenced out: two processes, recorded while they run, and the picture of it.
//!
//! One holds the lock and is stopped beyond its ttl, the other takes over and writes. The first goes on, and its write is
//! refused: the database has seen a higher token.
#![allow(clippy::disallowed_methods, reason = "a program owns its tasks and its pauses")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use clap::{Args, Parser, Subcommand};
use examples::picture::event::{self, Event, Kind};
use examples::picture::recorded::Recorded;
use examples::picture::sequence::{Lane, draw};
use examples::program;
use examples::workers::{Crew, Heard, serve};
use humantime::parse_duration;
use lock_core::{ErrorKind, Locker, Token};
use lock_sqlite::{Sqlite, fence};
use rusqlite::{Connection, TransactionBehavior};
use rustix::process::{Pid, Signal, kill_process};

const TTL: Duration = Duration::from_secs(1);

/// How long the first worker takes between its look and its write: long enough to renew its lock meanwhile.
const LONG: &str = "600ms";

/// How long the second one takes.
const SHORT: &str = "50ms";

const FIRST: &str = "worker-1";
const SECOND: &str = "worker-2";
const DATA: &str = "data";

const LANES: [Lane; 4] = [
    Lane { name: FIRST, below: "a process" },
    Lane { name: "locks", below: "ttl 1 s" },
    Lane { name: DATA, below: "a table, with a fence" },
    Lane { name: SECOND, below: "another process" },
];

/// A stale holder is fenced out: two processes, recorded while they run, and the picture of it.
///
/// The first holds the lock of a price and is stopped by SIGSTOP beyond its ttl; the second takes over and writes. Then the
/// first goes on, and does not know yet that it has lost: its write is refused, because the database has seen a higher token.
#[derive(Parser, Debug)]
#[command(name = "fenced_out", version)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    files: Files,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Draws the picture anew, from a record that is there
    Draw,
    /// One of the two processes
    #[command(hide = true)]
    Worker {
        name: String,
        #[arg(long)]
        data: PathBuf,
        #[arg(long)]
        price: u32,
        /// How long it takes between its look and its write
        #[arg(long, value_parser = parse_duration)]
        thinking: Duration,
    },
}

#[derive(Args, Debug)]
struct Files {
    /// Where what happened is kept
    #[arg(long, global = true, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/data/fenced_out.csv"))]
    record: PathBuf,
    /// Where the picture is kept
    #[arg(long, global = true, value_name = "FILE", default_value = concat!(env!("CARGO_MANIFEST_DIR"), "/fenced_out.svg"))]
    picture: PathBuf,
}

#[tokio::main]
async fn main() -> ExitCode {
    let Cli { command, files } = Cli::parse();
    let outcome = match command {
        None => record(&files).await,
        Some(Command::Draw) => paint(&files),
        Some(Command::Worker { name, data, price, thinking }) => {
            serve(work(&name, &data, price, thinking)).await
        }
    };
    program::end(outcome.map(|()| ExitCode::SUCCESS))
}

/// Has it happen, keeps what was heard, and draws it.
async fn record(files: &Files) -> Result<()> {
    let dir = tempfile::tempdir()?;
    let db = Connection::open(dir.path().join("prices.db"))?;
    db.execute_batch("CREATE TABLE prices (price INTEGER); INSERT INTO prices VALUES (100)")?;
    let start = |name: &str, price: &str, thinking: &str| {
        let dir = dir.path().display().to_string();
        let args = ["worker", name, "--data", &dir, "--price", price, "--thinking", thinking]
            .map(String::from)
            .to_vec();
        Crew::start([(name.to_owned(), args)], &[])
    };
    let (mut first, mut second) = (start(FIRST, "110", LONG)?, start(SECOND, "120", SHORT)?);
    let mut events = Vec::new();

    first.go().await?;
    until(&mut first, &mut events, "the price is").await?;
    second.go().await?;
    until(&mut first, &mut events, "held for another ttl").await?;
    let pid = first.pid(FIRST).context("it runs")?;
    let signal =
        |signal| Ok::<_, anyhow::Error>(kill_process(Pid::from_raw(pid).context("a process")?, signal)?);
    signal(Signal::STOP)?;
    events.push(Event::now(FIRST, FIRST, Kind::Stopped, "SIGSTOP, between look and write"));
    until(&mut second, &mut events, "").await?;
    // Noted before: it may be on its way before this process is told that it was sent.
    events.push(Event::now(FIRST, FIRST, Kind::Continued, "SIGCONT: it goes on where it was"));
    signal(Signal::CONT)?;
    until(&mut first, &mut events, "").await?;

    let price: u32 = db.query_row("SELECT price FROM prices", [], |row| row.get(0))?;
    println!("the price is {price}: what {FIRST} wanted to write came too late, and was refused");
    event::keep(&event::in_order(events), &files.record)?;
    paint(files)
}

/// Takes note of all that is heard, until something that has these words; to the end, if there are none.
async fn until(crew: &mut Crew, events: &mut Vec<Event>, words: &str) -> Result<()> {
    while let Some((name, heard)) = crew.next().await {
        match heard {
            Heard::Line(line) => {
                let event: Event = line.parse().with_context(|| format!("{name} said {line:?}"))?;
                let heard = !words.is_empty() && event.text.contains(words);
                events.push(event);
                if heard {
                    return Ok(());
                }
            }
            Heard::Ended(status) if words.is_empty() && status.success() => return Ok(()),
            Heard::Ended(status) => bail!("{name} has ended: {status}"),
        }
    }
    bail!("nothing more is heard")
}

fn paint(files: &Files) -> Result<()> {
    let title = "A stale holder is fenced out";
    let picture = draw(title, &LANES, &event::read(&files.record)?);
    let file = &files.picture;
    std::fs::write(file, picture).with_context(|| format!("cannot write {}", file.display()))?;
    println!("drawn: {}", file.display());
    Ok(())
}

/// One process: takes the lock, looks, thinks, and writes, whatever has become of the lock meanwhile.
async fn work(name: &str, dir: &Path, price: u32, thinking: Duration) -> Result<()> {
    let store = Sqlite::open(dir.join("locks.db")).await?;
    let locks = Locker::new(Recorded::new(store, name)).with_ttl(TTL);
    let mut prices = Prices { name: name.to_owned(), db: Connection::open(dir.join("prices.db"))? };
    let guard = locks.lock("price").acquire().await?;
    prices.look(guard.token())?;
    tokio::time::sleep(thinking).await;
    prices.write(guard.token(), price)?;
    if let Err(error) = guard.release().await
        && error.kind() != ErrorKind::Lost
    {
        return Err(error.into());
    }
    locks.close().await;
    Ok(())
}

/// The table, which is asked and answers on record.
struct Prices {
    name: String,
    db: Connection,
}

impl Prices {
    fn look(&mut self, token: Token) -> Result<()> {
        self.asks(&format!("look, token {token}"));
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        fence(&tx, "price", token)?;
        let price: u32 = tx.query_row("SELECT price FROM prices", [], |row| row.get(0))?;
        tx.commit()?;
        self.hears(Kind::Answer, &format!("the price is {price}"));
        Ok(())
    }

    fn write(&mut self, token: Token, price: u32) -> Result<()> {
        self.asks(&format!("write {price}, token {token}"));
        let tx = self.db.transaction_with_behavior(TransactionBehavior::Immediate)?;
        match fence(&tx, "price", token) {
            Err(error) if error.kind() == ErrorKind::Lost => {
                drop(tx);
                let said = error.to_string();
                self.hears(Kind::Refusal, said.split_once("sqlite: ").map_or(&said, |(_, why)| why));
                return Ok(());
            }
            admitted => admitted?,
        }
        tx.execute("UPDATE prices SET price = ?1", [price])?;
        tx.commit()?;
        self.hears(Kind::Answer, "written");
        Ok(())
    }

    fn asks(&self, text: &str) {
        Event::now(&self.name, DATA, Kind::Ask, text).say();
    }

    fn hears(&self, kind: Kind, text: &str) {
        Event::now(DATA, &self.name, kind, text).say();
    }
}
