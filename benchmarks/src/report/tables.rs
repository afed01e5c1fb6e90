//! Tables, in Markdown.

use std::fmt::Write;

use super::{Asked, Results, charts};
use crate::machine::crates;
use crate::measure::Measure;
use crate::record::Setting;
use crate::rival::Kind;
use crate::run::name;

/// What is compared in short: the figures that somebody who chooses looks at.
const SHORT: [(Measure, usize, &str, &str); 16] = [
    (Measure::Pair, 1, "p50 µs", "acquire and release a free lock"),
    (Measure::Throughput, 64, "pairs/s", "the same in 64 tasks"),
    (Measure::Handover, 2, "p50 µs", "hand-over, 2 contenders"),
    (Measure::Handover, 16, "p50 µs", "hand-over, 16 contenders"),
    (Measure::Handover, 16, "p99 µs", "hand-over, 16 contenders"),
    (Measure::Handover, 256, "p50 µs", "hand-over, 256 contenders"),
    (Measure::TwoProcesses, 16, "p50 µs", "hand-over, two processes"),
    (Measure::Handover, 2, "requests each", "a turn of 2 contenders"),
    (Measure::Handover, 256, "requests each", "a turn of 256 contenders"),
    (Measure::Fairness, 16, "fewest %", "fairness, 16 contenders: of an even share"),
    (Measure::Held, 2_000, "requests/s", "2,000 locks held"),
    (Measure::Held, 10_000, "requests/s", "10,000 locks held"),
    (Measure::Held, 10_000, "client % of a core", "10,000 locks held"),
    (Measure::Held, 10_000, "server % of a core", "10,000 locks held"),
    (Measure::Held, 10_000, "client bytes each", "10,000 locks held"),
    (Measure::Held, 10_000, "server bytes each", "10,000 locks held"),
];

/// The columns of each measure. What the first one says is set against the bare driver.
fn columns(measure: Measure) -> (&'static str, &'static str, &'static [&'static str]) {
    match measure {
        Measure::Pair => ("A free lock, one task", "tasks", &["p50 µs", "p99 µs"]),
        Measure::Throughput => ("Free locks, each task its own", "tasks", &["pairs/s", "connections"]),
        Measure::Handover => ("Hand-over between independent clients (16 at most)", "contenders", TURNS),
        Measure::OneClient => ("Hand-over in one client", "contenders", TURNS),
        Measure::TwoProcesses => ("Hand-over, half of them in another process", "contenders", &TURNS[..3]),
        Measure::Fairness => (
            "Turns of each, of an even share, with a lock held for no time",
            "contenders",
            &["fewest %", "most %", "turns/s"],
        ),
        Measure::Keys => ("While many other locks are held", "held", &["pair p50 µs", "hand-over p50 µs"]),
        Measure::Waiters => ("While many wait for the lock", "waiters", TURNS),
        Measure::Held => (
            "Held and renewed, ttl 30 s",
            "locks",
            &[
                "requests/s",
                "client % of a core",
                "server % of a core",
                "client bytes each",
                "server bytes each",
                "connections",
                "lost",
                "taken/s",
            ],
        ),
    }
}

const TURNS: &[&str] =
    &["p50 µs", "p99 µs", "overtaking %", "requests each", "client µs each", "server µs each"];

const MEASURES: [Measure; 9] = [
    Measure::Pair,
    Measure::Throughput,
    Measure::Handover,
    Measure::OneClient,
    Measure::TwoProcesses,
    Measure::Fairness,
    Measure::Keys,
    Measure::Waiters,
    Measure::Held,
];

/// All of it.
pub(crate) fn document(results: &Results) -> String {
    let mut text = String::from("# Results\n\n");
    text += "Written by `scripts/bench` from the records in `results/`; `README.md` says what is measured, and how.\n\n";
    if let Some(run) = results.runs.first() {
        let _ = writeln!(text, "- {}", run.date);
        let _ = writeln!(text, "- {}", run.machine.describe());
        let _ = writeln!(text, "- medians; rounds: {}, and one of what is held", run.rounds);
        if run.quick {
            text += "- **A quick run, to see that it works: its figures say little.**\n";
        }
    }
    let mut versions: Vec<_> = results.settings().map(|setting| setting.version.clone()).collect();
    versions.dedup();
    versions.extend(crates(&[
        "distributed-lock-postgres",
        "distributed-lock-redis",
        "etcd-client",
        "redis",
        "rslock",
        "rusqlite",
        "sqlx",
    ]));
    let _ = writeln!(text, "- {}\n", versions.join(", "));
    text += &short(results);
    for setting in results.settings() {
        text += &store(results, setting);
        if charts::has(results, &setting.name) {
            let _ = writeln!(text, "![{}](charts/{})\n", setting.name, charts::file(&setting.name));
        }
    }
    text.trim_end().to_owned() + "\n"
}

