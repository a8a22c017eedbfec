//! The files under golden/, as the tests of formats read them.

use std::fs;
use std::path::PathBuf;

use cellstate::Sequences;
use ndarray::{Array2, Array3, ArrayD, IxDyn};
use safetensors::{Dtype, SafeTensors};

/// A file under golden/.
pub(crate) fn golden(path: &str) -> PathBuf {
    let root = std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| PathBuf::from("."), PathBuf::from);
    root.join("golden").join(path)
}

pub(crate) fn bytes(path: &str) -> Vec<u8> {
    fs::read(golden(path)).unwrap()
}

/// What goes in and what must come out.
pub(crate) struct Expected {
    pub(crate) x: Sequences<'static>,
    pub(crate) y: ArrayD<f32>,
}

/// A file with x, y, and lengths where the sequences have some.
pub(crate) fn expected(path: &str) -> Expected {
    let bytes = bytes(path);
    let tensors = SafeTensors::deserialize(&bytes).unwrap();
    let of = |name: &str| {
        let tensor = tensors.tensor(name).unwrap();
        (tensor.shape().to_vec(), tensor.dtype(), tensor.data().to_vec())
    };
    let numbers = |(shape, dtype, data): (Vec<usize>, Dtype, Vec<u8>)| {
        assert_eq!(dtype, Dtype::F32);
        let values = data
            .chunks_exact(4)
            .map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap()));
        ArrayD::from_shape_vec(IxDyn(&shape), values.collect()).unwrap()
    };
    let whole = |data: Vec<u8>| -> Vec<i32> {
        let values = data
            .chunks_exact(4)
            .map(|bytes| i32::from_le_bytes(bytes.try_into().unwrap()));
        values.collect()
    };
    let (shape, dtype, data) = of("x");
    let mut x = match dtype {
        Dtype::I32 => {
            let tokens = Array2::from_shape_vec((shape[0], shape[1]), whole(data)).unwrap();
            Sequences::from(tokens)
        }
        _ => {
            let values: Array3<f32> = numbers((shape, dtype, data)).into_dimensionality().unwrap();
            Sequences::from(values)
        }
    };
    if tensors.tensor("lengths").is_ok() {
        let lengths: Vec<usize> = whole(of("lengths").2)
            .into_iter()
            .map(|length| length as usize)
            .collect();
        x = x.with_lengths(&lengths).unwrap();
    }
    Expected { x, y: numbers(of("y")) }
}
