//! The drawing: accuracy by epoch, with masks and without.

use std::error::Error;

use plotters::prelude::*;

const SIZE: (u32, u32) = (900, 480);
const FONT: &str = "Helvetica, Arial, sans-serif";
const TEXT: RGBColor = RGBColor(50, 54, 62);
const GRID: RGBColor = RGBColor(228, 231, 236);
/// Distinct with every kind of colour vision (Okabe and Ito).
const MASKED: RGBColor = RGBColor(0, 114, 178);
const PLAIN: RGBColor = RGBColor(213, 94, 0);

/// The text of an SVG file.
pub(crate) fn draw(masked: &[f64], plain: &[f64]) -> Result<String, Box<dyn Error>> {
    let mut svg = String::new();
    {
        let area = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        area.fill(&WHITE)?;
        let mut chart = ChartBuilder::on(&area)
            .caption(
                "Who speaks? Utterances of 7 to 29 frames, nine speakers",
                (FONT, 20).into_font().color(&TEXT),
            )
            .margin(16)
            .x_label_area_size(44)
            .y_label_area_size(60)
            .build_cartesian_2d(0.5..masked.len() as f64 + 0.5, 0.0..1.0)?;
        chart
            .configure_mesh()
            .disable_x_mesh()
            .light_line_style(TRANSPARENT)
            .bold_line_style(GRID)
            .axis_style(TEXT)
            .x_desc("epoch")
            .y_desc("accuracy on the test")
            .x_label_formatter(&|epoch| format!("{epoch:.0}"))
            .y_label_formatter(&|share| format!("{:.0} %", share * 100.0))
            .label_style((FONT, 14).into_font().color(&TEXT))
            .axis_desc_style((FONT, 15).into_font().color(&TEXT))
            .draw()?;
        for (accuracies, color, label) in [
            (masked, MASKED, "with masks"),
            (plain, PLAIN, "padding counts as speech"),
        ] {
            let points = (1_u16..)
                .zip(accuracies)
                .map(|(epoch, accuracy)| (f64::from(epoch), *accuracy));
            chart
                .draw_series(LineSeries::new(points, color.stroke_width(3)))?
                .label(label)
                .legend(move |(x, y)| PathElement::new([(x, y), (x + 26, y)], color.stroke_width(3)));
        }
        chart
            .configure_series_labels()
            .position(SeriesLabelPosition::LowerRight)
            .background_style(WHITE.mix(0.85))
            .border_style(GRID)
            .legend_area_size(36)
            .label_font((FONT, 15).into_font().color(&TEXT))
            .draw()?;
        area.present()?;
    }
    Ok(svg)
}
