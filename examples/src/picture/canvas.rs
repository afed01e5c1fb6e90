//! What a picture is drawn on: the few shapes that it needs, in its colours.

use svg::node::element::{Circle, Definitions, Line, Marker, Path, Rectangle, Text};
use svg::{Document, Node};

/// Ink.
pub(super) const INK: &str = "#1f2937";
/// What is beside the point.
pub(super) const FAINT: &str = "#64748b";
/// What is refused.
pub(super) const RED: &str = "#c81e1e";
/// The first worker's.
pub(super) const BLUE: &str = "#1d4ed8";
/// The second one's.
pub(super) const GREEN: &str = "#15803d";

/// A picture that grows.
#[derive(Debug)]
pub(super) struct Canvas(Document);

/// Where a text stands to its point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// It ends there.
    Left,
    /// It begins there.
    Right,
    /// It is centred there.
    Middle,
}

impl Canvas {
    pub(super) fn new(width: f64, height: f64, title: &str) -> Self {
        let mut marks = Definitions::new();
        for colour in [INK, FAINT, RED, BLUE, GREEN] {
            marks = marks.add(
                Marker::new()
                    .set("id", id(colour))
                    .set("viewBox", (0, 0, 10, 10))
                    .set("refX", 9)
                    .set("refY", 5)
                    .set("markerWidth", 7)
                    .set("markerHeight", 7)
                    .set("orient", "auto")
                    .add(Path::new().set("d", "M0,0 L10,5 L0,10 z").set("fill", colour)),
            );
        }
        let paper =
            Rectangle::new().set("width", width).set("height", height).set("rx", 12).set("fill", "#ffffff");
        let document = Document::new()
            .set("viewBox", (0, 0, width, height))
            .set("width", width)
            .set("height", height)
            .set("font-family", "DejaVu Sans, Verdana, Helvetica, sans-serif")
            .set("role", "img")
            .add(svg::node::element::Title::new(title))
            .add(marks)
            .add(paper.set("stroke", "#e2e8f0"));
        Self(document)
    }

    fn add(&mut self, node: impl Into<Box<dyn Node>>) {
        self.0.append(node);
    }

    /// A word or a line of them.
    pub(super) fn text(
        &mut self,
        at: (f64, f64),
        side: Side,
        size: u32,
        colour: &str,
        bold: bool,
        text: &str,
    ) {
        let anchor = match side {
            Side::Left => "end",
            Side::Right => "start",
            Side::Middle => "middle",
        };
        let node = Text::new(text)
            .set("x", round(at.0))
            .set("y", round(at.1))
            .set("text-anchor", anchor)
            .set("font-size", size)
            .set("fill", colour)
            .set("font-weight", if bold { 600 } else { 400 })
            // Readable across a line.
            .set("stroke", "#ffffff")
            .set("stroke-width", 4)
            .set("stroke-linejoin", "round")
            .set("paint-order", "stroke");
        self.add(node);
    }

    /// An arrow, dashed for an answer.
    pub(super) fn arrow(&mut self, from: (f64, f64), to: (f64, f64), colour: &str, dashed: bool) {
        let line = line(from, to, colour, 1.8).set("marker-end", format!("url(#{})", id(colour)));
        self.add(if dashed { line.set("stroke-dasharray", "5 4") } else { line });
    }

    /// A line, dotted.
    pub(super) fn dots(&mut self, from: (f64, f64), to: (f64, f64), colour: &str) {
        self.add(line(from, to, colour, 1.4).set("stroke-dasharray", "2 4"));
    }

    /// A lane.
    pub(super) fn lane(&mut self, x: f64, from: f64, to: f64) {
        self.add(line((x, from), (x, to), "#cbd5e1", 2.0));
    }

    /// A bar on a lane.
    pub(super) fn bar(&mut self, x: f64, from: f64, to: f64, colour: &str, strength: f64) {
        let bar = Rectangle::new()
            .set("x", round(x - 8.0))
            .set("y", round(from))
            .set("width", 16)
            .set("height", round(to - from))
            .set("rx", 4)
            .set("fill", colour)
            .set("fill-opacity", strength)
            .set("stroke", colour);
        self.add(bar);
    }

    /// A box with a name.
    pub(super) fn name(&mut self, x: f64, y: f64, colour: &str, name: &str, below: &str) {
        let frame = Rectangle::new()
            .set("x", round(x - 85.0))
            .set("y", round(y))
            .set("width", 170)
            .set("height", 46)
            .set("rx", 8)
            .set("fill", "#f8fafc")
            .set("stroke", colour)
            .set("stroke-width", 1.6);
        self.add(frame);
        self.text((x, y + 20.0), Side::Middle, 15, colour, true, name);
        self.text((x, y + 37.0), Side::Middle, 12, FAINT, false, below);
    }

    /// That it ends here.
    pub(super) fn cross(&mut self, x: f64, y: f64) {
        self.add(Circle::new().set("cx", round(x)).set("cy", round(y)).set("r", 9).set("fill", RED));
        let strokes = format!("M{0},{1} l8,8 M{0},{2} l8,-8", round(x - 4.0), round(y - 4.0), round(y + 4.0));
        self.add(Path::new().set("d", strokes).set("stroke", "#ffffff").set("stroke-width", 2.2));
    }

    pub(super) fn finish(self) -> String {
        format!("{}\n", self.0)
    }
}

fn line(from: (f64, f64), to: (f64, f64), colour: &str, width: f64) -> Line {
    Line::new()
        .set("x1", round(from.0))
        .set("y1", round(from.1))
        .set("x2", round(to.0))
        .set("y2", round(to.1))
        .set("stroke", colour)
        .set("stroke-width", width)
}

fn round(number: f64) -> f64 {
    (number * 10.0).round() / 10.0
}

fn id(colour: &str) -> String {
    format!("to-{}", &colour[1..])
}
