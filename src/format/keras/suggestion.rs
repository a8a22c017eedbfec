//! The chain that a file of weights alone looks like, as code to begin with.

use hdf5_pure::Group;

use super::hdf5::Hdf5;
use super::weights::listed;
use crate::error::{Error, Result};
use crate::format::file::File;

/// More layers than this are counted, not shown.
const SHOWN: usize = 40;

/// A layer with weights.
#[derive(Debug)]
struct Found {
    name: String,
    parts: Vec<Part>,
}

/// A cell, or the layer itself: the shapes of its tensors.
#[derive(Debug)]
struct Part {
    /// Where it is within its layer.
    within: String,
    is_cell: bool,
    shapes: Vec<Vec<usize>>,
}

/// A layer as code, with the features that it takes and gives; without code where no layer has such tensors.
#[derive(Debug)]
struct Suggested {
    code: Option<String>,
    rank: usize,
    takes: Option<usize>,
    gives: usize,
}

/// The error of a file of weights that is opened as a model: which layers it holds, and a chain that would take them.
pub(super) fn no_chain(hdf5: &Hdf5<'_>, group: Option<&Group>) -> Result<Error> {
    let (found, is_ordered) = match group {
        Some(group) => (by_name(hdf5, group)?, true),
        None => (by_path(hdf5)?, false),
    };
    let file: &File<'_> = hdf5.file();
    let repair = "or save the whole model: `model.save(\"model.keras\")`";
    if found.is_empty() {
        let found = "none, and no weights of layers either";
        return Ok(file.content(
            "the attributes of the root",
            "model_config: the layers of a model",
            found,
            repair,
        ));
    }
    let more = match found.len().saturating_sub(SHOWN) {
        0 => String::new(),
        more => format!("\n… and {more} more"),
    };
    let found = found.get(..SHOWN).unwrap_or(&found);
    let suggested: Vec<Suggested> = found.iter().map(suggested).collect();
    let order = match is_ordered {
        true => (0..suggested.len()).collect(),
        false => order(&suggested),
    };
    Ok(file.content(
        "the attributes of the root",
        "model_config: the layers of a model",
        format!("none: these weights alone:\n{}{more}\n", described(found)),
        format!(
            "build the chain in code and load the weights into it:\n{}{repair}",
            code(found, &suggested, &order, is_ordered)
        ),
    ))
}

fn described(found: &[Found]) -> String {
    let lines = found.iter().map(|layer| {
        let shapes = layer.parts.iter().flat_map(|part| &part.shapes);
        let shapes: Vec<String> = shapes.take(12).map(|shape| format!("{shape:?}")).collect();
        format!("{}: {}", layer.name, shapes.join(" "))
    });
    lines.collect::<Vec<_>>().join("\n")
}

fn code(found: &[Found], suggested: &[Suggested], order: &[usize], is_ordered: bool) -> String {
    let mut text = "let mut model = Model::builder()\n".to_owned();
    let chain: Vec<(&Found, &Suggested)> = order
        .iter()
        .filter_map(|place| Some((found.get(*place)?, suggested.get(*place)?)))
        .collect();
    let last_recurrent = chain.iter().rposition(|(_, layer)| layer.rank == RECURRENT);
    for (place, (found, layer)) in chain.iter().enumerate() {
        let name = &found.name;
        text.push_str(&match &layer.code {
            // every recurrent layer but the last has to give every time step
            Some(code) if Some(place) < last_recurrent => {
                format!("    .add({}) // {name}\n", code.replace("@", ".return_sequences(true)"))
            }
            Some(code) => format!("    .add({}) // {name}\n", code.replace("@", "")),
            None => format!("    // {name}: no layer alone has such weights (a TimeDistributed around several, say)\n"),
        });
    }
    text.push_str("    .build()?;\nmodel.load_weights(path)?;\n");
    if !is_ordered {
        text.push_str("// the file keeps its layers by name: check their order\n");
    }
    text.push_str(
        "// activations, masks (Masking, mask_zero) and layers without weights are not in the file: add them\n",
    );
    if last_recurrent.is_some() {
        text.push_str("// where the last recurrent layer gives every time step, add .return_sequences(true)\n");
    }
    text
}

const EMBEDDING: usize = 0;
const RECURRENT: usize = 1;
const NORMALIZATION: usize = 2;
const OTHER: usize = 3;

/// The layer that has such tensors. `@` stands where a recurrent layer may be told to give every time step.
fn suggested(layer: &Found) -> Suggested {
    let made = match layer.parts.as_slice() {
        parts if parts.iter().all(|part| part.is_cell) => recurrent(parts),
        [part] => {
            let shapes: Vec<&[usize]> = part.shapes.iter().map(Vec::as_slice).collect();
            plain(&layer.name, &shapes)
        }
        _ => None,
    };
    made.unwrap_or(Suggested {
        code: None,
        rank: OTHER,
        takes: None,
        gives: 0,
    })
}

