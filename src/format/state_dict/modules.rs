//! The modules of a file of weights.

use std::cmp::Ordering;
use std::collections::HashMap;
use std::fmt;

use super::dict::StateDict;
use super::module::Module;
use super::tensor::Tensor;
use crate::error::Result;
use crate::format::file::File;

/// The modules of PyTorch in a file of weights, with their sizes: what there is to load, and which layers it wants.
///
/// A state dict names tensors and says nothing of how modules are joined. [`suggestion`](Self::suggestion) is the chain that the modules
/// look like, as code to begin with.
///
/// ```no_run
/// use cellstate::Modules;
///
/// let modules = Modules::open("model.safetensors")?;
/// println!("{modules}"); // a line for each module
/// println!("{}", modules.suggestion());
/// # Ok::<(), cellstate::Error>(())
/// ```
#[derive(Clone, Debug, PartialEq)]
pub struct Modules {
    pub(crate) list: Vec<Module>,
    /// Whether they stand in the order in which the program made them.
    pub(crate) ordered: bool,
}

impl Modules {
    /// The modules: of a `.pt` file in the order in which the program made them; a `.safetensors` file keeps no order, so there in that
    /// of their names.
    ///
    /// ```no_run
    /// # use cellstate::Modules;
    /// assert_eq!(Modules::open("model.pt")?.iter().count(), 2);
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Module> + '_ {
        self.list.iter()
    }

    /// Groups tensors by what stands before the last point of their names.
    pub(crate) fn of(dict: &StateDict<'_>, file: &File<'_>) -> Result<Self> {
        let mut places: HashMap<&str, usize> = HashMap::new();
        let mut groups: Vec<(&str, Vec<(&str, &Tensor<'_>)>)> = Vec::new();
        for tensor in &dict.tensors {
            let (prefix, leaf) = tensor.name.rsplit_once('.').unwrap_or(("", &tensor.name));
            let place = *places.entry(prefix).or_insert_with(|| {
                groups.push((prefix, Vec::new()));
                groups.len() - 1
            });
            if let Some((_, group)) = groups.get_mut(place) {
                group.push((leaf, tensor));
            }
        }
        if !dict.ordered {
            groups.sort_by(|(one, _), (other, _)| natural(one, other));
        }
        let list = groups.iter().map(|(prefix, tensors)| Module::of(prefix, tensors, file));
        Ok(Self {
            list: list.collect::<Result<Vec<_>>>()?,
            ordered: dict.ordered,
        })
    }
}

impl<'a> IntoIterator for &'a Modules {
    type Item = &'a Module;
    type IntoIter = std::slice::Iter<'a, Module>;

    fn into_iter(self) -> Self::IntoIter {
        self.list.iter()
    }
}

/// A line for each module.
impl fmt::Display for Modules {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let lines: Vec<String> = self.list.iter().map(Module::to_string).collect();
        formatter.write_str(&lines.join("\n"))
    }
}

/// `layers.2` before `layers.10`: parts that are numbers are compared as numbers.
pub(crate) fn natural(one: &str, other: &str) -> Ordering {
    let mut parts = one.split('.').zip(other.split('.'));
    let differing = parts.find(|(one, other)| one != other);
    match differing.map(|(one, other)| (one, other, one.parse::<u64>(), other.parse::<u64>())) {
        Some((_, _, Ok(one), Ok(other))) => one.cmp(&other),
        Some((one, other, ..)) => one.cmp(other),
        None => one.len().cmp(&other.len()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_sorted_as_numbers() {
        let mut names = ["net.10", "net.2", "a", "net", "net.2.b"];
        names.sort_by(|one, other| natural(one, other));
        assert_eq!(names, ["a", "net", "net.2", "net.2.b", "net.10"]);
    }
}
