#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test fails by panicking"
)]

use super::*;

fn moments(values: &Array2<f32>) -> (f64, f64) {
    let count = values.len() as f64;
    let mean = values.iter().map(|value| f64::from(*value)).sum::<f64>() / count;
    let square = values
        .iter()
        .map(|value| (f64::from(*value) - mean).powi(2))
        .sum::<f64>()
        / count;
    (mean, square.sqrt())
}

fn extremes(values: &Array2<f32>) -> (f64, f64) {
    values
        .iter()
        .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), &value| {
            (low.min(f64::from(value)), high.max(f64::from(value)))
        })
}

/// The largest difference between rows · rowsᵀ (or columnsᵀ · columns, for a tall matrix) and the identity.
fn orthonormality(values: &Array2<f32>) -> f64 {
    let values = values.mapv(f64::from);
    let product = if values.nrows() <= values.ncols() {
        values.dot(&values.t())
    } else {
        values.t().dot(&values)
    };
    product
        .indexed_iter()
        .map(|((row, column), value)| (value - if row == column { 1.0 } else { 0.0 }).abs())
        .fold(0.0, f64::max)
}

#[test]
fn uniform_ones_fill_their_range() {
    let shape = (200, 300);
    let (fan_in, fan_out) = (200.0_f64, 300.0_f64);
    for (initializer, low, high) in [
        (
            Initializer::GlorotUniform,
            -(6.0 / (fan_in + fan_out)).sqrt(),
            (6.0 / (fan_in + fan_out)).sqrt(),
        ),
        (Initializer::HeUniform, -(6.0 / fan_in).sqrt(), (6.0 / fan_in).sqrt()),
        (Initializer::LecunUniform, -(3.0 / fan_in).sqrt(), (3.0 / fan_in).sqrt()),
        (Initializer::RandomUniform { min: -0.05, max: 0.05 }, -0.05, 0.05),
        (Initializer::RandomUniform { min: 2.0, max: 5.0 }, 2.0, 5.0),
    ] {
        let values = initializer.draw(shape, 1, 0).unwrap();
        let (width, (smallest, largest)) = (high - low, extremes(&values));
        assert!(
            smallest >= low - 1e-7 && smallest < low + 1e-3 * width,
            "{initializer}: {smallest} for {low}"
        );
        assert!(
            largest <= high + 1e-7 && largest > high - 1e-3 * width,
            "{initializer}: {largest} for {high}"
        );
        let (mean, deviation) = moments(&values);
        assert!(
            (mean - 0.5 * (low + high)).abs() < 0.01 * width,
            "{initializer}: mean {mean}"
        );
        assert!(
            (deviation - width / 12.0_f64.sqrt()).abs() < 0.01 * width,
            "{initializer}: deviation {deviation}"
        );
    }
}

#[test]
fn normal_ones_have_their_moments() {
    let shape = (200, 300);
    let truncated = 0.879_625_661_034_239_8;
    for (initializer, mean, deviation, cut) in [
        (
            Initializer::GlorotNormal,
            0.0,
            (2.0 / 500.0_f64).sqrt(),
            2.0 / truncated,
        ),
        (Initializer::HeNormal, 0.0, (2.0 / 200.0_f64).sqrt(), 2.0 / truncated),
        (Initializer::LecunNormal, 0.0, (1.0 / 200.0_f64).sqrt(), 2.0 / truncated),
        (
            Initializer::TruncatedNormal {
                mean: 1.0,
                deviation: 0.5,
            },
            1.0,
            0.5 * truncated,
            2.0 / truncated,
        ),
        (
            Initializer::RandomNormal {
                mean: -1.0,
                deviation: 2.0,
            },
            -1.0,
            2.0,
            6.0,
        ),
    ] {
        let values = initializer.draw(shape, 2, 0).unwrap();
        let (got_mean, got_deviation) = moments(&values);
        assert!(
            (got_mean - mean).abs() < 0.02 * deviation,
            "{initializer}: mean {got_mean}"
        );
        assert!(
            (got_deviation / deviation - 1.0).abs() < 0.01,
            "{initializer}: deviation {got_deviation}"
        );
        let (low, high) = extremes(&values);
        assert!(
            low >= mean - cut * deviation - 1e-6 && high <= mean + cut * deviation + 1e-6,
            "{initializer}"
        );
        // The whole range is used: far more than one deviation on either side.
        assert!(low < mean - 0.9 * cut.min(4.0) * deviation && high > mean + 0.9 * cut.min(4.0) * deviation);
    }
}

