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
        let path = format!("layers/{}", numbered.next(class_of(layer)?));
        match layer {
            Layer::TimeDistributed(nested) => {
                let mut numbered = Numbered::default();
                for layer in nested.layers() {
                    let inner = numbered.next(class_of(layer)?);
                    let path = match nested.layers() {
                        [_] => format!("{path}/layer"),
                        _ => format!("{path}/layer/layers/{inner}"),
                    };
                    tree.take(layer, &path, &mut kept)?;
                }
            }
            layer => tree.take(layer, &path, &mut kept)?,
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
    /// The tensors of a layer, the next of those that have any.
    fn take(&mut self, layer: &Layer, path: &str, kept: &mut impl Iterator<Item = Kept<'m>>) -> Result<()> {
        if layer.parameter_count() == 0 {
            return Ok(());
        }
        let kept = kept.next().ok_or_else(|| Error::defect("the parameters of a layer"))?;
        for part in kept.parts {
            let within = part.within.split('/').filter(|name| !name.is_empty());
            let path = path.split('/').chain(within).chain(["vars"]);
            self.at(path).tensors = part.parameters;
        }
        Ok(())
    }

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
    let mut kept = kept(model)?.into_iter();
    let layers = layers_of(model, model.layers(), &mut kept)?;
    let mut config = sequential(input_of(model, &[model.time_steps()])?, model.takes_tokens(), layers);
    config["compile_config"] = Value::Null;
    Ok(config)
}

/// A Sequential of an input and layers.
fn sequential(input: Value, takes_tokens: bool, layers: Vec<Value>) -> Value {
    let first = json!({
        "module": "keras.layers",
        "class_name": "InputLayer",
        "config": {
            "batch_shape": input,
            "dtype": if takes_tokens { "int32" } else { "float32" },
            "sparse": false,
            "name": "input_layer",
        },
        "registered_name": null,
    });
    let layers: Vec<Value> = std::iter::once(first).chain(layers).collect();
    json!({
        "module": "keras",
        "class_name": "Sequential",
        "config": { "name": "sequential", "trainable": true, "dtype": policy(), "layers": layers },
        "registered_name": null,
        "build_config": { "input_shape": input },
    })
}

/// The configurations of the layers of a model, or of those within one.
fn layers_of<'m>(model: &Model, layers: &[Layer], kept: &mut impl Iterator<Item = Kept<'m>>) -> Result<Vec<Value>> {
    let mut numbered = Numbered::default();
    let mut values = Vec::new();
    for (position, layer) in layers.iter().enumerate() {
        let class = class_of(layer)?;
        let name = numbered.next(class);
        let mut config = match layer {
            Layer::TimeDistributed(nested) => json!({ "layer": within_each_step(model, nested.layers(), kept)? }),
            layer => {
                let kept: Option<Kept<'_>> = match layer.parameter_count() {
                    0 => None,
                    _ => kept.next(),
                };
                layer_config(layer, kept.as_ref(), position + 1 == layers.len())?
            }
        };
        config["name"] = json!(name);
        values.push(serialized(class, config));
    }
    Ok(values)
}

/// What a TimeDistributed is around: a layer, or a Sequential of several, in which their masks begin and end.
fn within_each_step<'m>(model: &Model, layers: &[Layer], kept: &mut impl Iterator<Item = Kept<'m>>) -> Result<Value> {
    let mut values = layers_of(model, layers, kept)?;
    match (values.len(), values.pop()) {
        (1, Some(only)) => Ok(only),
        (_, last) => {
            values.extend(last);
            let input = input_of_steps(model, &[model.wanted_steps(true)])?;
            Ok(sequential(input, model.takes_tokens(), values))
        }
    }
}

/// The shape of the input with the batch. The time steps are open but for a layer that reads all of them at once.
fn input_of(model: &Model, time_steps: &[Option<usize>]) -> Result<Value> {
    match model.nested() {
        None => input_of_steps(model, time_steps),
        Some(_) => input_of_steps(model, &[time_steps, &[model.wanted_steps(true)]].concat()),
    }
}

fn input_of_steps(model: &Model, time_steps: &[Option<usize>]) -> Result<Value> {
    let axes = std::iter::once(&None).chain(time_steps).copied();
    if model.takes_tokens() {
        return Ok(axes.collect());
    }
    match model.features() {
        Some(features) => Ok(axes.chain([Some(features)]).collect()),
        None => Err(Error::Unsupported {
            layer: "Model".to_owned(),
            option: "an input with any number of features in a .keras file".to_owned(),
            instead: "add a layer that says the number of features".to_owned(),
        }),
    }
}
