//! Curves as a picture: a small SVG text of our own.

use std::fmt::Write as _;

/// Points that belong together.
#[derive(Clone, Debug)]
pub(super) struct Curve {
    pub(super) name: String,
    pub(super) colour: &'static str,
    pub(super) points: Vec<(f64, f64)>,
}

const WIDTH: f64 = 720.0;
const HEIGHT: f64 = 420.0;
const LEFT: f64 = 84.0;
const RIGHT: f64 = 24.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 48.0;
/// Lines across, from the bottom to the top.
const LINES: usize = 5;
/// A curve that falls so far is drawn by its logarithm.
const FAR: f64 = 100.0;

/// What one axis shows: from the least value to the largest, perhaps by their logarithms.
#[derive(Clone, Copy, Debug)]
struct Axis {
    least: f64,
    largest: f64,
    logarithmic: bool,
}

impl Axis {
    fn of(values: impl Iterator<Item = f64> + Clone, may_be_logarithmic: bool) -> Self {
        let finite = values.filter(|value| value.is_finite());
        let least = finite.clone().fold(f64::INFINITY, f64::min);
        let largest = finite.fold(f64::NEG_INFINITY, f64::max);
        let (least, largest) = match least <= largest {
            true => (least, largest),
            false => (0.0, 1.0),
        };
        let logarithmic = may_be_logarithmic && least > 0.0 && largest / least > FAR;
        // one value alone stands in the middle
        let around = match largest > least {
            true => 0.0,
            false => 0.5 * largest.abs().max(1e-9),
        };
        Self {
            least: least - around,
            largest: largest + around,
            logarithmic,
        }
    }

    /// Where a value is, from 0 to 1.
    fn share(&self, value: f64) -> f64 {
        match self.logarithmic {
            true => (value / self.least).ln() / (self.largest / self.least).ln(),
            false => (value - self.least) / (self.largest - self.least),
        }
    }

    fn value(&self, share: f64) -> f64 {
        match self.logarithmic {
            true => self.least * (self.largest / self.least).powf(share),
            false => self.least + share * (self.largest - self.least),
        }
    }
}

/// The curves in one picture, `below` the horizontal axis its name. Values that are not finite are left out.
pub(super) fn svg(curves: &[Curve], below: &str) -> String {
    let points = || curves.iter().flat_map(|curve| curve.points.iter());
    let across = Axis::of(points().map(|(x, _)| *x), false);
    let upwards = Axis::of(points().map(|(_, y)| *y), true);
    let x = |value: f64| LEFT + across.share(value) * (WIDTH - LEFT - RIGHT);
    let y = |share: f64| HEIGHT - BOTTOM - share * (HEIGHT - TOP - BOTTOM);
    let mut text = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" font-family=\"sans-serif\" font-size=\"13\">\n\
         <rect width=\"{WIDTH}\" height=\"{HEIGHT}\" fill=\"white\"/>\n"
    );
    for line in 0..=LINES {
        let share = line as f64 / LINES as f64;
        let (height, value) = (y(share), upwards.value(share));
        let end = WIDTH - RIGHT;
        _ = writeln!(
            text,
            "<line x1=\"{LEFT}\" y1=\"{height:.1}\" x2=\"{end}\" y2=\"{height:.1}\" stroke=\"#ddd\"/>"
        );
        let (left, height) = (LEFT - 8.0, height + 4.0);
        _ = writeln!(
            text,
            "<text x=\"{left}\" y=\"{height:.1}\" text-anchor=\"end\" fill=\"#444\">{}</text>",
            label(value)
        );
    }
    let (bottom, middle) = (HEIGHT - BOTTOM + 18.0, LEFT + (WIDTH - LEFT - RIGHT) / 2.0);
    for value in [across.least, across.largest] {
        let (left, value) = (x(value), label(value));
        _ = writeln!(
            text,
            "<text x=\"{left:.1}\" y=\"{bottom}\" text-anchor=\"middle\" fill=\"#444\">{value}</text>"
        );
    }
    _ = writeln!(
        text,
        "<text x=\"{middle}\" y=\"{bottom}\" text-anchor=\"middle\" fill=\"#444\">{below}</text>"
    );
    for (number, curve) in curves.iter().filter(|curve| !curve.points.is_empty()).enumerate() {
        let finite = curve.points.iter().filter(|(x, y)| x.is_finite() && y.is_finite());
        let placed: Vec<(f64, f64)> = finite.map(|(from, to)| (x(*from), y(upwards.share(*to)))).collect();
        draw(&mut text, curve, &placed, LEFT + 120.0 * number as f64);
    }
    text.push_str("</svg>\n");
    text
}

/// A line through the points, or the point alone, and the name of the curve above.
fn draw(text: &mut String, curve: &Curve, placed: &[(f64, f64)], left: f64) {
    let colour = curve.colour;
    match placed {
        [] => {}
        [(x, y)] => _ = writeln!(text, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{colour}\"/>"),
        placed => {
            let points: Vec<String> = placed.iter().map(|(x, y)| format!("{x:.1},{y:.1}")).collect();
            let points = points.join(" ");
            _ = writeln!(
                text,
                "<polyline points=\"{points}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>"
            );
        }
    }
    let (top, name) = (TOP - 16.0, &curve.name);
    _ = writeln!(text, "<text x=\"{left}\" y=\"{top}\" fill=\"{colour}\">{name}</text>");
}

fn label(value: f64) -> String {
    match value.abs() {
        size if size != 0.0 && !(1e-2..1e5).contains(&size) => format!("{value:.1e}"),
        size if size >= 100.0 || value.fract() == 0.0 => format!("{value:.0}"),
        _ => format!("{value:.3}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn axes_span_the_finite_values() {
        let axis = Axis::of([f64::NAN, 2.0, 6.0, f64::INFINITY].into_iter(), true);
        assert_eq!((axis.share(2.0), axis.share(5.0), axis.value(0.5)), (0.0, 0.75, 4.0));
        let far = Axis::of([1.0, 1e4].into_iter(), true);
        assert!((far.share(1e2) - 0.5).abs() < 1e-12 && (far.value(0.25) - 10.0).abs() < 1e-9);
        assert!(!Axis::of([0.0, 1e4].into_iter(), true).logarithmic);
        let one = Axis::of([3.0].into_iter(), true);
        assert_eq!(one.share(3.0), 0.5);
        assert_eq!(Axis::of(std::iter::empty(), true).value(1.0), 1.0);
    }
}
