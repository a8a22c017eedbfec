//! The chain of layers that a Sequential or functional model is, with models inside of it taken apart.

use serde_json::{Map, Value};

use super::config::{Config, Object, short};
use super::functional;
use super::names::Numbered;
use super::step::Step;
use crate::error::{Error, Result};
use crate::format::file::File;

/// A layer of the chain.
#[derive(Debug)]
pub(super) struct Node<'a> {
    pub(super) object: Object<'a>,
    pub(super) options: &'a Map<String, Value>,
    /// Where its weights are in a file of weights: `layers/lstm`.
    pub(super) path: String,
    /// The group of its weights in a legacy file: the outermost layer or model that it is in.
    pub(super) group: &'a str,
    /// Whether other layers are in that group too.
    pub(super) shares_group: bool,
    pub(super) step: Step,
}

/// The chain, and the shape of its input with the batch, where the file says it.
#[derive(Debug, Default)]
pub(super) struct Chain<'a> {
    pub(super) nodes: Vec<Node<'a>>,
    pub(super) input: Option<Vec<Option<usize>>>,
}

/// Where a model stands within others.
#[derive(Clone, Copy)]
pub(super) struct Around<'a, 'b> {
    /// In front of the paths of its layers.
    path: &'b str,
    group: Option<&'a str>,
    depth: usize,
}

impl<'a> Chain<'a> {
    /// The chain of the model that a file holds.
    pub(super) fn of_model(file: &'a File<'a>, place: &str, model: &'a Value) -> Result<Self> {
        let object = Object::of(model).ok_or_else(|| {
            file.content(
                place,
                "a model: class_name and config",
                short(&model.to_string()),
                "save a whole model with `model.save(\"model.keras\")`",
            )
        })?;
        let mut chain = Self::default();
        let around = Around {
            path: "",
            group: None,
            depth: 0,
        };
        if !is_model(object.class) || object.is_custom() {
            return Err(Error::Unsupported {
                layer: format!("the model of {}", file.path.display()),
                option: format!("the class {:?}", short(object.class)),
                instead: "build the model as keras.Sequential or as a functional keras.Model, or give its layers in code and \
                          call `load_weights`"
                    .to_owned(),
            });
        }
        chain.model(file, &object, around)?;
        Ok(chain)
    }

    /// The chain of a model that a layer is around, whose weights are under a path and in a group of a legacy file.
    pub(super) fn within(file: &'a File<'a>, object: &Object<'a>, path: &str, group: &'a str) -> Result<Self> {
        let mut chain = Self::default();
        let around = Around {
            path: &format!("{path}/"),
            group: Some(group),
            depth: 1,
        };
        chain.model(file, object, around)?;
        Ok(chain)
    }

    /// Takes the layers of a model into the chain.
    fn model(&mut self, file: &'a File<'a>, object: &Object<'a>, around: Around<'a, '_>) -> Result<()> {
        const DEEPEST: usize = 16;
        if around.depth > DEEPEST {
            return Err(file.content(
                format!("the configuration of model {}", object.title()),
                format!("models within models, at most {DEEPEST} deep"),
                "more",
                "put the layers into one model",
            ));
        }
        let layers = layers_of(file, object)?;
        let order = match object.class {
            "Sequential" => (0..layers.len()).map(Step::of_sequential).collect(),
            _ => functional::order(file, object, &layers)?,
        };
        let mut numbered = Numbered::default();
        let names: Vec<String> = layers
            .iter()
            .map(|layer| match functional::is_operation(layer) {
                true => String::new(), // not among Keras's layers
                false => numbered.next(layer.class),
            })
            .collect();
        for step in order {
            let (Some(layer), Some(name)) = (layers.get(step.index), names.get(step.index)) else {
                continue;
            };
            let path = format!("{}layers/{name}", around.path);
            let own = layer.config.get("name").and_then(Value::as_str).unwrap_or(layer.class);
            let group = around.group.unwrap_or(own);
            if is_model(layer.class) && !layer.is_custom() {
                let within = Around {
                    path: &format!("{path}/"),
                    group: Some(group),
                    depth: around.depth + 1,
                };
                self.model(file, layer, within)?;
                continue;
            }
            let options = layer.options().ok_or_else(|| bad_layer(file, &layer.title()))?;
            self.say_input(file, layer, options)?;
            if layer.class == "InputLayer" {
                continue;
            }
            file.check_layers("the configuration of the model", self.nodes.len().saturating_add(1))?;
            self.nodes.push(Node {
                object: *layer,
                options,
                path,
                group,
                shares_group: around.group.is_some(),
                step,
            });
        }
        Ok(())
    }

    /// The input's shape as the first layer says it: Keras 2 says it on any layer.
    fn say_input(&mut self, file: &File<'_>, layer: &Object<'_>, options: &Map<String, Value>) -> Result<()> {
        if self.input.is_some() || !self.nodes.is_empty() {
            return Ok(());
        }
        let shape = options.get("batch_shape").or_else(|| options.get("batch_input_shape"));
        let Some(shape) = shape.filter(|shape| !shape.is_null()) else {
            return Ok(());
        };
        let wrong = || {
            file.content(
                format!("the configuration of layer {}, batch_shape", layer.title()),
                "a list of sizes or null",
                short(&shape.to_string()),
                "save the model again with Keras",
            )
        };
        let sizes = shape.as_array().ok_or_else(wrong)?;
        let size = |size: &Value| match size {
            Value::Null => Ok(None),
            size => size
                .as_u64()
                .and_then(|size| usize::try_from(size).ok())
                .map(Some)
                .ok_or_else(wrong),
        };
        self.input = Some(sizes.iter().map(size).collect::<Result<_>>()?);
        Ok(())
    }
}

pub(super) fn is_model(class: &str) -> bool {
    matches!(class, "Sequential" | "Functional" | "Model")
}

/// The layers of a model as its configuration lists them. Before Keras 2.2.3 that of a Sequential was the list itself.
fn layers_of<'a>(file: &File<'_>, model: &Object<'a>) -> Result<Vec<Object<'a>>> {
    let list = match model.config {
        Value::Array(list) => Some(list),
        config => config.get("layers").and_then(Value::as_array),
    };
    let wrong = || bad_layer(file, &model.title());
    let list = list.ok_or_else(wrong)?;
    file.check_layers(&format!("the configuration of model {}", model.title()), list.len())?;
    list.iter().map(|layer| Object::of(layer).ok_or_else(wrong)).collect()
}

fn bad_layer(file: &File<'_>, title: &str) -> Error {
    file.content(
        format!("the configuration of {title}"),
        "layers with class_name and config",
        "something else",
        "save the model again with Keras",
    )
}

impl<'a> Node<'a> {
    pub(super) fn config(&self, file: &'a File<'a>) -> Config<'a> {
        Config::new(file, self.object.title(), self.options)
    }
}
