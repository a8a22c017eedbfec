//! The chain that a file of weights alone looks like, as code to begin with.

use hdf5_pure::Group;

use super::found::{Class, Found, Part, by_name, by_path};
use super::hdf5::Hdf5;
use crate::error::{Error, Result};
use crate::format::file::File;

/// More layers than this are counted, not shown.
const SHOWN: usize = 40;

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
    let nested = last_nested(found);
    let suggested: Vec<Suggested> = found.iter().map(|layer| suggested(layer, nested.is_some())).collect();
    let (inner, outer) = match is_ordered {
        true => in_order(found),
        false => by_wrapper(found, &suggested, nested),
    };
    let pairs = |places: &[usize]| -> Vec<Pair<'_>> {
        let pairs = places.iter();
        pairs
            .filter_map(|place| Some((found.get(*place)?, suggested.get(*place)?)))
            .collect()
    };
    Ok(file.content(
        "the attributes of the root",
        "model_config: the layers of a model",
        format!("none: these weights alone:\n{}{more}\n", described(found)),
        format!(
            "build the chain in code and load the weights into it:\n{}{repair}",
            code(&pairs(&inner), &pairs(&outer), is_ordered)
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

/// A layer of the file, and as code.
type Pair<'f> = (&'f Found, &'f Suggested);

/// The number of the last wrapper whose layers run over sequences within sequences.
fn last_nested(found: &[Found]) -> Option<usize> {
    let nested = found.iter().filter(|layer| layer.is_nested());
    nested
        .filter_map(|layer| layer.wrapper)
        .map(|wrapper| wrapper.number)
        .max()
}

/// The places of the layers within TimeDistributed, and of those behind, of a file that keeps the order.
fn in_order(found: &[Found]) -> (Vec<usize>, Vec<usize>) {
    let inner = found.iter().rposition(Found::is_nested).map_or(0, |last| last + 1);
    ((0..inner).collect(), (inner..found.len()).collect())
}

/// The same of a file that does not: its wrappers are numbered, and tokens come first.
fn by_wrapper(found: &[Found], suggested: &[Suggested], nested: Option<usize>) -> (Vec<usize>, Vec<usize>) {
    let is_inner = |layer: &Found| match layer.wrapper {
        Some(wrapper) => Some(wrapper.number) <= nested,
        None => nested.is_some() && layer.class == Class::Embedding,
    };
    let (mut inner, outer): (Vec<usize>, Vec<usize>) =
        (0..found.len()).partition(|place| found.get(*place).is_some_and(is_inner));
    let layers = |places: &[usize]| {
        places
            .iter()
            .filter_map(|place| suggested.get(*place))
            .collect::<Vec<_>>()
    };
    let ordered = |places: &[usize], width: Option<usize>| -> Vec<usize> {
        let order = order(&layers(places), width);
        order.iter().filter_map(|place| places.get(*place).copied()).collect()
    };
    // an order of the wrappers' own, and within a model one that fits
    inner = ordered(&inner, None);
    inner.sort_by_key(|place| {
        found
            .get(*place)
            .and_then(|layer| layer.wrapper)
            .map(|wrapper| wrapper.number)
    });
    let width = layers(&inner).last().map(|last| last.gives);
    let outer = ordered(&outer, width);
    (inner, outer)
}

fn code(inner: &[Pair<'_>], outer: &[Pair<'_>], is_ordered: bool) -> String {
    let mut text = format!("let mut model = Model::builder()\n{}", nested(inner));
    for (name, code) in coded(outer) {
        text.push_str(&match code {
            Some(code) => format!("    .add({code}) // {name}\n"),
            None => unknown(name),
        });
    }
    text.push_str("    .build()?;\nmodel.load_weights(path)?;\n");
    if !is_ordered {
        text.push_str("// the file keeps its layers by name: check their order\n");
    }
    text.push_str(
        "// activations, masks (Masking, mask_zero) and layers without weights are not in the file: add them\n",
    );
    if outer.iter().any(|(_, layer)| layer.rank == RECURRENT) {
        text.push_str("// where the last recurrent layer gives every time step, add .return_sequences(true)\n");
    }
    text
}

/// The layers that run over a sequence within each time step.
fn nested(inner: &[Pair<'_>]) -> String {
    let lines = coded(inner);
    let has_code = |(_, code): &(&str, Option<String>)| code.is_some();
    let (first, last) = (lines.iter().position(has_code), lines.iter().rposition(has_code));
    let lines = lines.into_iter().enumerate().map(|(place, (name, code))| {
        let Some(code) = code else { return unknown(name) };
        let begin = match first == Some(place) {
            true => "    .add(TimeDistributed::new(",
            false => "        .add(",
        };
        let end = match last == Some(place) {
            true => "))",
            false => ")",
        };
        format!("{begin}{code}{end} // {name}\n")
    });
    lines.collect()
}

/// The names of layers, and their code. Every recurrent layer but the last has to give every time step.
fn coded<'f>(chain: &[Pair<'f>]) -> Vec<(&'f str, Option<String>)> {
    let last = chain.iter().rposition(|(_, layer)| layer.rank == RECURRENT);
    let lines = chain.iter().enumerate().map(|(place, (found, layer))| {
        let option = match Some(place) < last {
            true => ".return_sequences(true)",
            false => "",
        };
        (
            found.name.as_str(),
            layer.code.as_ref().map(|code| code.replace('@', option)),
        )
    });
    lines.collect()
}

fn unknown(name: &str) -> String {
    format!("    // {name}: no layer that cellstate knows has such a name and such weights\n")
}

const EMBEDDING: usize = 0;
const RECURRENT: usize = 1;
const NORMALIZATION: usize = 2;
const OTHER: usize = 3;

/// The layer that has such tensors. `@` stands where a recurrent layer may be told to give every time step.
fn suggested(layer: &Found, is_nested: bool) -> Suggested {
    let made = match layer.parts.as_slice() {
        parts if parts.iter().all(|part| part.is_cell) => recurrent(parts),
        [part] => {
            let shapes: Vec<&[usize]> = part.shapes.iter().map(Vec::as_slice).collect();
            let starts = is_nested && layer.wrapper.is_some_and(|wrapper| wrapper.number == 0);
            plain(layer.class, starts, &shapes)
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
            let order = order(&cells.iter().collect::<Vec<_>>(), None);
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

/// A layer without a cell. Where the file says its wrapper alone, the code names what else it may be; `starts` says whether that may read
/// tokens.
fn plain(class: Class, starts: bool, shapes: &[&[usize]]) -> Option<Suggested> {
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
    let unsaid = class == Class::Unsaid;
    let is = |known: Class| unsaid || class == known;
    match *shapes {
        [&[tokens, width]] if class == Class::Embedding || (unsaid && starts) => {
            let or = match unsaid {
                true => format!(" /* or Dense::new({tokens}, {width}).use_bias(false) */"),
                false => String::new(),
            };
            let code = format!("Embedding::new({tokens}, {width}){or}");
            Some(layer(code, EMBEDDING, None, width))
        }
        [&[features, units]] if is(Class::Dense) => dense(features, units, ".use_bias(false)"),
        [&[features, units], &[_]] if is(Class::Dense) => dense(features, units, ""),
        [&[width]] if is(Class::LayerNormalization) => {
            normalization("LayerNormalization", width, ".center(false) /* or .scale(false) */")
        }
        [&[width], &[_]] if class == Class::BatchNormalization => {
            normalization("BatchNormalization", width, ".scale(false).center(false)")
        }
        [&[width], &[_]] if unsaid => {
            let or = format!(" /* or BatchNormalization::new({width}).scale(false).center(false) */");
            normalization("LayerNormalization", width, &or)
        }
        [&[width], &[_]] if class == Class::LayerNormalization => normalization("LayerNormalization", width, ""),
        [&[width], &[_], &[_]] if is(Class::BatchNormalization) => {
            normalization("BatchNormalization", width, ".scale(false) /* or .center(false) */")
        }
        [&[width], &[_], &[_], &[_]] if is(Class::BatchNormalization) => normalization("BatchNormalization", width, ""),
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

/// An order in which each layer takes what the one before gives, the first one what is given, if there is one; else tokens first, then
/// what is recurrent.
fn order(layers: &[&Suggested], given: Option<usize>) -> Vec<usize> {
    let mut ranked: Vec<usize> = (0..layers.len()).collect();
    ranked.sort_by_key(|place| layers.get(*place).map_or(OTHER, |layer| layer.rank));
    let mut chain = Vec::new();
    let mut tries = 10_000;
    match fits(layers, given, &ranked, &mut chain, &mut tries) {
        true => chain,
        false => ranked,
    }
}

/// Whether the layers that are left can stand behind the chain; then they do.
fn fits(
    layers: &[&Suggested],
    given: Option<usize>,
    ranked: &[usize],
    chain: &mut Vec<usize>,
    tries: &mut usize,
) -> bool {
    if chain.len() == ranked.len() {
        return true;
    }
    let last = chain.last().and_then(|last| layers.get(*last));
    let width = last.map_or(given, |last| Some(last.gives));
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
        if fits(layers, given, ranked, chain, tries) {
            return true;
        }
        chain.pop();
    }
    false
}
