//! Charts, a picture for each store.

use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use super::{Asked, Results};
use crate::measure::Measure;
use crate::record::{Setting, Who};
use crate::rival::{Failure, Kind};

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;

const FONT: &str = "sans-serif";

/// A curve: a figure by size.
const CURVES: [(&str, &str, Measure, &str); 4] = [
    ("hand-over, p50 µs", "contenders", Measure::Handover, "p50 µs"),
    ("asked of the server for each turn", "contenders", Measure::Handover, "requests each"),
    ("a free lock, p50 µs", "other locks held", Measure::Keys, "pair p50 µs"),
    ("hand-over, p50 µs", "waiting for the lock", Measure::Waiters, "p50 µs"),
];

/// The file of a store's picture.
pub(crate) fn file(store: &str) -> String {
    store.to_lowercase().replace(", ", "-") + ".svg"
}

/// Whether there is enough for a picture.
pub(crate) fn has(results: &Results, store: &str) -> bool {
    CURVES.iter().any(|(_, _, measure, _)| !results.sizes(store, *measure).is_empty())
}

/// Draws a store's picture.
pub(crate) fn draw(results: &Results, setting: &Setting, path: &Path) -> Result<(), Failure> {
    if !has(results, &setting.name) {
        return Ok(());
    }
    let root = SVGBackend::new(path, (1260, 760)).into_drawing_area();
    root.fill(&WHITE)?;
    let (head, body) = root.split_vertically(64);
    legend(&head, setting)?;
    let panels = body.split_evenly((2, 3));
    let bars = [
        ("a free lock, p50 µs", Measure::Pair, 1, "p50 µs"),
        ("pairs/s, 64 tasks", Measure::Throughput, 64, "pairs/s"),
    ];
    for (panel, (title, measure, size, name)) in panels.iter().zip(bars) {
        bar_chart(panel, title, &figures(results, setting, &Asked { measure, size, name }))?;
    }
    for (panel, (title, of, measure, name)) in panels[2..].iter().zip(CURVES) {
        let sizes = results.sizes(&setting.name, measure);
        let curves: Vec<_> = sizes
            .iter()
            .flat_map(|size| {
                let figures = figures(results, setting, &Asked { measure, size: *size, name });
                figures.into_iter().map(|(colour, figure)| (colour, (*size as f64, figure)))
            })
            .collect();
        line_chart(panel, title, of, &curves)?;
    }
    Ok(root.present()?)
}

/// What each rival has, in its colour.
fn figures(results: &Results, setting: &Setting, asked: &Asked<'_>) -> Vec<(RGBColor, f64)> {
    let each = setting.rivals.iter().enumerate().filter_map(|(n, who)| {
        let figure = results.figure(&asked.cell(&setting.name, &who.name), asked.name)?;
        Some((colour(who, n), figure))
    });
    each.collect()
}

fn colour(who: &Who, n: usize) -> RGBColor {
    const PEERS: [RGBColor; 5] = [
        full_palette::ORANGE,
        full_palette::PURPLE,
        full_palette::GREEN_600,
        full_palette::RED_700,
        full_palette::BROWN,
    ];
    match who.kind {
        Kind::Ours => full_palette::BLUE_700,
        Kind::Bare => [full_palette::GREY_500, full_palette::GREY_700][n % 2],
        Kind::Peer => PEERS[n % PEERS.len()],
    }
}

fn legend(area: &Area<'_>, setting: &Setting) -> Result<(), Failure> {
    let title = format!("{} ({})", setting.name, setting.version);
    area.draw(&Text::new(title, (16, 8), (FONT, 20).into_font()))?;
    let mut x = 16;
    for (n, who) in setting.rivals.iter().enumerate() {
        area.draw(&Rectangle::new([(x, 42), (x + 12, 54)], colour(who, n).filled()))?;
        area.draw(&Text::new(who.name.clone(), (x + 18, 40), (FONT, 14).into_font()))?;
        x += 50 + i32::try_from(who.name.len() * 8)?;
    }
    Ok(())
}

fn bar_chart(area: &Area<'_>, title: &str, figures: &[(RGBColor, f64)]) -> Result<(), Failure> {
    let most = figures.iter().map(|(_, figure)| *figure).fold(f64::MIN_POSITIVE, f64::max);
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 16))
        .margin(12)
        .x_label_area_size(12)
        .y_label_area_size(64)
        .build_cartesian_2d(0.0..figures.len().max(1) as f64, 0.0..most * 1.15)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .x_labels(0)
        .y_label_formatter(&|figure| short(*figure))
        .draw()?;
    for (n, (colour, figure)) in figures.iter().enumerate() {
        let (left, right) = (n as f64 + 0.15, n as f64 + 0.85);
        chart.draw_series([Rectangle::new([(left, 0.0), (right, *figure)], colour.filled())])?;
        let above = (left, figure + most * 0.07);
        chart.draw_series([Text::new(short(*figure), above, (FONT, 13).into_font())])?;
    }
    Ok(())
}

fn line_chart(
    area: &Area<'_>,
    title: &str,
    of: &str,
    points: &[(RGBColor, (f64, f64))],
) -> Result<(), Failure> {
    let span = |values: &mut dyn Iterator<Item = f64>| {
        values
            .filter(|value| *value > 0.0)
            .fold((f64::MAX, f64::MIN_POSITIVE), |(least, most), value| (least.min(value), most.max(value)))
    };
    if points.is_empty() {
        area.draw(&Text::new(format!("{title}: not measured"), (80, 80), (FONT, 14).into_font()))?;
        return Ok(());
    }
    let (left, right) = span(&mut points.iter().map(|(_, point)| point.0));
    let (low, high) = span(&mut points.iter().map(|(_, point)| point.1));
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 16))
        .margin(12)
        .x_label_area_size(40)
        .y_label_area_size(64)
        .build_cartesian_2d((left / 1.2..right * 1.2).log_scale(), decades(low, high).log_scale())?;
    let label = |figure: &f64| short(*figure);
    chart
        .configure_mesh()
        .x_desc(of)
        .x_label_formatter(&label)
        .y_label_formatter(&label)
        .light_line_style(TRANSPARENT)
        .draw()?;
    let mut colours = Vec::new();
    for (colour, _) in points {
        if !colours.contains(colour) {
            colours.push(*colour);
        }
    }
    // The first one, which is this project's, on top.
    for colour in colours.into_iter().rev() {
        let line: Vec<_> = points.iter().filter(|(its, _)| *its == colour).map(|(_, point)| *point).collect();
        chart.draw_series(LineSeries::new(line.iter().copied(), colour.stroke_width(2)))?;
        chart.draw_series(line.iter().map(|point| Circle::new(*point, 3, colour.filled())))?;
    }
    Ok(())
}

/// Whole powers of ten, which have labels.
fn decades(low: f64, high: f64) -> std::ops::Range<f64> {
    10_f64.powf(low.log10().floor())..10_f64.powf((high * 1.05).log10().ceil())
}

/// A figure in few letters.
fn short(figure: f64) -> String {
    let (figure, unit) = match figure {
        1e6.. => (figure / 1e6, " M"),
        1e3.. => (figure / 1e3, " k"),
        _ => (figure, ""),
    };
    let digits = match figure {
        100.0.. => 0,
        _ if figure.fract() == 0.0 => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{figure:.digits$}{unit}")
}
