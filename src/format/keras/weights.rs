//! The tensors of a file, for one layer after the other: by path (`layers/lstm/cell/vars/0`, Keras 3) or by name
//! (`lstm/lstm_cell/kernel:0`, legacy files).

use std::collections::{BTreeMap, BTreeSet};

use hdf5_pure::Group;
use ndarray::ArrayD;

use super::config::short;
use super::hdf5::Hdf5;
use crate::error::Result;

/// A tensor that a layer has.
#[derive(Clone, Debug)]
pub(super) struct Wanted {
    /// Its name in Keras: `kernel`.
    pub(super) role: &'static str,
    /// Its axes, for messages: `(features, 4·units)`.
    pub(super) axes: &'static str,
    /// Its shape; `None` where only the tensor says the size.
    pub(super) shape: Vec<Option<usize>>,
}

/// Where the tensors of a layer or cell are.
#[derive(Clone, Debug)]
pub(super) struct Place<'n> {
    /// Within the file by paths, without `vars`: `layers/lstm/cell`.
    pub(super) path: String,
    /// The group within the file by names.
    pub(super) group: &'n str,
    /// What the names contain where a group has several layers.
    pub(super) contains: Option<&'n str>,
}

/// The tensors of a file.
#[derive(Debug)]
pub(super) struct Weights<'a> {
    hdf5: Hdf5<'a>,
    layout: Layout,
    /// In which widths other than 32 bits tensors were kept.
    converted: BTreeSet<&'static str>,
}

#[derive(Debug)]
enum Layout {
    Paths {
        /// What the group of layers is called: `layers`, or its name of TensorFlow 2.12.
        layers: &'static str,
        /// The groups of `vars` that were read.
        taken: BTreeSet<String>,
    },
    Names {
        group: Group,
        layers: BTreeMap<String, Named>,
        /// The layers in the file's order.
        order: Vec<String>,
    },
}

/// The tensors of one group, in the order of the file, and whether each was taken.
#[derive(Debug)]
struct Named {
    group: Group,
    names: Vec<(String, bool)>,
}

const LAYERS: &str = "layers";
const LAYERS_OF_2_12: &str = "_layer_checkpoint_dependencies";

impl<'a> Weights<'a> {
    /// A file by paths.
    pub(super) fn by_path(hdf5: Hdf5<'a>) -> Result<Self> {
        let layers = match hdf5.group(&hdf5.root(), LAYERS)? {
            None if hdf5.group(&hdf5.root(), LAYERS_OF_2_12)?.is_some() => LAYERS_OF_2_12,
            _ => LAYERS,
        };
        Ok(Self {
            hdf5,
            layout: Layout::Paths {
                layers,
                taken: BTreeSet::new(),
            },
            converted: BTreeSet::new(),
        })
    }

    /// A file by names, whose layers are in a group: `model_weights`, or the root.
    pub(super) fn by_name(hdf5: Hdf5<'a>, group: Group, within: &str) -> Result<Self> {
        let order = listed(&hdf5, &group, within, "layer_names")?;
        Ok(Self {
            hdf5,
            layout: Layout::Names {
                group,
                layers: BTreeMap::new(),
                order,
            },
            converted: BTreeSet::new(),
        })
    }

    /// Whether a file by paths has tensors of a layer.
    pub(super) fn has(&self, path: &str) -> Result<bool> {
        let Layout::Paths { layers, .. } = &self.layout else {
            return Ok(false);
        };
        let path = format!("{}/vars", at(path, layers));
        match self.hdf5.group(&self.hdf5.root(), &path)? {
            Some(group) => Ok(!self.hdf5.datasets(&group, &path)?.is_empty()),
            None => Ok(false),
        }
    }

