//! The drawing: what was measured, and the forecasts.

use std::error::Error;

use ndarray::{Array2, ArrayView1};
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf32;
use plotters::prelude::*;

use crate::history::{HORIZON, History, LENGTHS};
use crate::series::Series;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf32, RangedCoordf32>>;

const SIZE: (u32, u32) = (1200, 640);
/// Years drawn before the first origin.
const YEARS_BEFORE: usize = 46;
const FONT: &str = "Helvetica, Arial, sans-serif";
const MEASURED: RGBColor = RGBColor(70, 76, 86);
const TEXT: RGBColor = RGBColor(50, 54, 62);
/// The years that training did not see.
const UNSEEN: RGBColor = RGBColor(245, 247, 250);
const FIRST_UNSEEN: f32 = 1958.5;
const GRID: RGBColor = RGBColor(228, 231, 236);
/// One for each length of a history; distinct with every kind of colour vision (Okabe and Ito).
const COLORS: [RGBColor; LENGTHS.len()] = [
    RGBColor(0, 114, 178),
    RGBColor(213, 94, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
];

/// Draws everything and returns the text of an SVG file.
pub(crate) fn draw(
    series: &Series,
    histories: &[History],
    forecasts: &Array2<f32>,
    is_sunspots: bool,
) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        draw_title(&area, is_sunspots)?;
        let mut chart = chart(&area, series, histories, forecasts, is_sunspots)?;
        draw_measured(&mut chart, series, histories)?;
        draw_forecasts(&mut chart, series, histories, forecasts, false)?;
        draw_forecasts(&mut chart, series, histories, forecasts, true)?;
        draw_legend(&mut chart)?;
        area.present()?;
    }
    Ok(svg)
}

fn draw_title(area: &Area<'_>, is_sunspots: bool) -> Result<(), Box<dyn Error>> {
    let (title, below) = if is_sunspots {
        (
            "Sunspots, 5 years ahead",
            "An LSTM trained in Keras on 1700 to 1958; every forecast sees only the years up to its dot",
        )
    } else {
        (
            "5 years ahead",
            "An LSTM trained on sunspots, shown another series; every forecast sees only the years up to its dot",
        )
    };
    area.draw(&Text::new(
        title,
        (34, 20),
        (FONT, 26).into_font().style(FontStyle::Bold).color(&TEXT),
    ))?;
    area.draw(&Text::new(below, (34, 54), (FONT, 16).into_font().color(&TEXT)))?;
    Ok(())
}

fn chart<'a, 'b>(
    area: &'a Area<'b>,
    series: &Series,
    histories: &[History],
    forecasts: &Array2<f32>,
    is_sunspots: bool,
) -> Result<Chart<'a, 'b>, Box<dyn Error>> {
    let start = first_drawn(histories);
    let measured = series.values.iter().skip(start);
    let high = measured.chain(forecasts).copied().fold(0.0, f32::max);
    let top = high + (high * 0.08).max(1.0);
    let years = (series.year(start) as f32)..((series.last_year() + HORIZON as i32 + 1) as f32);
    let mut chart = ChartBuilder::on(area)
        .margin_top(84)
        .margin_right(28)
        .margin_bottom(14)
        .margin_left(22)
        .x_label_area_size(48)
        .y_label_area_size(58)
        .build_cartesian_2d(years, 0.0..top)?;
    if is_sunspots {
        draw_unseen(&mut chart)?;
    }
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(MEASURED)
        .x_labels(14)
        .y_labels(8)
        .x_label_formatter(&|year| format!("{year:.0}"))
        .y_label_formatter(&|value| {
            if value.abs() < 1e5 {
                format!("{value:.0}")
            } else {
                format!("{value:.1e}")
            }
        })
        .x_desc("year")
        .y_desc(if is_sunspots {
            "yearly mean sunspot number"
        } else {
            "value"
        })
        .label_style((FONT, 15).into_font().color(&TEXT))
        .axis_desc_style((FONT, 16).into_font().color(&TEXT))
        .draw()?;
    Ok(chart)
}

