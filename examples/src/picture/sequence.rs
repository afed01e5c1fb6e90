//! Draws what was recorded: a lane for each who took part, and time from top to bottom.

use super::canvas::{BLUE, Canvas, FAINT, GREEN, INK, RED, Side};
use super::event::{Event, Kind};
use super::recorded::LOCKS;

/// Who stands in a lane.
#[derive(Clone, Copy, Debug)]
pub struct Lane {
    /// What it is called in the record.
    pub name: &'static str,
    /// What is written below that.
    pub below: &'static str,
}

const WIDTH: f64 = 1110.0;
const TOP: f64 = 76.0;
const FIRST: f64 = 200.0;
const APART: f64 = 260.0;

/// Something that is drawn at its height.
struct Row<'a> {
    y: f64,
    at: u64,
    event: &'a Event,
}

/// Draws events, in the order in which they happened.
pub fn draw(title: &str, lanes: &[Lane], events: &[Event]) -> String {
    let mut marks: Vec<_> = events.iter().cloned().chain(lapse(events)).collect();
    marks.sort_by_key(|event| event.at);
    let rows = rows(&marks);
    let bottom = rows.last().map_or(TOP, |row| row.y) + 34.0;
    let mut canvas = Canvas::new(WIDTH, bottom + 46.0, title);
    canvas.text((24.0, 34.0), Side::Right, 18, INK, true, title);
    for lane in lanes {
        canvas.lane(x(lanes, lane.name), TOP + 46.0, bottom);
        canvas.name(x(lanes, lane.name), TOP, colour(lane.name), lane.name, lane.below);
    }
    held(&mut canvas, x(lanes, LOCKS), &rows);
    stopped(&mut canvas, lanes, &rows);
    for row in &rows {
        let time = format!("{:.0} ms", row.at as f64 / 1000.0);
        canvas.text((86.0, row.y + 4.0), Side::Left, 12, FAINT, false, &time);
        event(&mut canvas, lanes, row);
    }
    let foot =
        "Recorded from two processes. Time runs downwards, not to scale: every step has its own height.";
    canvas.text((24.0, bottom + 26.0), Side::Right, 12, FAINT, false, foot);
    canvas.finish()
}

/// A lease that ended without anybody doing anything: its holder had been stopped.
fn lapse(events: &[Event]) -> Option<Event> {
    let stopped = events.iter().find(|event| event.kind == Kind::Stopped)?;
    let until = events.iter().filter(|event| event.to == stopped.from && event.at < stopped.at);
    let at = until.filter_map(|event| event.until).max()?;
    let text = format!("the lease of {} lapses", stopped.from);
    Some(Event { at, from: LOCKS.into(), to: LOCKS.into(), kind: Kind::Busy, until: None, text })
}

/// Heights that grow with time, but less and less, so that what happens within a millisecond can be told apart, and a second
/// in which nothing does is not in the way.
fn rows(events: &[Event]) -> Vec<Row<'_>> {
    let mut y = TOP + 50.0;
    let mut before: Option<&Event> = None;
    let mut rows = Vec::new();
    for event in events {
        let waited = before.map_or(0, |before| event.at - before.at) as f64 / 1000.0;
        let answers = matches!(event.kind, Kind::Answer | Kind::Busy | Kind::Refusal)
            && before.is_some_and(|before| before.from == event.to && before.to == event.from);
        y += if answers { 24.0 } else { 34.0 } + (waited * 0.12).min(40.0);
        rows.push(Row { y, at: event.at, event });
        before = Some(event);
    }
    rows
}

/// The height of a moment: between those of the events around it.
fn height(rows: &[Row<'_>], at: u64) -> f64 {
    let after = rows.partition_point(|row| row.at < at);
    match (after.checked_sub(1).and_then(|before| rows.get(before)), rows.get(after)) {
        (Some(before), Some(after)) => {
            let part = (at - before.at) as f64 / (after.at - before.at).max(1) as f64;
            before.y + part * (after.y - before.y)
        }
        (Some(row), None) | (None, Some(row)) => row.y,
        (None, None) => TOP,
    }
}

/// Whose the lock is, and until when.
fn held(canvas: &mut Canvas, x: f64, rows: &[Row<'_>]) {
    let mut from: Vec<(&str, f64, f64)> = Vec::new();
    for Row { event, y, .. } in rows {
        let until = event.until.map(|until| height(rows, until));
        match (until, from.iter_mut().find(|(holder, ..)| *holder == event.to)) {
            (Some(until), Some((.., end))) => *end = until,
            (Some(until), None) => from.push((&event.to, *y, until)),
            (None, Some((.., end))) if event.from == LOCKS && event.kind == Kind::Answer => *end = *y,
            _ => {}
        }
    }
    for (holder, from, until) in from {
        canvas.bar(x, from, until, colour(holder), 0.25);
        let middle = (from + until) / 2.0;
        canvas.text(
            (x + 14.0, middle + 4.0),
            Side::Right,
            12,
            colour(holder),
            true,
            &format!("held by {holder}"),
        );
    }
}

/// Who did not run, and how long.
fn stopped(canvas: &mut Canvas, lanes: &[Lane], rows: &[Row<'_>]) {
    let find = |kind| rows.iter().find(|row| row.event.kind == kind);
    if let (Some(stopped), Some(continued)) = (find(Kind::Stopped), find(Kind::Continued)) {
        let x = x(lanes, &stopped.event.from);
        canvas.bar(x, stopped.y, continued.y, FAINT, 0.5);
        let (middle, long) = ((stopped.y + continued.y) / 2.0, continued.at - stopped.at);
        canvas.text((x - 14.0, middle), Side::Left, 12, INK, true, "stopped");
        canvas.text(
            (x - 14.0, middle + 16.0),
            Side::Left,
            12,
            FAINT,
            false,
            &format!("for {} ms", long / 1000),
        );
    }
}

fn event(canvas: &mut Canvas, lanes: &[Lane], row: &Row<'_>) {
    let Row { event, y, .. } = row;
    let (from, to) = (x(lanes, &event.from), x(lanes, &event.to));
    let (left, right) = (from.min(to), from.max(to));
    let whose = if event.kind == Kind::Ask { &event.from } else { &event.to };
    match event.kind {
        Kind::Stopped | Kind::Continued => {
            canvas.text((from + 16.0, y + 4.0), Side::Right, 12, INK, true, &event.text);
        }
        _ if from == to => {
            canvas.dots((from - 60.0, *y), (from + 60.0, *y), RED);
            canvas.text((from + 66.0, y + 4.0), Side::Right, 12, RED, true, &event.text);
        }
        kind => {
            let colour = if kind == Kind::Refusal { RED } else { colour(whose) };
            canvas.arrow((from, *y), (to, *y), colour, kind != Kind::Ask);
            canvas.text(((left + right) / 2.0, y - 5.0), Side::Middle, 12, colour, false, &event.text);
            if kind == Kind::Refusal {
                canvas.cross(from, *y);
            }
        }
    }
}

fn x(lanes: &[Lane], name: &str) -> f64 {
    let at = lanes.iter().position(|lane| lane.name == name).unwrap_or_default();
    FIRST + APART * at as f64
}

fn colour(name: &str) -> &'static str {
    match name {
        "worker-1" => BLUE,
        "worker-2" => GREEN,
        _ => INK,
    }
}
