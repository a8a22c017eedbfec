//! Which module of a file fills which place of a chain.

use std::collections::HashSet;

use super::module::{Kind, Module};
use super::modules::{Modules, natural};
use super::place::{Difference, Place};
use crate::error::{Error, Result};
use crate::format::file::File;

/// One layer of a module, in the place that it fills.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Part<'m> {
    pub(crate) module: &'m Module,
    /// Which of its layers; 0 for a module that has none.
    pub(crate) layer: usize,
}

/// What a search may try, and how many modules it is made for; chains of real models have a few dozen at most.
const MOST_STEPS: usize = 10_000;
const MOST_MODULES: usize = 256;

/// The parts of all modules of a file, one for each place: in the order of the file if that fits, else in the only order that does.
pub(crate) fn by_order<'m>(
    modules: &'m Modules,
    places: &[Place<'_>],
    file: &File<'_>,
    notes: &mut Vec<String>,
) -> Result<Vec<Part<'m>>> {
    let in_order: Vec<&Module> = modules.list.iter().collect();
    if modules.ordered && mismatch(&in_order, places).is_none() {
        return Ok(in_order.into_iter().flat_map(parts).collect());
    }
    let mut search = Search {
        modules: &in_order,
        places,
        used: vec![false; in_order.len()],
        chosen: Vec::new(),
        found: Vec::new(),
        steps: 0,
        by_number: false,
    };
    let sum = in_order
        .iter()
        .fold(0, |sum: usize, module| sum.saturating_add(layers(module)));
    if sum == places.len() && in_order.len() <= MOST_MODULES {
        search.run(0);
    }
    let is_whole = search.steps <= MOST_STEPS;
    let (found, by_number) = (search.found, search.by_number);
    match found.as_slice() {
        [one] if is_whole => {
            let order: Vec<&Module> = one.iter().filter_map(|index| in_order.get(*index).copied()).collect();
            let names: Vec<&str> = order.iter().map(|module| module.name()).collect();
            match by_number {
                true => notes.push(format!(
                    "modules that differ in a number alone are taken in its order: {}",
                    names.join(", ")
                )),
                false if modules.ordered => {
                    notes.push(format!(
                        "the modules fill the layers in another order than the file's: {}",
                        names.join(", ")
                    ));
                }
                false => {}
            }
            Ok(order.into_iter().flat_map(parts).collect())
        }
        [] if is_whole => Err(no_match(modules, &in_order, places, file)),
        _ => Err(file.content(
            "the modules",
            "modules whose sizes say which layer each is for",
            format!("several that fit the same layers:\n{}", indented(modules)),
            by_names_instead(modules),
        )),
    }
}

/// The parts of the modules of these names, one for each place.
pub(crate) fn by_names<'m>(
    modules: &'m Modules,
    names: &[&str],
    places: &[Place<'_>],
    file: &File<'_>,
    notes: &mut Vec<String>,
) -> Result<Vec<Part<'m>>> {
    let mut chosen: Vec<&Module> = Vec::new();
    for (index, name) in names.iter().enumerate() {
        if index > 0 && names.get(index - 1) == Some(name) {
            continue; // another layer of the same module
        }
        let Some(module) = modules.list.iter().find(|module| module.name == *name) else {
            return Err(Error::Value {
                argument: "names of the modules".to_owned(),
                expected: format!("modules of {}:\n{}", file.path.display(), indented(modules)),
                found: format!("{name:?}"),
                repair: "a name is what stands before `.weight_ih_l0` or `.weight`".to_owned(),
            });
        };
        chosen.push(module);
    }
    if mismatch(&chosen, places).is_some() {
        return Err(no_match(modules, &chosen, places, file));
    }
    let others = modules
        .list
        .iter()
        .filter(|module| !names.contains(&module.name.as_str()));
    let others: Vec<&str> = others.map(|module| module.name.as_str()).collect();
    if !others.is_empty() {
        notes.push(format!(
            "modules of the file that were not named and are left out: {}",
            others.join(", ")
        ));
    }
    Ok(chosen.into_iter().flat_map(parts).collect())
}

/// All layers of a module.
fn parts(module: &Module) -> impl Iterator<Item = Part<'_>> {
    (0..layers(module)).map(move |layer| Part { module, layer })
}

/// How many places a module fills.
fn layers(module: &Module) -> usize {
    match &module.kind {
        Kind::Recurrent(module) => module.layers,
        _ => 1,
    }
}

