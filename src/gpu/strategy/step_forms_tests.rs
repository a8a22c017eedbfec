//! Which form of a step is made and taken, by the numbers of a GPU.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use super::*;
use crate::gpu::strategy::numbers::H200;
use crate::gpu::strategy::step_layer::{ROOM, lstm};

const FLOOR: Allowed = Allowed {
    invocations: 256,
    bytes: 16 << 10,
};
/// The sketches that were measured on the H200 (`docs/benchmarks.md`): positions, units, and a workgroup's positions, units,
/// invocations and barriers; and the microseconds of a step.
#[test]
fn what_was_measured_follows_from_the_numbers() {
    let measured = [
        ([1, 512], [1, 4, 256, 2], 4.06),
        ([32, 256], [8, 8, 256, 2], 4.85),
        ([64, 512], [8, 16, 256, 2], 12.7),
        ([64, 512], [32, 8, 128, 2 * 4 + 2 * 7], 18.3),
        ([128, 1024], [64, 16, 256, 2 * 16 + 2 * 3], 50.0),
    ];
    for ([positions, units], [rows, tile, invocations, barriers], micros) in measured {
        let cost = Cost {
            rows,
            tile,
            invocations,
            barriers,
        };
        let told = 1e6 * cost.seconds(&H200, lstm(units, 16), positions);
        let ratio: f64 = told / micros;
        assert!(
            (0.7..1.3).contains(&ratio),
            "{positions} x {units}: {told:.2} µs, measured {micros}"
        );
    }
}

#[test]
fn few_forms_serve_all_positions() {
    for units in [4, 16, 32, 48, 64, 96, 128, 160, 256, 512, 1024, 2048, 8192] {
        for allowed in [FLOOR, ROOM] {
            for layer in [
                lstm(units, 16),
                Layer {
                    directions: 2,
                    lanes: 1,
                    weight_bytes: 4,
                    ..lstm(units, 16)
                },
            ] {
                let all = StepForm::all(layer, allowed);
                let few = StepForms::few(layer, H200, &all).unwrap();
                assert!(few.all().len() <= 8, "{:?}", few.all());
                for positions in [1, 2, 3, 7, 8, 30, 33, 64, 100, 128, 1000, 100_000] {
                    let (number, form) = few.by_positions(positions).unwrap();
                    assert!(few.needed(positions)[number]);
                    let of = |form: &StepForm| form.seconds(&H200, layer, positions.min(POSITIONS));
                    assert!(few.all().iter().all(|other| of(other) >= of(&form)));
                }
            }
        }
    }
}

/// Few positions never take a form of many, and where a step is longer than its dispatch half of the positions cost about half.
#[test]
fn positions_cost_what_they_are() {
    let few = |units| StepForms::few(lstm(units, 16), H200, &StepForm::all(lstm(units, 16), ROOM)).unwrap();
    assert_eq!(few(512).by_positions(1).unwrap().1.rows, 1);
    assert_eq!(few(1024).by_positions(128).unwrap().1.kind, Kind::Tile);
    for (units, positions) in [(512, 128), (1024, 256)] {
        let seconds = |positions| few(units).seconds(positions).unwrap();
        let ratio = seconds(positions / 2) / seconds(positions);
        assert!(ratio < 0.7, "{units} units: {ratio}");
    }
}
