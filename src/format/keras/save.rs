//! Models as files that Keras 3.15 opens.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};

use hdf5_pure::{FileBuilder, GroupBuilder};
use serde_json::{Value, json};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::archive::{CONFIG, METADATA, WEIGHTS};
use super::load::{Kept, kept};
use super::names::Numbered;
use super::save_layers::{class_of, layer_config};
use super::serialized::{policy, serialized};
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::model::Model;
use crate::parameters::Parameter;

/// The version of Keras whose files these are.
const VERSION: &str = "3.15.1";

/// The model as a `.keras` file.
pub(crate) fn archive_of(model: &Model) -> Result<Vec<u8>> {
    let members = [
        (METADATA, json!({ "keras_version": VERSION }).to_string().into_bytes()),
        (CONFIG, config_of(model)?.to_string().into_bytes()),
        (WEIGHTS, weights_of(model)?),
    ];
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    // stored, as Keras does, and without a date, so that a model gives the same bytes each time
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut write = || -> std::result::Result<(), Box<dyn std::error::Error>> {
        for (name, bytes) in &members {
            let large = u32::try_from(bytes.len()).is_err();
            zip.start_file(*name, options.large_file(large))?;
            zip.write_all(bytes)?;
        }
        Ok(())
    };
    write().map_err(|error| Error::defect(&format!("a zip in memory: {error}")))?;
    let zip = zip
        .finish()
        .map_err(|error| Error::defect(&format!("a zip in memory: {error}")))?;
    Ok(zip.into_inner())
}

/// The weights as a `.weights.h5` file.
pub(crate) fn weights_of(model: &Model) -> Result<Vec<u8>> {
    let mut tree = Tree::default();
    let mut kept = kept(model)?.into_iter();
    let mut numbered = Numbered::default();
    for layer in model.layers() {
        let name = numbered.next(class_of(layer)?);
        if layer.parameter_count() == 0 {
            continue;
        }
        let kept = kept.next().ok_or_else(|| Error::defect("the parameters of a layer"))?;
        for part in &kept.parts {
            let within = part.within.split('/').filter(|name| !name.is_empty());
            let path = ["layers", name.as_str()].into_iter().chain(within).chain(["vars"]);
            tree.at(path).tensors = part.parameters.clone();
        }
    }
    let mut file = FileBuilder::new();
    for (name, inner) in &tree.groups {
        let group = inner.fill(file.create_group(name));
        file.add_group(group.finish());
    }
    file.finish().map_err(|error| Error::File {
        argument: "path",
        expected: "weights that HDF5 can hold",
        path: WEIGHTS.into(),
        cause: crate::error::Cause::new(std::io::Error::other(error)),
        repair: "save the model as .safetensors".to_owned(),
    })
}

/// Groups within groups, and the tensors of one.
#[derive(Default)]
struct Tree<'m> {
    groups: BTreeMap<String, Tree<'m>>,
    tensors: Vec<&'m Parameter>,
}

impl<'m> Tree<'m> {
    fn at<'p>(&mut self, path: impl Iterator<Item = &'p str>) -> &mut Self {
        path.fold(self, |tree, name| tree.groups.entry(name.to_owned()).or_default())
    }

    fn fill(&self, mut group: GroupBuilder) -> GroupBuilder {
        for (number, parameter) in self.tensors.iter().enumerate() {
            let values = parameter.values();
            let shape: Vec<u64> = values.shape().iter().map(|size| *size as u64).collect();
            let values: Vec<f32> = values.iter().copied().collect();
            group
                .create_dataset(&number.to_string())
                .with_f32_data(&values)
                .with_shape(&shape);
        }
        for (name, inner) in &self.groups {
            let filled = inner.fill(group.create_group(name));
            group.add_group(filled.finish());
        }
        group
    }
}

/// The configuration of the model: a Sequential.
fn config_of(model: &Model) -> Result<Value> {
    let input = input_of(model)?;
    let tokens = matches!(model.layers().first(), Some(Layer::Embedding(_)));
    let mut layers = vec![json!({
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": {
            "batch_shape": input,
            "dtype": if tokens { "int32" } else { "float32" },
            "sparse": false,
            "name": "input_layer",
        },
        "registered_name": null,
    })];
    let mut kept = kept(model)?.into_iter();
    let mut numbered = Numbered::default();
    for (position, layer) in model.layers().iter().enumerate() {
        let class = class_of(layer)?;
        let name = numbered.next(class);
        let kept: Option<Kept<'_>> = match layer.parameter_count() {
            0 => None,
            _ => kept.next(),
        };
        let last = position + 1 == model.layers().len();
        let mut config = layer_config(layer, kept.as_ref(), last)?;
        config["name"] = json!(name);
        layers.push(serialized(class, config));
    }
    Ok(json!({
        "module": "keras",
        "class_name": "Sequential",
        "config": { "name": "sequential", "trainable": true, "dtype": policy(), "layers": layers },
        "registered_name": null,
        "build_config": { "input_shape": input },
        "compile_config": null,
    }))
}

/// The shape of the input with the batch. The time steps are open but for a layer that reads all of them at once.
fn input_of(model: &Model) -> Result<Value> {
    let time_steps = model.time_steps();
    if model.takes_tokens() {
        return Ok(json!([null, time_steps]));
    }
    match model.features() {
        Some(features) => Ok(json!([null, time_steps, features])),
        None => Err(Error::Unsupported {
            layer: "Model".to_owned(),
            option: "an input with any number of features in a .keras file".to_owned(),
            instead: "add a layer that says the number of features".to_owned(),
        }),
    }
}
