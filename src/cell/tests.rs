use ndarray::{ArcArray2, Array2};

use super::*;

fn cell(rule: Rule) -> Cell {
    Cell {
        rule,
        features: 2,
        units: 3,
        output: 3,
    }
}

/// The number says row, gate, unit; `gates` blocks of three units.
fn tensor(rows: usize, gates: usize, hundreds: usize) -> ArcArray2<f32> {
    let number = |(row, column): (usize, usize)| (hundreds * 1000 + row * 100 + column / 3 * 10 + column % 3) as f32;
    Array2::from_shape_fn((rows, 3 * gates), number).into_shared()
}

fn weights(cell: &Cell) -> CellWeights {
    CellWeights {
        kernel: tensor(2, cell.gates(), 1),
        recurrent_kernel: tensor(3, cell.gates(), 2),
        bias: Some(tensor(cell.bias_rows(), cell.gates(), 3)),
        peepholes: None,
        projection: None,
    }
}

#[test]
fn an_lstm_has_a_lane_for_each_gate() {
    let cell = cell(Rule::Lstm(LstmOptions::new()));
    let weights = weights(&cell);
    assert!(weights.check(&cell, ValueRange::Finite).is_ok());
    for gate in 0..4 {
        let here = (gate * 10 + 2) as f32;
        assert_eq!(cell.kernel_lane(&weights, 1, gate, 2), 1100.0 + here);
        assert_eq!(cell.recurrent_lane(&weights, 2, gate, 2), 2200.0 + here);
        assert_eq!(cell.bias_lane(&weights, gate, 2), 3000.0 + here);
    }
    assert_eq!(cell.state_widths().collect::<Vec<_>>(), [3, 3]);
    assert_eq!(cell.obstacle(), None);
}

/// The fourth lane holds what the hidden state gives to the candidate, with the second bias.
#[test]
fn a_gru_keeps_the_two_parts_of_its_candidate_apart() {
    let cell = cell(Rule::Gru(GruOptions::new()));
    let weights = weights(&cell);
    assert!(weights.check(&cell, ValueRange::Finite).is_ok());
    let kernel: Vec<f32> = (0..4).map(|lane| cell.kernel_lane(&weights, 1, lane, 2)).collect();
    let recurrent: Vec<f32> = (0..4).map(|lane| cell.recurrent_lane(&weights, 1, lane, 2)).collect();
    let bias: Vec<f32> = (0..4).map(|lane| cell.bias_lane(&weights, lane, 2)).collect();
    assert_eq!(kernel, [1102.0, 1112.0, 1122.0, 0.0]);
    assert_eq!(recurrent, [2102.0, 2112.0, 0.0, 2122.0]);
    assert_eq!(bias, [3002.0 + 3102.0, 3012.0 + 3112.0, 3022.0, 3122.0]);
    assert_eq!(cell.state_widths().collect::<Vec<_>>(), [3]);
    assert_eq!(cell.obstacle(), None);
}

#[test]
fn a_reset_before_the_product_is_an_obstacle() {
    let mut options = GruOptions::new();
    options.reset_after = false;
    let cell = cell(Rule::Gru(options));
    let weights = weights(&cell);
    assert!(weights.check(&cell, ValueRange::Finite).is_ok());
    assert_eq!(cell.recurrent_lane(&weights, 1, 2, 2), 2122.0);
    assert!(cell.lanes()[2].of_reset);
    assert_eq!(cell.bias_lane(&weights, 2, 2), 3022.0);
    assert!(cell.obstacle().is_some());
}

#[test]
fn tensors_that_the_options_do_not_ask_for_are_refused_and_missing_ones_too() {
    let mut options = LstmOptions::new();
    options.peepholes = true;
    let cell = cell(Rule::Lstm(options));
    let mut weights = weights(&cell);
    assert!(weights.check(&cell, ValueRange::Finite).is_err());
    weights.peepholes = Some(tensor(3, 1, 4));
    assert!(weights.check(&cell, ValueRange::Finite).is_ok());
    assert_eq!(cell.unit_parameters(&weights, 1), [4001.0, 4101.0, 4201.0, 0.0]);
    weights.projection = Some(tensor(3, 1, 5));
    assert!(weights.check(&cell, ValueRange::Finite).is_err());
}

#[test]
fn parameters_are_counted() {
    let mut options = LstmOptions::new();
    assert_eq!(cell(Rule::Lstm(options)).parameter_count(true), 12 * (2 + 3 + 1));
    options.projection = Some(1);
    options.peepholes = true;
    let projected = Cell {
        output: 1,
        ..cell(Rule::Lstm(options))
    };
    assert_eq!(projected.parameter_count(false), 12 * (2 + 1) + 3 * 3 + 3);
    assert_eq!(
        cell(Rule::Gru(GruOptions::new())).parameter_count(true),
        9 * (2 + 3 + 2)
    );
}