/// This project, the floor and the best peer, side by side.
fn short(results: &Results) -> String {
    let mut text = String::from(
        "## In short\n\n| store | | | this project | bare driver | best peer | |\n| --- | --- | --- | ---: | ---: | ---: | --- |\n",
    );
    for setting in results.settings() {
        for (measure, size, name, what) in SHORT {
            let asked = Asked { measure, size, name };
            let best = |kind| results.best(setting, kind, &asked);
            let Some((ours, _)) = best(Kind::Ours) else { continue };
            let shown = |best: Option<(f64, &str)>| best.map_or("–".into(), |(figure, _)| number(figure));
            let (bare, peer) = (best(Kind::Bare), best(Kind::Peer));
            let verdict = peer.map_or(String::new(), |(figure, who)| {
                let ahead = asked.ahead(ours, figure);
                match ahead {
                    _ if ours == figure || (ahead - 1.0).abs() < 0.01 => format!("as {who}"),
                    f64::INFINITY => format!("ahead of {who}"),
                    1.0.. => format!("{}× ahead of {who}", number(ahead)),
                    _ => format!("**{}× behind {who}**", number(1.0 / ahead)),
                }
            });
            let (store, name) = (&setting.name, said(name, setting));
            let [ours, bare, peer] = [number(ours), shown(bare), shown(peer)];
            let _ = writeln!(text, "| {store} | {what} | {name} | {ours} | {bare} | {peer} | {verdict} |");
        }
    }
    text + "\n"
}

/// One store's tables.
pub(crate) fn store(results: &Results, setting: &Setting) -> String {
    let mut text = format!("## {}\n\n{}\n\n", setting.name, setting.version);
    text += "| who | waits |\n| --- | --- |\n";
    for who in &setting.rivals {
        let _ = writeln!(text, "| {} | {} |", who.name, who.waits);
    }
    text.push('\n');
    for measure in MEASURES {
        text += &table(results, setting, measure);
    }
    let undone = results.undone(&setting.name);
    if !undone.is_empty() {
        text += "What could not be done:\n\n";
    }
    for ((who, measure, reason), sizes) in &undone {
        let sizes: Vec<_> = sizes.iter().map(|size| number(*size as f64)).collect();
        let _ = writeln!(text, "- {who}, {} at {}: {reason}", name(*measure), sizes.join(", "));
    }
    if !undone.is_empty() {
        text.push('\n');
    }
    text
}

fn table(results: &Results, setting: &Setting, measure: Measure) -> String {
    let (title, size_of, columns) = columns(measure);
    let sizes = results.sizes(&setting.name, measure);
    let mut rows = String::new();
    let figures = |size: usize, who: &str, column: &&str| {
        results.figure(&Asked { measure, size, name: column }.cell(&setting.name, who), column)
    };
    let used = |column: &&&str| {
        let all = sizes.iter().flat_map(|size| setting.rivals.iter().map(move |who| (*size, who)));
        all.into_iter().any(|(size, who)| figures(size, &who.name, column).is_some())
    };
    let columns: Vec<_> = columns.iter().filter(used).copied().collect();
    let Some(first) = columns.first() else { return String::new() };
    for size in &sizes {
        let bare = results.best(setting, Kind::Bare, &Asked { measure, size: *size, name: first });
        for who in &setting.rivals {
            let row: Vec<_> = columns.iter().map(|column| figures(*size, &who.name, column)).collect();
            let Some(own) = row[0] else { continue };
            let to_bare =
                bare.filter(|(bare, _)| *bare > 0.0).map_or("–".into(), |(bare, _)| number(own / bare));
            let row: Vec<_> = row.into_iter().map(|figure| figure.map_or("–".into(), number)).collect();
            let ours = if who.kind == Kind::Ours { "**" } else { "" };
            let size = number(*size as f64);
            let _ = writeln!(rows, "| {size} | {ours}{}{ours} | {} | {to_bare} |", who.name, row.join(" | "));
        }
    }
    let heads: Vec<_> = columns.iter().map(|column| said(column, setting)).collect();
    let (heads, lines) = (heads.join(" | "), " ---: |".repeat(columns.len() + 1));
    format!("### {title}\n\n| {size_of} | who | {heads} | × bare |\n| ---: | --- |{lines}\n{rows}\n")
}

/// A figure's name, with what the store counts as a request.
fn said(name: &str, setting: &Setting) -> String {
    name.replace("requests", &setting.request)
}

/// Three digits, or as many as there are before the point.
fn number(figure: f64) -> String {
    let digits = match figure.abs() {
        size if size >= 99.95 || size == 0.0 || size.fract() == 0.0 => 0,
        size if size >= 9.995 => 1,
        _ => 2,
    };
    let text = format!("{figure:.digits$}");
    let (whole, rest) = text.split_at(text.find('.').unwrap_or(text.len()));
    let mut grouped = String::new();
    for (n, digit) in whole.chars().enumerate() {
        if n > 0 && (whole.len() - n).is_multiple_of(3) && digit.is_ascii_digit() {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped + rest
}
