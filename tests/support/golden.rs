//! Reads the golden cases: one safetensors file each, with the case as JSON in the header (`golden/README.md`).

use std::{collections::BTreeMap, path::PathBuf};

use ndarray::{Array1, Array2, Array3, ArrayD, IxDyn};
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// A tensor of a case.
#[derive(Clone, Debug)]
pub(crate) enum Tensor {
    F32(ArrayD<f32>),
    I32(ArrayD<i32>),
    U8(ArrayD<u8>),
}

/// How far a value may be off: `|got - want| <= atol + rtol * |want|`.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Tolerance {
    pub(crate) atol: f64,
    pub(crate) rtol: f64,
}

/// The input of a model.
#[derive(Clone, Debug)]
pub(crate) enum Input {
    /// (batch, time_steps, features)
    Values(Array3<f32>),
    /// (batch, time_steps)
    Tokens(Array2<i32>),
}

impl Input {
    pub(crate) fn batch(&self) -> usize {
        match self {
            Self::Values(values) => values.dim().0,
            Self::Tokens(tokens) => tokens.dim().0,
        }
    }
}

/// One run of a model: what goes in, and which tensors of the case must come out.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) input: Input,
    pub(crate) mask: Option<Array2<bool>>,
    /// From an output's name (`y`, `h_n`, `backward.c_n`, ...) to the name of the tensor it must equal.
    pub(crate) expect: BTreeMap<String, String>,
}

/// What is done one after the other in a case.
#[derive(Clone, Debug)]
pub(crate) enum Step {
    Call(Call),
    ResetState,
}

/// One case.
#[derive(Clone, Debug)]
pub(crate) struct Case {
    pub(crate) name: String,
    pub(crate) kind: String,
    pub(crate) framework: String,
    pub(crate) about: String,
    /// From a tensor's name to `input`, `mask`, `initial_state`, `weight`, `expected`, ...
    pub(crate) roles: BTreeMap<String, String>,
    pub(crate) tolerance: BTreeMap<String, Tolerance>,
    pub(crate) tensors: BTreeMap<String, Tensor>,
    /// The whole header, for the fields that only some kinds have: `layers`, `calls`, `rules`, `names`, ...
    pub(crate) header: Value,
}

/// The folder of the cases: `CELLSTATE_GOLDEN`, or the one in the repository.
pub(crate) fn folder() -> PathBuf {
    match std::env::var_os("CELLSTATE_GOLDEN") {
        Some(folder) => PathBuf::from(folder),
        None => repository().join("golden/cases"),
    }
}

/// The repository: cargo says where when it runs a test, and so does who runs the test elsewhere.
fn repository() -> PathBuf {
    std::env::var_os("CARGO_MANIFEST_DIR").map_or_else(|| env!("CARGO_MANIFEST_DIR").into(), PathBuf::from)
}

/// All cases of [`folder`], in the order of their names. Panics if there is none or one cannot be read.
pub(crate) fn cases() -> Vec<Case> {
    let folder = folder();
    let entries = std::fs::read_dir(&folder)
        .unwrap_or_else(|error| panic!("golden cases: cannot read {}: {error}", folder.display()));
    let mut paths: Vec<PathBuf> = entries
        .map(|entry| entry.expect("a folder entry").path())
        .filter(|path| path.extension().is_some_and(|end| end == "safetensors"))
        .collect();
    paths.sort();
    assert!(
        !paths.is_empty(),
        "golden cases: there is no .safetensors file in {}; set CELLSTATE_GOLDEN to a folder that has some",
        folder.display()
    );
    let read = |path: &PathBuf| {
        let bytes = std::fs::read(path).map_err(|error| error.to_string());
        bytes
            .and_then(|bytes| Case::from_bytes(&bytes))
            .unwrap_or_else(|error| panic!("{}: {error}", path.display()))
    };
    paths.iter().map(read).collect()
}

impl Case {
    /// Reads a case file.
    pub(crate) fn from_bytes(bytes: &[u8]) -> Result<Self, String> {
        let (_, metadata) = SafeTensors::read_metadata(bytes).map_err(|error| error.to_string())?;
        let text = metadata
            .metadata()
            .as_ref()
            .and_then(|map| map.get("case"))
            .ok_or("the header has no `__metadata__.case`")?;
        let header: Value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if header["format"] != 1 {
            return Err(format!("expected format 1, got {}", header["format"]));
        }
        let file = SafeTensors::deserialize(bytes).map_err(|error| error.to_string())?;
        let mut tensors = BTreeMap::new();
        for (name, view) in file.tensors() {
            let shape = IxDyn(view.shape());
            let words = view.data().chunks_exact(4);
            let words = words.map(|word| [word[0], word[1], word[2], word[3]]);
            let tensor = match view.dtype() {
                Dtype::F32 => ArrayD::from_shape_vec(shape, words.map(f32::from_le_bytes).collect()).map(Tensor::F32),
                Dtype::I32 => ArrayD::from_shape_vec(shape, words.map(i32::from_le_bytes).collect()).map(Tensor::I32),
                Dtype::U8 => ArrayD::from_shape_vec(shape, view.data().to_vec()).map(Tensor::U8),
                other => return Err(format!("{name}: expected F32, I32 or U8, got {other:?}")),
            };
            tensors.insert(name, tensor.map_err(|error| error.to_string())?);
        }
        let case = Self {
            name: text_of(&header, "name")?,
            kind: text_of(&header, "kind")?,
            framework: text_of(&header["framework"], "name")?,
            about: text_of(&header, "about")?,
            roles: strings(&header["roles"])?,
            tolerance: tolerances(&header["tolerance"])?,
            tensors,
            header,
        };
        for name in case.roles.keys() {
            if !case.tensors.contains_key(name) {
                return Err(format!("{name} has a role but is not in the file"));
            }
        }
        for name in case.expected() {
            // Fresh weights are judged by rules.
            if case.kind != "init" && !case.tolerance.contains_key(name) {
                return Err(format!("{name} is expected but has no tolerance"));
            }
        }
        Ok(case)
    }

