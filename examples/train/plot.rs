//! The drawing: losses and forecasts, each beside Keras's.

use std::error::Error;
use std::ops::Range;

use ndarray::Array2;
use plotters::coord::Shift;
use plotters::coord::types::RangedCoordf32;
use plotters::prelude::*;

use crate::history::History;
use crate::series::Series;

type Area<'a> = DrawingArea<SVGBackend<'a>, Shift>;
type Chart<'a, 'b> = ChartContext<'a, SVGBackend<'b>, Cartesian2d<RangedCoordf32, RangedCoordf32>>;
type Points = Vec<(f32, f32)>;

const SIZE: (u32, u32) = (1200, 860);
const TOP: u32 = 390;
const FONT: &str = "Helvetica, Arial, sans-serif";
const TEXT: RGBColor = RGBColor(50, 54, 62);
const GRID: RGBColor = RGBColor(228, 231, 236);
const MEASURED: RGBColor = RGBColor(150, 156, 166);
/// Distinct with every kind of colour vision (Okabe and Ito).
const HERE: RGBColor = RGBColor(0, 114, 178);
const KERAS: RGBColor = RGBColor(213, 94, 0);
/// The batches over which the losses of random stretches are averaged.
const SMOOTHED: usize = 9;

/// All that is drawn; of two, the first is this crate's and the second Keras's.
#[derive(Debug)]
pub(crate) struct Drawing<'a> {
    pub(crate) series: &'a Series,
    pub(crate) histories: &'a [History],
    pub(crate) forecasts: [&'a Array2<f32>; 2],
    pub(crate) compared: [&'a [f64]; 2],
    pub(crate) losses: [&'a [f64]; 2],
    /// Of the first of our `losses`, from 1: a training that goes on begins later.
    pub(crate) first_batch: usize,
}

impl Drawing<'_> {
    /// The text of an SVG file.
    pub(crate) fn draw(&self) -> Result<String, Box<dyn Error>> {
        let mut svg = String::new();
        {
            let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
            area.fill(&WHITE)?;
            let (losses, forecasts) = area.split_vertically(TOP);
            let (compared, trained) = losses.split_horizontally(SIZE.0 / 2);
            let points = |losses: &[f64], first: usize| {
                (first..)
                    .zip(losses)
                    .map(|(batch, loss)| (batch as f32, *loss as f32))
                    .collect()
            };
            self.draw_losses(
                &compared,
                "Same weights, same batches: the losses of Keras",
                self.compared.map(|losses| points(losses, 1)),
                true,
            )?;
            self.draw_losses(
                &trained,
                "From nothing: losses of random stretches, smoothed",
                [
                    points(&smoothed(self.losses[0]), self.first_batch),
                    points(&smoothed(self.losses[1]), 1),
                ],
                false,
            )?;
            self.draw_forecasts(&forecasts)?;
            area.present()?;
        }
        Ok(svg)
    }

    /// Keras's losses as a line; ours as dots where they should lie on the line, else as a line too.
    fn draw_losses(
        &self,
        area: &Area<'_>,
        title: &str,
        [here, keras]: [Points; 2],
        dots: bool,
    ) -> Result<(), Box<dyn Error>> {
        let all = || here.iter().chain(&keras);
        let batches = 0.0..all().map(|point| point.0).fold(1.0, f32::max) + 1.0;
        let (low, high) = all().fold((f32::MAX, 0.0), |(low, high), point| {
            (point.1.min(low), point.1.max(high))
        });
        let mut chart = chart(
            area,
            title,
            (batches, low * 0.9..high * 1.05),
            ["batch", "mean absolute error, scaled"],
        )?;
        line(&mut chart, keras, KERAS, "Keras")?;
        if dots {
            let dots = here.into_iter().map(|point| Circle::new(point, 4, HERE.filled()));
            let drawn = chart.draw_series(dots)?;
            drawn
                .label("here")
                .legend(|(x, y)| Circle::new((x + 13, y), 4, HERE.filled()));
        } else {
            line(&mut chart, here, HERE, "here")?;
        }
        legend(&mut chart, SeriesLabelPosition::UpperRight)
    }

    fn draw_forecasts(&self, area: &Area<'_>) -> Result<(), Box<dyn Error>> {
        let shown = || {
            self.histories
                .iter()
                .enumerate()
                .filter(|(_, history)| history.is_shown(self.series))
        };
        let first = shown()
            .next()
            .map_or(0, |(_, history)| history.origin.saturating_sub(11));
        let year = |place: usize| self.series.year(place) as f32;
        let measured: Points = (first..self.series.values.len())
            .map(|place| (year(place), self.series.values[place]))
            .collect();
        let high = measured
            .iter()
            .map(|point| point.1)
            .chain(self.forecasts.iter().flat_map(|of| of.iter().copied()));
        let top = high.fold(1.0, f32::max) * 1.08;
        let years = year(first)..year(self.series.values.len()) + 6.0;
        let title =
            "Sunspots, 5 years ahead: every forecast sees only the years up to its dot, training those up to 1958";
        let mut chart = chart(area, title, (years, 0.0..top), ["year", "yearly mean sunspot number"])?;
        line(&mut chart, measured, MEASURED, "measured")?;
        for (forecasts, color, label) in [
            (self.forecasts[1], KERAS, "trained in Keras"),
            (self.forecasts[0], HERE, "trained here"),
        ] {
            for (number, (row, history)) in shown().enumerate() {
                let origin = (year(history.origin), self.series.values[history.origin]);
                let ahead = forecasts.row(row).to_vec();
                let ahead = ahead
                    .into_iter()
                    .zip(1..)
                    .map(|(value, ahead)| (year(history.origin + ahead), value));
                let points: Points = std::iter::once(origin).chain(ahead).collect();
                line(&mut chart, points, color, if number == 0 { label } else { "" })?;
                chart.draw_series([Circle::new(origin, 4, TEXT.filled())])?;
            }
        }
        legend(&mut chart, SeriesLabelPosition::UpperLeft)
    }
}

/// The mean of each loss and those around it.
fn smoothed(losses: &[f64]) -> Vec<f64> {
    let around = |place: usize| {
        let window = &losses[place.saturating_sub(SMOOTHED / 2)..losses.len().min(place + SMOOTHED / 2 + 1)];
        window.iter().sum::<f64>() / window.len() as f64
    };
    (0..losses.len()).map(around).collect()
}

fn chart<'a, 'b>(
    area: &'a Area<'b>,
    title: &str,
    (x, y): (Range<f32>, Range<f32>),
    [x_desc, y_desc]: [&str; 2],
) -> Result<Chart<'a, 'b>, Box<dyn Error>> {
    let mut chart = ChartBuilder::on(area)
        .caption(title, (FONT, 18).into_font().color(&TEXT))
        .margin(16)
        .x_label_area_size(44)
        .y_label_area_size(56)
        .build_cartesian_2d(x, y)?;
    chart
        .configure_mesh()
        .disable_x_mesh()
        .light_line_style(TRANSPARENT)
        .bold_line_style(GRID)
        .axis_style(MEASURED)
        .x_desc(x_desc)
        .y_desc(y_desc)
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| {
            if *value < 10.0 && *value != 0.0 {
                format!("{value:.2}")
            } else {
                format!("{value:.0}")
            }
        })
        .label_style((FONT, 14).into_font().color(&TEXT))
        .axis_desc_style((FONT, 15).into_font().color(&TEXT))
        .draw()?;
    Ok(chart)
}

/// A line, in the legend if it has a label.
fn line(chart: &mut Chart<'_, '_>, points: Points, color: RGBColor, label: &str) -> Result<(), Box<dyn Error>> {
    let drawn = chart.draw_series(LineSeries::new(points, color.stroke_width(2)))?;
    if !label.is_empty() {
        drawn
            .label(label)
            .legend(move |(x, y)| PathElement::new([(x, y), (x + 26, y)], color.stroke_width(2)));
    }
    Ok(())
}

fn legend<'a, 'b: 'a>(chart: &mut Chart<'a, 'b>, position: SeriesLabelPosition) -> Result<(), Box<dyn Error>> {
    chart
        .configure_series_labels()
        .position(position)
        .background_style(WHITE.mix(0.85))
        .border_style(GRID)
        .legend_area_size(36)
        .label_font((FONT, 14).into_font().color(&TEXT))
        .draw()?;
    Ok(())
}