/// A layer of one cell, of one for each direction, or of several behind each other.
fn recurrent(parts: &[Part]) -> Option<Suggested> {
    let layer = |code: String, takes: Option<usize>, gives: usize| Suggested {
        code: Some(code),
        rank: RECURRENT,
        takes,
        gives,
    };
    // to look for an order takes its time
    let parts = Some(parts).filter(|parts| parts.len() <= SHOWN)?;
    let cells: Vec<Suggested> = parts.iter().map(cell).collect::<Option<_>>()?;
    let code = |cell: &Suggested| cell.code.clone().unwrap_or_default();
    match (cells.as_slice(), parts) {
        ([one], _) => Some(layer(format!("{}@", code(one)), one.takes, one.gives)),
        ([forward, backward], [first, ..]) if first.within.contains("forward_") => {
            let options = match forward.code == backward.code {
                true => String::new(),
                false => format!(".backward_layer({}@)", code(backward)),
            };
            let code = format!("Bidirectional::new({}@){options}", code(forward));
            Some(layer(code, forward.takes, forward.gives.saturating_add(backward.gives)))
        }
        (cells, _) => {
            let order = order(cells);
            let ordered: Vec<&Suggested> = order.iter().filter_map(|place| cells.get(*place)).collect();
            let codes = ordered.iter().map(|cell| format!("Recurrent::from({})", code(cell)));
            let codes = codes.collect::<Vec<_>>().join(", ");
            // cells that do not follow each other are no stack: those of a layer within another, which the file does not name
            let fit =
                |pair: &[&Suggested]| matches!(pair, [one, next] if next.takes.is_none_or(|takes| takes == one.gives));
            let (first, last) = (
                ordered.first()?,
                ordered.last().filter(|_| ordered.windows(2).all(fit))?,
            );
            Some(layer(
                format!("StackedRnnCells::new([{codes}])@"),
                first.takes,
                last.gives,
            ))
        }
    }
}

fn plain(name: &str, shapes: &[&[usize]]) -> Option<Suggested> {
    let layer = |code: String, rank: usize, takes: Option<usize>, gives: usize| Suggested {
        code: Some(code),
        rank,
        takes,
        gives,
    };
    let dense = |features: usize, units: usize, options: &str| {
        let code = format!("Dense::new({features}, {units}){options}");
        Some(layer(code, OTHER, Some(features), units))
    };
    let normalization = |class: &str, width: usize, options: &str| {
        let code = format!("{class}::new({width}){options}");
        Some(layer(code, NORMALIZATION, Some(width), width))
    };
    match *shapes {
        [&[tokens, width]] if name.starts_with("embedding") => {
            let code = format!("Embedding::new({tokens}, {width})");
            Some(layer(code, EMBEDDING, None, width))
        }
        [&[features, units]] => dense(features, units, ".use_bias(false)"),
        [&[features, units], &[_]] => dense(features, units, ""),
        [&[width]] => normalization("LayerNormalization", width, ".center(false) /* or .scale(false) */"),
        [&[width], &[_]] if name.starts_with("batch") => {
            normalization("BatchNormalization", width, ".scale(false).center(false)")
        }
        [&[width], &[_]] => normalization("LayerNormalization", width, ""),
        [&[width], &[_], &[_]] => normalization("BatchNormalization", width, ".scale(false) /* or .center(false) */"),
        [&[width], &[_], &[_], &[_]] => normalization("BatchNormalization", width, ""),
        _ => None,
    }
}

/// A cell as the layer of it.
fn cell(part: &Part) -> Option<Suggested> {
    let shapes: Vec<&[usize]> = part.shapes.iter().map(Vec::as_slice).collect();
    let [&[features, columns], &[units, _], ref bias @ ..] = *shapes else {
        return None;
    };
    let class = match columns.checked_div(units)? {
        4 => "Lstm",
        3 => "Gru",
        1 => "SimpleRnn",
        _ => return None,
    };
    let options = match bias {
        [] => ".use_bias(false)",
        [bias] if class == "Gru" && bias.len() == 1 => ".reset_after(false)",
        [_] => "",
        _ => return None,
    };
    Some(Suggested {
        code: Some(format!("{class}::new({features}, {units}){options}")),
        rank: RECURRENT,
        takes: Some(features),
        gives: units,
    })
}

