//! What the example prints about its forecasts.

use ndarray::Array2;

use crate::history::{CYCLE, HORIZON, History};
use crate::series::Series;

/// Prints, for each history that is shown, its forecast and what was measured.
pub(crate) fn print_forecasts(series: &Series, histories: &[History], forecasts: &Array2<f32>) {
    let width = 7 * HORIZON;
    println!(
        "\nafter   from years   {:<width$}   measured",
        "forecast of the 5 years after"
    );
    for (history, forecast) in histories.iter().zip(forecasts.rows()) {
        if history.is_shown(series) {
            println!(
                "{:<7} {:>10}   {}   {}",
                series.year(history.origin),
                history.length,
                row(forecast.iter().copied()),
                row(history.measured_after(series).iter().copied())
            );
        }
    }
}

fn row(values: impl Iterator<Item = f32>) -> String {
    values.map(|value| format!("{value:7.1}")).collect()
}

/// Prints the mean absolute errors of networks, year by year, beside those of three forecasts that need none.
pub(crate) fn print_errors(series: &Series, histories: &[History], networks: &[(&str, &Array2<f32>)]) {
    let scored: Vec<(usize, &History)> = histories
        .iter()
        .enumerate()
        .filter(|(_, history)| history.is_scored(series))
        .collect();
    let years: String = (1..=HORIZON).map(|ahead| format!("{ahead:7}")).collect();
    println!(
        "\nmean absolute error of the {} forecasts that can be compared, by years ahead",
        scored.len()
    );
    println!("  {:28}{years}   mean", "");
    let print = |name: &str, guess: &dyn Fn(usize, &History, usize) -> f32| {
        let mut errors = [0.0; HORIZON];
        for (row, history) in &scored {
            for (ahead, measured) in history.measured_after(series).iter().enumerate() {
                errors[ahead] += (guess(*row, history, ahead) - measured).abs() / scored.len() as f32;
            }
        }
        let mean = errors.iter().sum::<f32>() / HORIZON as f32;
        println!("  {name:28}{}", row(errors.into_iter().chain([mean])));
    };
    let values = &series.values;
    for (name, forecasts) in networks {
        print(name, &|row, _, ahead| forecasts[[row, ahead]]);
    }
    print("the last cycle again", &|_, history, ahead| {
        values[history.origin + 1 + ahead - CYCLE]
    });
    print("the last value goes on", &|_, history, _| values[history.origin]);
    print("the mean of all years so far", &|_, history, _| {
        values[..=history.origin].iter().sum::<f32>() / (history.origin + 1) as f32
    });
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