    /// The layers of a file by names that have tensors, in its order, or `None` for a file by paths.
    pub(super) fn named_layers(&mut self) -> Result<Option<Vec<String>>> {
        let Layout::Names { order, .. } = &self.layout else {
            return Ok(None);
        };
        let mut names = Vec::new();
        for name in order.clone() {
            if !self.named(&name)?.names.is_empty() {
                names.push(name);
            }
        }
        Ok(Some(names))
    }

    /// The tensors of one layer or cell.
    pub(super) fn take(&mut self, place: &Place<'_>, wanted: &[Wanted]) -> Result<Vec<ArrayD<f32>>> {
        match &mut self.layout {
            Layout::Paths { layers, taken } => {
                let path = format!("{}/vars", at(&place.path, layers));
                let root = self.hdf5.root();
                let group = self.hdf5.group(&root, &path)?.ok_or_else(|| self.hdf5.missing(&path))?;
                let datasets = self.hdf5.datasets(&group, &path)?;
                taken.insert(path.clone());
                if datasets.len() != wanted.len() {
                    let roles: Vec<&str> = wanted.iter().map(|wanted| wanted.role).collect();
                    return Err(self.hdf5.file().content(
                        self.hdf5.place(&path),
                        format!("{} tensors: {}", wanted.len(), roles.join(", ")),
                        format!("{} tensors", datasets.len()),
                        "take the file that the same model was saved to; `use_bias` and the like say how many there are",
                    ));
                }
                let mut tensors = Vec::new();
                for (number, wanted) in wanted.iter().enumerate() {
                    let (name, shape) = (number.to_string(), (wanted.axes, wanted.shape.as_slice()));
                    let within = format!("{path}/{number} ({})", wanted.role);
                    let tensor = self.hdf5.tensor(&group, &name, &within, shape)?;
                    self.converted.extend(tensor.converted);
                    tensors.push(tensor.values);
                }
                Ok(tensors)
            }
            Layout::Names { .. } => wanted.iter().map(|wanted| self.take_named(place, wanted)).collect(),
        }
    }

    fn take_named(&mut self, place: &Place<'_>, wanted: &Wanted) -> Result<ArrayD<f32>> {
        let named = self.named(place.group)?;
        let is = |name: &str| {
            let mut parts = name.split('/').rev();
            let leaf = parts.next().unwrap_or_default();
            leaf.split(':').next() == Some(wanted.role)
                && place.contains.is_none_or(|layer| parts.any(|part| part == layer))
        };
        let found = named.names.iter_mut().find(|(name, taken)| !taken && is(name));
        let Some((name, taken)) = found else {
            let missing = format!("{}, a tensor named {}", place.group, wanted.role);
            return Err(self.hdf5.missing(&missing));
        };
        *taken = true;
        let (name, group) = (name.clone(), named.group.clone());
        let within = format!("{}/{}", place.group, short(&name));
        let tensor = self.hdf5.tensor(&group, &name, &within, (wanted.axes, &wanted.shape))?;
        self.converted.extend(tensor.converted);
        Ok(tensor.values)
    }

    /// The number of axes of a layer's first tensor of this name that nobody has taken yet; only files by names can say.
    pub(super) fn rank(&mut self, place: &Place<'_>, role: &str) -> Result<Option<usize>> {
        if matches!(self.layout, Layout::Paths { .. }) {
            return Ok(None);
        }
        let named = self.named(place.group)?;
        let leaf = |name: &str| {
            name.rsplit('/')
                .next()
                .and_then(|leaf| leaf.split(':').next().map(str::to_owned))
        };
        let found = named
            .names
            .iter()
            .find(|(name, taken)| !taken && leaf(name).as_deref() == Some(role));
        let Some((name, _)) = found else {
            return Ok(None);
        };
        let dataset = named.group.dataset(name);
        let shape = dataset.and_then(|dataset| dataset.shape());
        let shape = shape.map_err(|error| self.hdf5.damaged(place.group, &error))?;
        Ok(Some(shape.len()))
    }

