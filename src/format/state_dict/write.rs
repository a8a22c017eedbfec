//! The weights of a model under PyTorch's names.

use ndarray::{Array1, ArrayD};

use super::cell::{PytorchWeights, obstacle, to_pytorch};
use super::module::full_name;
use super::place::{Place, Wanted, places};
use super::recurrent_module::RecurrentModule;
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::layer::bidirectional::MergeMode;
use crate::layer::recurrent::Recurrent;
use crate::model::Model;
use crate::model::named::cell_weights;
use crate::parameters::Role;

type Named = (String, ArrayD<f32>);

/// The tensors of a model in the modules of these names, one for each place of the chain.
pub(crate) fn tensors(model: &Model, names: &[&str]) -> Result<Vec<Named>> {
    let places = places(model.layers());
    if names.len() != places.len() {
        let wanted: Vec<String> = places.iter().map(Place::description).collect();
        return Err(Error::Value {
            argument: "names of the modules".to_owned(),
            expected: format!("{} names, one for each of: {}", places.len(), wanted.join("; ")),
            found: format!("{} names", names.len()),
            repair: "name the layers of one nn.LSTM alike".to_owned(),
        });
    }
    check_chain(model.layers())?;
    let mut tensors = Vec::new();
    let mut seen: Vec<&str> = Vec::new();
    let mut open: Option<(&str, RecurrentModule)> = None;
    for (place, name) in places.iter().zip(names) {
        let before = open.take().filter(|(before, _)| before == name);
        if before.is_none() && seen.contains(name) {
            return Err(wrong_name(
                name,
                "layers of the same name one behind the other",
                "others between them",
            ));
        }
        seen.push(name);
        match &place.wants {
            Wanted::Recurrent(directions) => {
                let module = joined(place, directions, before.map(|(_, module)| module), name)?;
                for (direction, path) in place.paths.iter().enumerate() {
                    let cell = directions
                        .get(direction)
                        .ok_or_else(|| Error::defect("a path for each direction"))?;
                    let weights = to_pytorch(&cell.cell, &cell_weights(model.parameters(), path)?);
                    push(
                        &mut tensors,
                        name,
                        &module.suffix(module.layers - 1, direction),
                        weights,
                    );
                }
                open = Some((name, module));
            }
            _ if before.is_some() => {
                return Err(wrong_name(name, "layers of one recurrent module", "another layer"));
            }
            Wanted::Dense(_) | Wanted::Embedding(_) | Wanted::LayerNorm(_) | Wanted::BatchNorm(_) => {
                plain(model, place, name, &mut tensors)?
            }
        }
    }
    Ok(tensors)
}

/// What a recurrent module is with one more layer.
fn joined(
    place: &Place<'_>,
    directions: &[&Recurrent],
    before: Option<RecurrentModule>,
    name: &str,
) -> Result<RecurrentModule> {
    let modules = directions
        .iter()
        .map(|layer| of_layer(place, layer, directions.len() > 1));
    let modules = modules.collect::<Result<Vec<_>>>()?;
    let (Some(one), true) = (
        modules.first(),
        modules.windows(2).all(|pair| pair.first() == pair.last()),
    ) else {
        return Err(unsupported(place, "two directions that are not alike"));
    };
    let Some(before) = before else {
        return Ok(one.clone());
    };
    let next = RecurrentModule {
        features: one.features,
        layers: 1,
        ..before.clone()
    };
    if next != *one || before.features_of(1) != one.features {
        let expected = "layers of one kind, with the same units and options, each as wide as the next one takes";
        return Err(wrong_name(name, expected, &place.description()));
    }
    Ok(RecurrentModule {
        layers: before.layers + 1,
        ..before
    })
}

/// One direction of one layer as a module.
fn of_layer(place: &Place<'_>, layer: &Recurrent, bidirectional: bool) -> Result<RecurrentModule> {
    if let Some(option) = obstacle(&layer.cell) {
        return Err(unsupported(place, option));
    }
    if layer.options().go_backwards {
        return Err(unsupported(place, "go_backwards(true)"));
    }
    Ok(RecurrentModule {
        gates: layer.cell.gates(),
        features: layer.features(),
        units: layer.units(),
        output: layer.output_width(),
        projected: layer.cell.has_projection(),
        bias: layer.use_bias,
        layers: 1,
        bidirectional,
        is_cell: false,
    })
}

fn push(tensors: &mut Vec<Named>, module: &str, suffix: &str, weights: PytorchWeights) {
    let mut put =
        |name: &str, values: ArrayD<f32>| tensors.push((full_name(module, &format!("{name}{suffix}")), values));
    put("weight_ih", weights.weight_ih.into_dyn());
    put("weight_hh", weights.weight_hh.into_dyn());
    for (name, bias) in [("bias_ih", weights.bias_ih), ("bias_hh", weights.bias_hh)] {
        if let Some(bias) = bias {
            put(name, Array1::into_dyn(bias));
        }
    }
    if let Some(weight_hr) = weights.weight_hr {
        put("weight_hr", weight_hr.into_dyn());
    }
}

/// The roles of parameters, and what PyTorch calls them.
const ROLES: [(Role, &str); 7] = [
    (Role::Kernel, "weight"),
    (Role::Embeddings, "weight"),
    (Role::Gamma, "weight"),
    (Role::Bias, "bias"),
    (Role::Beta, "bias"),
    (Role::MovingMean, "running_mean"),
    (Role::MovingVariance, "running_var"),
];

/// The tensors of a module that is not recurrent.
fn plain(model: &Model, place: &Place<'_>, name: &str, tensors: &mut Vec<Named>) -> Result<()> {
    let found = |role: &Role| {
        let mut paths = place.paths.iter();
        paths.find_map(|path| model.parameters().find(&format!("{path}/{role}")))
    };
    if found(&Role::Gamma).is_some() != found(&Role::Beta).is_some() {
        return Err(unsupported(place, "one of scale and center without the other"));
    }
    for (role, leaf) in ROLES {
        let Some(parameter) = found(&role) else {
            continue;
        };
        let values = match role {
            Role::Kernel => parameter.values().reversed_axes().as_standard_layout().into_owned(),
            _ => parameter.values().to_owned(),
        };
        tensors.push((full_name(name, leaf), values));
    }
    Ok(())
}

/// What of whole layers no module of PyTorch computes.
fn check_chain(layers: &[Layer]) -> Result<()> {
    for (position, layer) in layers.iter().enumerate() {
        let option = match layer {
            Layer::Bidirectional(layer) if layer.merge() != MergeMode::Concat => "another merge mode than concat",
            Layer::StackedRnnCells(stack) if stack.options().go_backwards => "go_backwards(true)",
            Layer::TimeDistributed(nested) => {
                check_chain(nested.layers())?;
                continue;
            }
            _ => continue,
        };
        return Err(Error::Unsupported {
            layer: format!("layer {position} ({}) as a module of PyTorch", layer.class()),
            option: option.to_owned(),
            instead: "save the model as a file of its own with `Model::save`".to_owned(),
        });
    }
    Ok(())
}

fn unsupported(place: &Place<'_>, option: &str) -> Error {
    Error::Unsupported {
        layer: format!("layer {} ({}) as a module of PyTorch", place.position, place.class),
        option: option.to_owned(),
        instead: "save the model as a file of its own with `Model::save`".to_owned(),
    }
}

fn wrong_name(name: &str, expected: &str, found: &str) -> Error {
    Error::Value {
        argument: format!("name {name:?} of a module"),
        expected: expected.to_owned(),
        found: found.to_owned(),
        repair: "give each module a name of its own".to_owned(),
    }
}