/// An order in which each layer takes what the one before gives, if there is one; else tokens first, then what is recurrent.
fn order(layers: &[Suggested]) -> Vec<usize> {
    let mut ranked: Vec<usize> = (0..layers.len()).collect();
    ranked.sort_by_key(|place| layers.get(*place).map_or(OTHER, |layer| layer.rank));
    let mut chain = Vec::new();
    let mut tries = 10_000;
    match fits(layers, &ranked, &mut chain, &mut tries) {
        true => chain,
        false => ranked,
    }
}

/// Whether the layers that are left can stand behind the chain; then they do.
fn fits(layers: &[Suggested], ranked: &[usize], chain: &mut Vec<usize>, tries: &mut usize) -> bool {
    if chain.len() == ranked.len() {
        return true;
    }
    let width = chain.last().and_then(|last| layers.get(*last)).map(|last| last.gives);
    for place in ranked {
        let Some(layer) = layers.get(*place) else { continue };
        let takes_it = width.is_none() || (layer.takes.is_some() && layer.takes == width);
        if !takes_it || chain.contains(place) {
            continue;
        }
        *tries = tries.saturating_sub(1);
        if *tries == 0 {
            return false;
        }
        chain.push(*place);
        if fits(layers, ranked, chain, tries) {
            return true;
        }
        chain.pop();
    }
    false
}

/// The layers of a file by paths.
fn by_path(hdf5: &Hdf5<'_>) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for layers in ["layers", "_layer_checkpoint_dependencies"] {
        let Some(group) = hdf5.group(&hdf5.root(), layers)? else {
            continue;
        };
        let mut visits = 4096;
        for name in hdf5.groups(&group, layers)? {
            let mut layer = Found {
                name: super::config::short(&name).to_owned(),
                parts: Vec::new(),
            };
            if let Some(inner) = hdf5.group(&group, &name)? {
                collect(hdf5, &inner, "", &mut layer.parts, &mut visits)?;
            }
            if !layer.parts.is_empty() {
                found.push(layer);
            }
        }
    }
    Ok(found)
}

/// The groups of tensors within a group. Groups may lead into themselves.
fn collect(hdf5: &Hdf5<'_>, group: &Group, within: &str, parts: &mut Vec<Part>, visits: &mut usize) -> Result<()> {
    const DEEPEST: usize = 6;
    if within.matches('/').count() >= DEEPEST || *visits == 0 {
        return Ok(());
    }
    *visits -= 1;
    for name in hdf5.groups(group, within)? {
        // the state of the random numbers of a Dropout
        if name == "seed_generator" {
            continue;
        }
        let Some(inner) = hdf5.group(group, &name)? else {
            continue;
        };
        if name != "vars" {
            collect(hdf5, &inner, &format!("{within}{name}/"), parts, visits)?;
            continue;
        }
        let names = hdf5.datasets(&inner, within)?;
        let shapes = names.iter().map(|name| hdf5.shape_of(&inner, name, within));
        let shapes = shapes.collect::<Result<Vec<_>>>()?;
        if !shapes.is_empty() {
            let is_cell = within.ends_with("cell/") || within.contains("/cells/");
            let within = within.to_owned();
            parts.push(Part {
                within,
                is_cell,
                shapes,
            });
        }
    }
    // a direction that runs forward stands before the other one
    parts.sort_by(|one, other| {
        other
            .within
            .starts_with("forward")
            .cmp(&one.within.starts_with("forward"))
    });
    Ok(())
}

/// The layers of a file by names, in its order.
fn by_name(hdf5: &Hdf5<'_>, group: &Group) -> Result<Vec<Found>> {
    let mut found = Vec::new();
    for name in listed(hdf5, group, "the root", "layer_names")? {
        let Some(of_layer) = hdf5.group(group, &name)? else {
            continue;
        };
        let mut parts: Vec<Part> = Vec::new();
        for weight in listed(hdf5, &of_layer, &name, "weight_names")? {
            let shape = hdf5.shape_of(&of_layer, &weight, &name)?;
            let (path, leaf) = weight.rsplit_once('/').unwrap_or(("", &weight));
            let within = path.split_once('/').map_or(path, |(_, within)| within);
            if parts.last().is_none_or(|last| last.within != within) {
                parts.push(Part {
                    within: within.to_owned(),
                    is_cell: false,
                    shapes: Vec::new(),
                });
            }
            if let Some(part) = parts.last_mut() {
                part.is_cell |= leaf.starts_with("recurrent_kernel");
                part.shapes.push(shape);
            }
        }
        if !parts.is_empty() {
            let name = super::config::short(&name).to_owned();
            found.push(Found { name, parts });
        }
    }
    Ok(found)
}
