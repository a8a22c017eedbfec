//! What is known of values that nobody looks at.
#![allow(clippy::unwrap_used, reason = "tests fail by panicking")]

use ndarray::array;

use super::*;
use crate::gpu::device::adapter::Adapter;
use crate::gpu::stage::prepared::Fits;
use crate::layer::gru::Gru;
use crate::model::Model;

#[test]
fn the_largest_value_is_known_of_those_that_are_numbers() {
    let of = |value: f32| most(&State::new(array![[0.25, value], [-0.5, 0.0]]));
    assert_eq!(of(-2.0), 2.0);
    assert_eq!(of(0.0), 0.5);
    assert_eq!(of(f32::NAN), f32::INFINITY);
    assert_eq!(of(f32::NEG_INFINITY), f32::INFINITY);
}

/// States are refused for matrix units where they may be beyond one: given so, or left so by cells without a bound.
#[test]
fn states_beyond_one_are_kept_from_matrix_units() {
    let model = Model::builder().add(Gru::new(3, 2)).build().unwrap();
    let fits = |is_within_one| Fits {
        cells: vec![is_within_one],
        denses: Vec::new(),
        tables: Vec::new(),
        transforms: Vec::new(),
    };
    for adapter in pollster::block_on(Adapter::all()) {
        let gpu = pollster::block_on(adapter.open_another()).unwrap();
        let make = |value: f32| {
            let state = [State::new(array![[value, 0.5]])];
            pollster::block_on(GpuStates::make(&gpu, 1, &model.plan().cells, Some(&state))).unwrap()
        };
        let refused = |states: &GpuStates| states.check_within_one(&fits(true)).is_err();
        assert!(refused(&make(1.5)) && refused(&make(f32::NAN)));
        let mut states = make(1.0);
        assert!(!refused(&states));
        states.ran(&fits(true));
        assert!(!refused(&states), "a cell within one leaves states within one");
        assert!(!refused(&pollster::block_on(states.select_async(&[0, 0])).unwrap()));
        states.ran(&fits(false));
        assert!(refused(&states), "a cell without a bound does not");
        assert!(
            states.check_within_one(&fits(false)).is_ok(),
            "which never steps by matrices"
        );
        assert!(refused(&pollster::block_on(states.select_async(&[0])).unwrap()));
    }
}
