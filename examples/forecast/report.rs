//! What the example prints about its forecasts.

use ndarray::{Array2, ArrayView1};

use crate::history::{HORIZON, History};
use crate::series::Series;

/// Prints, for each history that is shown, its forecast against what was measured.
pub(crate) fn print_forecasts(series: &Series, histories: &[History], forecasts: &Array2<f32>) {
    for (history, forecast) in histories.iter().zip(forecasts.rows()) {
        if history.is_shown(series) {
            print_forecast(series, *history, forecast);
        }
    }
}

fn print_forecast(series: &Series, history: History, forecast: ArrayView1<'_, f32>) {
    let measured = history.measured_after(series);
    println!(
        "\nafter {} (a history of {} years)",
        series.year(history.origin),
        history.length
    );
    let years = (1..=forecast.len()).map(|ahead| series.year(history.origin + ahead).to_string());
    println!("  year     {}", row(years));
    println!("  forecast {}", row(forecast.iter().map(|value| format!("{value:.1}"))));
    if !measured.is_empty() {
        println!("  measured {}", row(measured.iter().map(|value| format!("{value:.1}"))));
    }
}

fn row(cells: impl Iterator<Item = String>) -> String {
    cells.map(|cell| format!("{cell:>7}")).collect()
}

/// Prints the mean absolute errors beside those of three forecasts that need no network.
pub(crate) fn print_errors(series: &Series, histories: &[History], forecasts: &Array2<f32>) {
    let scored: Vec<(&History, ArrayView1<'_, f32>)> = histories
        .iter()
        .zip(forecasts.rows())
        .filter(|(history, _)| history.is_scored(series))
        .collect();
    let error = |guess: &dyn Fn(&History, ArrayView1<'_, f32>, usize) -> f32| {
        let mut sum = 0.0;
        for (history, forecast) in &scored {
            for (year, measured) in history.measured_after(series).iter().enumerate() {
                sum += f64::from((guess(history, *forecast, year) - measured).abs());
            }
        }
        sum / (scored.len() * HORIZON) as f64
    };
    let mean_until = |origin: usize| series.values[..=origin].iter().sum::<f32>() / (origin + 1) as f32;
    println!(
        "\nmean absolute error of the {} forecasts that can be compared:",
        scored.len()
    );
    println!(
        "  this network                 {:7.1}",
        error(&|_, forecast, year| forecast[year])
    );
    println!(
        "  the last value goes on       {:7.1}",
        error(&|history, _, _| series.values[history.origin])
    );
    let again =
        |history: &History, _: ArrayView1<'_, f32>, year: usize| series.values[history.origin + 1 + year - HORIZON];
    println!("  the last 11 years again      {:7.1}", error(&again));
    println!(
        "  the mean of all years so far {:7.1}",
        error(&|history, _, _| mean_until(history.origin))
    );
}

/// The largest absolute difference between two arrays; infinite where the shapes differ or a value is NaN.
pub(crate) fn largest_difference(left: &Array2<f32>, right: &Array2<f32>) -> f32 {
    if left.dim() != right.dim() {
        return f32::INFINITY;
    }
    let differences = left.iter().zip(right).map(|(left, right)| (left - right).abs());
    differences
        .map(|difference| if difference.is_nan() { f32::INFINITY } else { difference })
        .fold(0.0, f32::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_is_found_and_nan_is_no_agreement() {
        let zeros = Array2::zeros((1, 2));
        assert_eq!(largest_difference(&zeros, &ndarray::array![[0.25, -0.5]]), 0.5);
        assert_eq!(
            largest_difference(&zeros, &ndarray::array![[f32::NAN, 0.0]]),
            f32::INFINITY
        );
        assert_eq!(largest_difference(&zeros, &Array2::zeros((2, 2))), f32::INFINITY);
    }
}