    /// The names of the expected tensors.
    pub(crate) fn expected(&self) -> impl Iterator<Item = &String> {
        let expected = self.roles.iter().filter(|(_, role)| *role == "expected");
        expected.map(|(name, _)| name)
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// A float32 tensor of any shape.
    pub(crate) fn f32(&self, name: &str) -> Result<&ArrayD<f32>, String> {
        match self.tensors.get(name) {
            Some(Tensor::F32(tensor)) => Ok(tensor),
            Some(_) => Err(format!("{name}: expected float32, got another type")),
            None => Err(format!("{name}: there is no such tensor")),
        }
    }

    pub(crate) fn f32_1(&self, name: &str) -> Result<Array1<f32>, String> {
        let tensor = self.f32(name)?.clone();
        tensor
            .into_dimensionality()
            .map_err(|_| format!("{name}: expected one axis"))
    }

    pub(crate) fn f32_2(&self, name: &str) -> Result<Array2<f32>, String> {
        let tensor = self.f32(name)?.clone();
        tensor
            .into_dimensionality()
            .map_err(|_| format!("{name}: expected two axes"))
    }

    /// The input tensor: float32 (batch, time_steps, features) or int32 (batch, time_steps).
    pub(crate) fn input(&self, name: &str) -> Result<Input, String> {
        match self.tensors.get(name) {
            Some(Tensor::F32(values)) => values
                .clone()
                .into_dimensionality()
                .map(Input::Values)
                .map_err(|_| format!("{name}: expected three axes")),
            Some(Tensor::I32(tokens)) => tokens
                .clone()
                .into_dimensionality()
                .map(Input::Tokens)
                .map_err(|_| format!("{name}: expected two axes")),
            _ => Err(format!("{name}: there is no such input")),
        }
    }

    /// The mask tensor as booleans, if there is one of that name.
    pub(crate) fn mask(&self, name: &str) -> Result<Option<Array2<bool>>, String> {
        match self.tensors.get(name) {
            None => Ok(None),
            Some(Tensor::U8(mask)) => mask
                .mapv(|valid| valid != 0)
                .into_dimensionality()
                .map(Some)
                .map_err(|_| format!("{name}: expected two axes")),
            Some(_) => Err(format!("{name}: expected a uint8 mask")),
        }
    }

    /// What is done one after the other: the `calls` of a stateful case, one call of any other.
    pub(crate) fn steps(&self) -> Result<Vec<Step>, String> {
        let Some(calls) = self.header.get("calls") else {
            let outputs = self.expected().filter(|name| !name.starts_with("grad."));
            return Ok(vec![Step::Call(Call {
                input: self.input("x")?,
                mask: self.mask("mask")?,
                expect: outputs.map(|name| (name.clone(), name.clone())).collect(),
            })]);
        };
        let calls = calls.as_array().ok_or("`calls` is not a list")?;
        let mut steps = Vec::new();
        for call in calls {
            let known = ["x", "mask", "expect", "reset_state"];
            let fields = call.as_object().ok_or("a call is not an object")?;
            if let Some(other) = fields.keys().find(|key| !known.contains(&key.as_str())) {
                return Err(format!("unknown field of a call: {other}"));
            }
            if call["reset_state"] == true {
                steps.push(Step::ResetState);
                continue;
            }
            let mask = match call.get("mask").and_then(Value::as_str) {
                Some(name) => Some(self.mask(name)?.ok_or(format!("{name}: no such mask"))?),
                None => None,
            };
            steps.push(Step::Call(Call {
                input: self.input(&text_of(call, "x")?)?,
                mask,
                expect: strings(&call["expect"])?,
            }));
        }
        Ok(steps)
    }
}

fn text_of(value: &Value, field: &str) -> Result<String, String> {
    let text = value[field].as_str();
    text.map(str::to_owned)
        .ok_or(format!("the header has no text `{field}`"))
}

fn strings(value: &Value) -> Result<BTreeMap<String, String>, String> {
    let object = value.as_object().ok_or("expected an object of names")?;
    let pair = |(name, value): (&String, &Value)| {
        let value = value.as_str().ok_or(format!("{name}: expected a text"))?;
        Ok((name.clone(), value.to_owned()))
    };
    object.iter().map(pair).collect()
}

fn tolerances(value: &Value) -> Result<BTreeMap<String, Tolerance>, String> {
    let object = value.as_object().ok_or("the header has no `tolerance`")?;
    let pair = |(name, value): (&String, &Value)| {
        let number = |field: &str| value[field].as_f64().ok_or(format!("{name}: no tolerance {field}"));
        let (atol, rtol) = (number("atol")?, number("rtol")?);
        Ok((name.clone(), Tolerance { atol, rtol }))
    };
    object.iter().map(pair).collect()
}