#[test]
fn orthogonal_rows_or_columns_are_orthonormal() {
    for shape in [
        (1, 1),
        (1, 4),
        (4, 1),
        (3, 12),
        (12, 3),
        (33, 33),
        (64, 256),
        (100, 257),
        (256, 64),
    ] {
        let values = Initializer::Orthogonal { gain: 1.0 }.draw(shape, 3, 0).unwrap();
        assert_eq!(values.dim(), shape);
        let error = orthonormality(&values);
        assert!(error < 1e-6, "{shape:?}: {error}");
    }
    let plain = Initializer::Orthogonal { gain: 1.0 }.draw((5, 20), 3, 0).unwrap();
    let twice = Initializer::Orthogonal { gain: 2.0 }.draw((5, 20), 3, 0).unwrap();
    assert_eq!(plain.mapv(|value| 2.0 * value), twice);
    // Spread over the whole sphere: the mean of 64 · 256 numbers of deviation 1/16 is near 0.
    let (mean, deviation) = moments(&Initializer::Orthogonal { gain: 1.0 }.draw((64, 256), 4, 0).unwrap());
    assert!(
        mean.abs() < 0.002 && (deviation - 1.0 / 16.0).abs() < 1e-4,
        "{mean} {deviation}"
    );
}

#[test]
#[cfg_attr(debug_assertions, ignore = "seconds in release, a minute in debug")]
fn orthogonal_is_good_for_a_thousand_units() {
    let start = std::time::Instant::now();
    let values = Initializer::Orthogonal { gain: 1.0 }.draw((1024, 4096), 5, 0).unwrap();
    println!("orthogonal (1024, 4096): {:?}", start.elapsed());
    let error = orthonormality(&values);
    assert!(error < 1e-5, "{error}");
}