/// Shades the years that training did not see.
fn draw_unseen<'a, 'b: 'a>(chart: &mut Chart<'a, 'b>) -> Result<(), Box<dyn Error>> {
    let (years, values) = (chart.x_range(), chart.y_range());
    let corners = [(FIRST_UNSEEN, values.start), (years.end, values.end)];
    chart.draw_series([Rectangle::new(corners, UNSEEN.filled())])?;
    let style = (FONT, 15).into_font().color(&MEASURED.mix(0.75));
    let place = (FIRST_UNSEEN + 1.0, values.end * 0.945);
    chart.draw_series([Text::new("not seen in training", place, style)])?;
    Ok(())
}

fn draw_measured(chart: &mut Chart<'_, '_>, series: &Series, histories: &[History]) -> Result<(), Box<dyn Error>> {
    let start = first_drawn(histories);
    let points = series
        .values
        .iter()
        .enumerate()
        .skip(start)
        .map(|(index, value)| (series.year(index) as f32, *value));
    chart
        .draw_series(LineSeries::new(points, MEASURED.stroke_width(2)))?
        .label("measured")
        .legend(|(x, y)| PathElement::new([(x, y), (x + 26, y)], MEASURED.stroke_width(2)));
    Ok(())
}

/// The forecasts that are shown, in colours, or all others, thin.
fn draw_forecasts(
    chart: &mut Chart<'_, '_>,
    series: &Series,
    histories: &[History],
    forecasts: &Array2<f32>,
    shown: bool,
) -> Result<(), Box<dyn Error>> {
    let chosen = histories
        .iter()
        .zip(forecasts.rows())
        .filter(|(history, _)| history.is_shown(series) == shown);
    let thin = MEASURED.mix(0.3);
    let mut in_legend = [false; COLORS.len()];
    for (number, (history, forecast)) in chosen.enumerate() {
        let line = forecast_line(series, *history, forecast);
        if !shown {
            let ahead = line.into_iter().skip(1);
            let drawn = chart.draw_series(LineSeries::new(ahead, thin.stroke_width(1)))?;
            if number == 0 {
                drawn
                    .label("forecasts from the years between")
                    .legend(move |(x, y)| PathElement::new([(x, y), (x + 26, y)], thin.stroke_width(1)));
            }
            continue;
        }
        let kind = history.kind();
        let color = COLORS[kind];
        let origin = line.first().copied();
        let drawn = chart.draw_series(LineSeries::new(line, color.stroke_width(3)))?;
        if !std::mem::replace(&mut in_legend[kind], true) {
            let up_to = if history.length < LENGTHS[kind] { "up to " } else { "" };
            drawn
                .label(format!("forecast from {up_to}{} years", LENGTHS[kind]))
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 26, y)], color.stroke_width(3)));
        }
        chart.draw_series(origin.map(|point| Circle::new(point, 7, WHITE.filled())))?;
        chart.draw_series(origin.map(|point| Circle::new(point, 5, color.filled())))?;
    }
    Ok(())
}

/// The points of a forecast, beginning with the last measured one.
fn forecast_line(series: &Series, history: History, forecast: ArrayView1<'_, f32>) -> Vec<(f32, f32)> {
    let origin = series.values.get(history.origin).copied();
    let values = origin.into_iter().chain(forecast.iter().copied());
    values
        .enumerate()
        .map(|(ahead, value)| (series.year(history.origin + ahead) as f32, value))
        .collect()
}

fn draw_legend<'a, 'b: 'a>(chart: &mut Chart<'a, 'b>) -> Result<(), Box<dyn Error>> {
    chart
        .configure_series_labels()
        .position(SeriesLabelPosition::UpperLeft)
        .background_style(WHITE.mix(0.85))
        .border_style(GRID)
        .margin(14)
        .legend_area_size(36)
        .label_font((FONT, 15).into_font().color(&TEXT))
        .draw()?;
    Ok(())
}

/// The place of the first year that is drawn.
fn first_drawn(histories: &[History]) -> usize {
    histories
        .first()
        .map_or(0, |history| history.origin.saturating_sub(YEARS_BEFORE))
}
