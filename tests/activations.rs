//! Every activation against Keras 3.15 (golden/cases/keras_activations.safetensors).

use std::path::Path;

use cellstate::Activation;
use safetensors::SafeTensors;

type Failure = Box<dyn std::error::Error>;

fn numbers(file: &SafeTensors<'_>, name: &str) -> Result<(Vec<usize>, Vec<f32>), Failure> {
    let tensor = file.tensor(name)?;
    let values = tensor
        .data()
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| f32::from_le_bytes(*bytes))
        .collect();
    Ok((tensor.shape().to_vec(), values))
}

#[test]
fn every_activation_is_that_of_keras() -> Result<(), Failure> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("golden/cases/keras_activations.safetensors");
    let bytes = std::fs::read(path)?;
    let (_, header) = SafeTensors::read_metadata(&bytes)?;
    let case = header
        .metadata()
        .as_ref()
        .and_then(|entries| entries.get("case"))
        .ok_or("no case in the header")?;
    let case: serde_json::Value = serde_json::from_str(case)?;
    let file = SafeTensors::deserialize(&bytes)?;
    let (shape, x) = numbers(&file, "x")?;
    let width = *shape.last().ok_or("x has no axes")?;
    let names = case["names"].as_array().ok_or("no names")?;
    assert_eq!(names.len(), Activation::ALL.len());

    for name in names {
        let name = name.as_str().ok_or("a name that is no text")?;
        let tensor = format!("y.{name}");
        let bound = |kind: &str| case["tolerance"][&tensor][kind].as_f64().ok_or("no tolerance");
        let (absolute, relative) = (bound("atol")?, bound("rtol")?);
        let (_, want) = numbers(&file, &tensor)?;
        let mut got = x.clone();
        Activation::from_name(name)?.apply(&mut got, width);
        assert_eq!(got.len(), want.len(), "{name}");
        let mut largest = 0.0_f64;
        for ((x, got), want) in x.iter().zip(&got).zip(&want) {
            let (got, want) = (f64::from(*got), f64::from(*want));
            let error = (got - want).abs();
            // Negated, so that NaN fails.
            #[allow(clippy::neg_cmp_op_on_partial_ord, reason = "NaN must fail")]
            let wrong = !(error <= absolute + relative * want.abs());
            assert!(!wrong, "{name}({x}): expected {want}, got {got}");
            largest = largest.max(error / want.abs().max(1.0));
        }
        println!("{name:15} largest error {largest:.1e}");
        // Far below what the case allows: float32 rounding.
        assert!(largest < 3e-7, "{name}: {largest}");
    }
    Ok(())
}