/// How a module differs from the places from one on; `None` if all its layers fit.
fn difference(module: &Module, places: &[Place<'_>], from: usize) -> Option<(usize, Difference)> {
    (0..layers(module)).find_map(|layer| {
        let place = from.saturating_add(layer);
        match places.get(place) {
            Some(wanted) => wanted
                .difference(&module.kind, layer)
                .map(|difference| (place, difference)),
            None => Some((place, Difference::Class)),
        }
    })
}

/// The first place that its module does not fit, and which module that is.
fn mismatch(modules: &[&Module], places: &[Place<'_>]) -> Option<(usize, usize, Difference)> {
    let mut place = 0;
    for (index, module) in modules.iter().enumerate() {
        if let Some((place, difference)) = difference(module, places, place) {
            return Some((place, index, difference));
        }
        place += layers(module);
    }
    (place < places.len()).then_some((place, modules.len(), Difference::Class))
}

/// Looks for the orders of modules that fill all places.
struct Search<'s> {
    modules: &'s [&'s Module],
    places: &'s [Place<'s>],
    used: Vec<bool>,
    chosen: Vec<usize>,
    /// At most two, which is one too many.
    found: Vec<Vec<usize>>,
    steps: usize,
    /// Whether a number in the names decided.
    by_number: bool,
}

impl Search<'_> {
    /// Its depth is bounded: each module fills a place, and each place is filled once.
    fn run(&mut self, place: usize) {
        self.steps += 1;
        if self.found.len() > 1 || self.steps > MOST_STEPS {
            return;
        }
        if place >= self.places.len() {
            if self.chosen.len() == self.modules.len() {
                self.found.push(self.chosen.clone());
            }
            return;
        }
        for index in self.candidates(place) {
            self.set_used(index, true);
            self.chosen.push(index);
            self.run(place + self.modules.get(index).map_or(1, |module| layers(module)));
            self.chosen.pop();
            self.set_used(index, false);
        }
    }

    fn set_used(&mut self, index: usize, is_used: bool) {
        if let Some(used) = self.used.get_mut(index) {
            *used = is_used;
        }
    }

    /// The modules that fit here; of those that differ in a number alone the first.
    fn candidates(&mut self, place: usize) -> Vec<usize> {
        let unused = self
            .modules
            .iter()
            .enumerate()
            .zip(&self.used)
            .filter(|(_, used)| !**used);
        let fit = unused.filter(|((_, module), _)| difference(module, self.places, place).is_none());
        let mut fit: Vec<(usize, &Module)> = fit.map(|((index, module), _)| (index, *module)).collect();
        fit.sort_by(|(_, one), (_, other)| natural(&one.name, &other.name));
        let mut stems = HashSet::new();
        let mut first = Vec::new();
        for (index, module) in fit {
            let stem = stem(&module.name);
            let has_number = stem.contains('#');
            match stems.insert(stem) || !has_number {
                true => first.push(index),
                false => self.by_number = true,
            }
        }
        first
    }
}

/// A name without the numbers that stand in it as whole parts, as those of `nn.Sequential` and `nn.ModuleList` do.
fn stem(name: &str) -> String {
    let parts = name
        .split('.')
        .map(|part| match part.bytes().all(|byte| byte.is_ascii_digit()) {
            true => "#",
            false => part,
        });
    parts.collect::<Vec<_>>().join(".")
}

fn no_match(modules: &Modules, chosen: &[&Module], places: &[Place<'_>], file: &File<'_>) -> Error {
    let wanted: Vec<String> = places
        .iter()
        .map(|place| format!("  {}", place.description()))
        .collect();
    let at = mismatch(chosen, places);
    if let Some((place, index, Difference::Size)) = at
        && let (Some(place), Some(module)) = (places.get(place), chosen.get(index))
    {
        return Error::Size {
            argument: format!("{} in {}", place.description(), file.path.display()),
            expected: "a module of these sizes".to_owned(),
            found: module.to_string(),
            repair: format!(
                "give the layer the sizes of the module, or name the modules that are meant: {}",
                by_names_instead(modules)
            ),
        };
    }
    file.content(
        "the modules",
        format!("modules for these layers:\n{}\n", wanted.join("\n")),
        format!("\n{}\n", indented(modules)),
        format!(
            "build a model with a layer for each module; {}",
            by_names_instead(modules)
        ),
    )
}

fn indented(modules: &Modules) -> String {
    const SHOWN: usize = 40;
    let mut lines: Vec<String> = modules
        .list
        .iter()
        .take(SHOWN)
        .map(|module| format!("  {module}"))
        .collect();
    if modules.list.len() > SHOWN {
        lines.push(format!("  and {} more", modules.list.len() - SHOWN));
    }
    lines.join("\n")
}

fn by_names_instead(modules: &Modules) -> String {
    let names: Vec<String> = modules
        .list
        .iter()
        .take(4)
        .map(|module| format!("{:?}", module.name()))
        .collect();
    format!(
        "name the modules in the order of the layers: `model.load_modules(path, &[{}])`",
        names.join(", ")
    )
}
