//! What the written files are given and what comes out, for ONNX Runtime to be compared with (`golden/onnx_written.py`).

use std::collections::HashMap;
use std::fs;
use std::path::PathBuf;

use cellstate::Sequences;
use ndarray::ArrayD;
use safetensors::tensor::TensorView;

pub(crate) fn folder() -> PathBuf {
    let folder =
        std::env::var_os("CARGO_TARGET_TMPDIR").map_or_else(|| env!("CARGO_TARGET_TMPDIR").into(), PathBuf::from);
    let folder = folder.join("onnx_written");
    fs::create_dir_all(&folder).expect("a folder");
    folder
}

/// The input and what came out, for ONNX Runtime to be compared with.
pub(crate) fn keep(name: &str, input: &Sequences<'_>, lengths: Option<&[usize]>, outputs: &[(String, ArrayD<f32>)]) {
    let mut tensors: HashMap<String, (safetensors::Dtype, Vec<usize>, Vec<u8>)> = HashMap::new();
    let bytes = |values: &ArrayD<f32>| values.iter().flat_map(|value| value.to_le_bytes()).collect();
    let input = match (input.values(), input.tokens()) {
        (Some(values), _) => {
            let values = values.to_owned().into_dyn();
            (safetensors::Dtype::F32, values.shape().to_vec(), bytes(&values))
        }
        (_, tokens) => {
            let tokens = tokens.expect("tokens");
            let bytes = tokens
                .iter()
                .flat_map(|&token| i64::from(token).to_le_bytes())
                .collect();
            (safetensors::Dtype::I64, tokens.shape().to_vec(), bytes)
        }
    };
    tensors.insert("input".to_owned(), input);
    if let Some(lengths) = lengths {
        let bytes = lengths.iter().flat_map(|length| (*length as i32).to_le_bytes());
        let tensor = (safetensors::Dtype::I32, vec![lengths.len()], bytes.collect());
        tensors.insert("lengths".to_owned(), tensor);
    }
    for (name, values) in outputs {
        tensors.insert(
            name.clone(),
            (safetensors::Dtype::F32, values.shape().to_vec(), bytes(values)),
        );
    }
    let views = tensors.iter().map(|(name, (kind, shape, bytes))| {
        (
            name.clone(),
            TensorView::new(*kind, shape.clone(), bytes).expect("a tensor"),
        )
    });
    let file = safetensors::serialize(views, None).expect("a file");
    fs::write(folder().join(format!("{name}.safetensors")), file).expect("a file");
}