#[test]
fn plain_ones_are_plain() {
    for (initializer, value) in [
        (Initializer::Zeros, 0.0),
        (Initializer::Ones, 1.0),
        (Initializer::Constant(-2.5), -2.5),
    ] {
        assert_eq!(
            initializer.draw((2, 3), 0, 0).unwrap(),
            Array2::from_elem((2, 3), value)
        );
    }
    let identity = Initializer::Identity { gain: 3.0 }.draw((2, 3), 0, 0).unwrap();
    assert_eq!(identity, ndarray::array![[3.0, 0.0, 0.0], [0.0, 3.0, 0.0]]);
    let tall = Initializer::Identity { gain: 1.0 }.draw((3, 2), 0, 0).unwrap();
    assert_eq!(tall, ndarray::array![[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]);
}

#[test]
fn a_seed_means_the_same_bits_everywhere() {
    for (initializer, bits) in [
        (
            Initializer::GlorotUniform,
            [0xbf68_f3c5, 0xbed9_ce2e, 0x3e90_c88f, 0xbc77_9145],
        ),
        (
            Initializer::RandomNormal {
                mean: 0.0,
                deviation: 1.0,
            },
            [0xbe77_d28e, 0x3eee_3e70, 0xbfb0_d412, 0x3d5b_6e43],
        ),
        (
            Initializer::HeNormal,
            [0xbe8c_de3f, 0x3f07_6c67, 0xbfc9_06e1, 0x3d79_758d],
        ),
        (
            Initializer::Orthogonal { gain: 1.0 },
            [0xbeec_3fcf, 0x3f63_1e33, 0xbf63_1e33, 0xbeec_3fcf],
        ),
    ] {
        let values = initializer.draw((2, 2), 42, 7).unwrap();
        let got: Vec<u32> = values.iter().map(|value| value.to_bits()).collect();
        assert_eq!(got, bits, "{initializer}: {values}");
    }
}

#[test]
fn seeds_and_streams_differ() {
    let draw = |seed, stream| Initializer::GlorotUniform.draw((4, 4), seed, stream).unwrap();
    assert_eq!(draw(1, 2), draw(1, 2));
    assert_ne!(draw(1, 2), draw(1, 3));
    assert_ne!(draw(1, 2), draw(2, 2));
}

#[test]
fn parameters_without_sense_are_errors() {
    use Initializer as I;
    for (initializer, word) in [
        (I::RandomUniform { min: 1.0, max: 0.0 }, "min"),
        (
            I::RandomUniform {
                min: f32::NAN,
                max: 0.0,
            },
            "min",
        ),
        (
            I::RandomUniform {
                min: 0.0,
                max: f32::INFINITY,
            },
            "max",
        ),
        (
            I::RandomNormal {
                mean: 0.0,
                deviation: -1.0,
            },
            "deviation",
        ),
        (
            I::RandomNormal {
                mean: f32::NAN,
                deviation: 1.0,
            },
            "mean",
        ),
        (
            I::TruncatedNormal {
                mean: 0.0,
                deviation: f32::NAN,
            },
            "deviation",
        ),
        (I::Orthogonal { gain: f32::NAN }, "gain"),
        (I::Identity { gain: f32::INFINITY }, "gain"),
        (I::Constant(f32::NAN), "value"),
    ] {
        let error = initializer.draw((2, 2), 0, 0).unwrap_err();
        assert!(
            matches!(&error, Error::Value { argument, .. } if argument.ends_with(word)),
            "{error}"
        );
    }
    for shape in [(0, 4), (4, 0), (0, 0), (usize::MAX, 2), (usize::MAX / 8, 1)] {
        for initializer in [I::GlorotUniform, I::Orthogonal { gain: 1.0 }, I::Zeros] {
            let error = initializer.draw(shape, 0, 0).unwrap_err();
            assert!(matches!(error, Error::Size { .. }), "{shape:?}: {error}");
        }
    }
    // The ends of the ranges are fine.
    assert!(
        I::RandomUniform {
            min: f32::MIN,
            max: f32::MAX
        }
        .draw((2, 2), 0, 0)
        .unwrap()
        .iter()
        .all(|v| v.is_finite())
    );
    assert_eq!(
        I::RandomUniform { min: 1.0, max: 1.0 }.draw((1, 1), 0, 0).unwrap()[[0, 0]],
        1.0
    );
    assert_eq!(
        I::TruncatedNormal {
            mean: 3.0,
            deviation: 0.0
        }
        .draw((1, 1), 0, 0)
        .unwrap()[[0, 0]],
        3.0
    );
}

/// That the names are those of Keras is tested in `tests/hostile/names.rs`.
#[test]
fn names_are_read_back() {
    for (initializer, names) in NAMED {
        assert_eq!(names.first().copied(), Some(initializer.name()));
        assert_eq!(initializer.to_string(), initializer.name());
        for name in *names {
            assert_eq!(name.parse::<Initializer>().unwrap(), *initializer);
        }
    }
}

/// Both fans of one axis are its length (`compute_fans` of Keras 3.15).
#[test]
fn the_fans_of_a_bias_are_its_length() {
    for (initializer, limit) in [
        (Initializer::GlorotUniform, 3.0_f64),
        (Initializer::HeUniform, 6.0),
        (Initializer::LecunUniform, 3.0),
    ] {
        let parts = [400, 400, 800];
        let drawn = initializer.draw_bias("LSTM", &parts, 5, 0).unwrap();
        let mut start = 0;
        for part in parts {
            let limit = (limit / part as f64).sqrt();
            let largest = drawn
                .iter()
                .skip(start)
                .take(part)
                .fold(0.0_f32, |most, &value| most.max(value.abs()));
            assert!(
                (0.97 * limit..=limit + 1e-7).contains(&f64::from(largest)),
                "{initializer}: {largest} for {limit}"
            );
            start += part;
        }
    }
    let huge = Initializer::Ones.draw_bias("LSTM", &[usize::MAX, usize::MAX], 0, 0);
    assert!(matches!(huge, Err(Error::Size { .. })));
}