    fn named(&mut self, layer: &str) -> Result<&mut Named> {
        let (hdf5, Layout::Names { group, layers, .. }) = (&self.hdf5, &mut self.layout) else {
            return Err(self.hdf5.missing(layer));
        };
        if !layers.contains_key(layer) {
            let of_layer = hdf5.group(group, layer)?.ok_or_else(|| hdf5.missing(layer))?;
            let names = listed(hdf5, &of_layer, layer, "weight_names")?;
            let named = Named {
                group: of_layer,
                names: names.into_iter().map(|name| (name, false)).collect(),
            };
            layers.insert(layer.to_owned(), named);
        }
        layers.get_mut(layer).ok_or_else(|| self.hdf5.missing(layer))
    }

    /// What to say of weights that were kept as other numbers.
    pub(super) fn converted_note(&self) -> Option<String> {
        let converted: Vec<&str> = self.converted.iter().copied().collect();
        let kept = (!converted.is_empty()).then(|| converted.join(", "));
        kept.map(|kept| format!("Weights kept as {kept} were converted to float32."))
    }

    /// An error if the file has tensors of layers that the model has not.
    pub(super) fn finish(&mut self) -> Result<()> {
        let left = match &self.layout {
            Layout::Paths { layers, taken } => {
                let root = self.hdf5.root();
                match self.hdf5.group(&root, layers)? {
                    Some(group) => self.left(&group, layers, taken, 0)?,
                    None => None,
                }
            }
            Layout::Names { .. } => {
                let names = self.named_layers()?.unwrap_or_default();
                let mut left = None;
                for layer in names {
                    let named = self.named(&layer)?;
                    if let Some((name, _)) = named.names.iter().find(|(_, taken)| !taken) {
                        left = Some(format!("{layer}/{}", short(name)));
                        break;
                    }
                }
                left
            }
        };
        match left {
            None => Ok(()),
            Some(left) => Err(self.hdf5.file().content(
                self.hdf5.place(&left),
                "only tensors that a layer of the model has",
                "one more",
                "take the layers and the weights of the same model",
            )),
        }
    }

    /// A group of `vars` with tensors that nobody took, among those within a group.
    fn left(&self, group: &Group, within: &str, taken: &BTreeSet<String>, depth: usize) -> Result<Option<String>> {
        const DEEPEST: usize = 32;
        if depth > DEEPEST {
            return Err(self.hdf5.file().content(
                self.hdf5.place(short(within)),
                format!("groups within groups, at most {DEEPEST} deep"),
                "more",
                "save the model again with Keras",
            ));
        }
        let names = self.hdf5.groups(group, within)?;
        for name in names {
            let path = format!("{within}/{name}");
            // the state of the random numbers of a Dropout
            if name == "seed_generator" || taken.contains(&path) {
                continue;
            }
            let Some(inner) = self.hdf5.group(group, &name)? else {
                continue;
            };
            if name == "vars" && !self.hdf5.datasets(&inner, &path)?.is_empty() {
                return Ok(Some(path));
            }
            if let Some(left) = self.left(&inner, &path, taken, depth + 1)? {
                return Ok(Some(left));
            }
        }
        Ok(None)
    }

    pub(super) fn hdf5(&self) -> &Hdf5<'a> {
        &self.hdf5
    }
}

/// A path as this file has it.
fn at(path: &str, layers: &str) -> String {
    match path.split_once('/') {
        Some((LAYERS, rest)) => format!("{layers}/{rest}"),
        _ => path.to_owned(),
    }
}

/// A list of texts in an attribute, or in several with numbers behind the name, where it is too long for one.
pub(super) fn listed(hdf5: &Hdf5<'_>, group: &Group, within: &str, name: &str) -> Result<Vec<String>> {
    let mut texts = hdf5.texts(group, within)?;
    if let Some(list) = texts.remove(name) {
        return Ok(list);
    }
    let parts = (0..).map_while(|number| texts.remove(&format!("{name}{number}")));
    Ok(parts.flatten().collect())
}
