//! For tests: the values of `golden/optimizers.safetensors`, which `golden/optimizers.py` has from Keras and PyTorch.

use std::path::PathBuf;

use ndarray::{ArrayD, IxDyn};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// The file.
pub(crate) struct Golden {
    bytes: Vec<u8>,
}

impl Golden {
    pub(crate) fn read() -> Self {
        let folder = std::env::var_os("CARGO_MANIFEST_DIR");
        let folder = folder.map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from);
        let bytes = std::fs::read(folder.join("golden/optimizers.safetensors")).unwrap();
        Self { bytes }
    }

    /// What the metadata say.
    pub(crate) fn about(&self) -> Value {
        let (_, metadata) = SafeTensors::read_metadata(&self.bytes).unwrap();
        let metadata = metadata.metadata().as_ref().unwrap();
        serde_json::from_str(&metadata["optimizers"]).unwrap()
    }

    /// Whether there is such a tensor.
    pub(crate) fn has(&self, name: &str) -> bool {
        SafeTensors::deserialize(&self.bytes).unwrap().tensor(name).is_ok()
    }

    /// A tensor of any kind of numbers.
    pub(crate) fn array(&self, name: &str) -> ArrayD<f64> {
        let tensors = SafeTensors::deserialize(&self.bytes).unwrap();
        let tensor = tensors.tensor(name).unwrap();
        let values: Vec<f64> = match tensor.dtype() {
            Dtype::F32 => numbers(tensor.data(), |bytes| f64::from(f32::from_le_bytes(bytes))),
            Dtype::F64 => numbers(tensor.data(), f64::from_le_bytes),
            Dtype::I64 => numbers(tensor.data(), |bytes| i64::from_le_bytes(bytes) as f64),
            other => panic!("{name} has the type {other:?}"),
        };
        ArrayD::from_shape_vec(IxDyn(tensor.shape()), values).unwrap()
    }

    /// The same, rounded.
    pub(crate) fn single(&self, name: &str) -> ArrayD<f32> {
        self.array(name).mapv(|value| value as f32)
    }
}

fn numbers<const BYTES: usize>(data: &[u8], number: impl Fn([u8; BYTES]) -> f64) -> Vec<f64> {
    let (numbers, rest) = data.as_chunks::<BYTES>();
    assert!(rest.is_empty());
    numbers.iter().map(|&bytes| number(bytes)).collect()
}

/// Panics unless all numbers are near each other; NaN is near nothing.
pub(crate) fn assert_near(what: &str, got: &ArrayD<f64>, want: &ArrayD<f64>, tolerance: f64) {
    assert_eq!(got.shape(), want.shape(), "{what}");
    for ((index, got), want) in got.indexed_iter().zip(want) {
        let difference = (got - want).abs();
        assert!(
            difference <= tolerance * (1.0 + want.abs()),
            "{what} at {index:?}: got {got}, want {want}"
        );
    }
}

#[test]
fn near_is_near() {
    let array = |value: f64| ArrayD::from_elem(IxDyn(&[2]), value);
    assert_near("same", &array(1.0), &array(1.0 + 1e-7), 1e-6);
    for wrong in [1.0 + 1e-5, f64::NAN, f64::INFINITY] {
        let judged = std::panic::catch_unwind(|| assert_near("wrong", &array(wrong), &array(1.0), 1e-6));
        assert!(judged.is_err(), "{wrong}");
    }
}
