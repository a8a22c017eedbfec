//! The chain that modules look like, as code to begin with.

use super::module::{Kind, Module};
use super::modules::{Modules, natural};
use super::recurrent_module::RecurrentModule;
use crate::error::Error;
use crate::format::file::File;

impl Modules {
    /// The chain that the modules look like, as Rust code, with what the file does not tell as comments. It is something to begin with: a
    /// state dict does not say how modules are joined, which activations stand between them, nor whether sequences are packed.
    ///
    /// ```no_run
    /// use cellstate::Modules;
    ///
    /// println!("{}", Modules::open("model.pt")?.suggestion());
    /// // let mut model = Model::builder()
    /// //     .add(Lstm::new(2, 64).return_sequences(true)) // lstm
    /// //     .add(Dense::new(64, 1)) // head
    /// //     .build()?;
    /// // …
    /// # Ok::<(), cellstate::Error>(())
    /// ```
    #[must_use]
    pub fn suggestion(&self) -> String {
        let order = self.likely_order();
        let mut text = "let mut model = Model::builder()\n".to_owned();
        for (index, module) in order.iter().enumerate() {
            for line in lines(module, index == 0) {
                text.push_str(&format!("    {line}\n"));
            }
        }
        text.push_str("    .build()?;\n");
        let known = order.iter().filter(|module| module.kind != Kind::Unknown);
        let names: Vec<String> = known.map(|module| format!("{:?}", module.name)).collect();
        text.push_str(&format!("model.load_modules(path, &[{}])?;\n", names.join(", ")));
        for remark in self.remarks() {
            text.push_str(&format!("// {remark}\n"));
        }
        text
    }

    /// The order of the file, or where it has none: tokens first, then what is recurrent, then the others.
    fn likely_order(&self) -> Vec<&Module> {
        let mut order: Vec<&Module> = self.list.iter().collect();
        if !self.ordered {
            let rank = |module: &Module| match module.kind {
                Kind::Matrix { bias: false, .. } => 0,
                Kind::Recurrent(_) => 1,
                _ => 2,
            };
            order.sort_by(|one, other| {
                rank(one)
                    .cmp(&rank(other))
                    .then_with(|| natural(&one.name, &other.name))
            });
        }
        order
    }

    fn remarks(&self) -> Vec<&'static str> {
        let mut remarks = Vec::new();
        if !self.ordered {
            remarks.push("the file keeps its modules by name: check their order");
        }
        let recurrent = self.list.iter().filter_map(|module| match &module.kind {
            Kind::Recurrent(module) => Some(module),
            _ => None,
        });
        let recurrent: Vec<&RecurrentModule> = recurrent.collect();
        if !recurrent.is_empty() {
            remarks.extend([
                "inputs are (batch, time_steps, features), as with batch_first=True; without it swap the first two axes",
                "where only the last step is used, as output[:, -1] in PyTorch, leave out the last return_sequences(true)",
                "where PyTorch packs sequences, give their lengths with Sequences::with_lengths, and call \
                 zero_output_for_mask(true) on recurrent layers of one direction: pad_packed_sequence gives zeros",
            ]);
        }
        if recurrent.iter().any(|module| module.gates == 1) {
            remarks.push("nonlinearity='relu' is .activation(Activation::Relu)");
        }
        if recurrent.iter().any(|module| module.is_cell) {
            remarks.push("a cell that is called step by step in a loop is a layer here");
        }
        if self
            .list
            .iter()
            .any(|module| matches!(module.kind, Kind::Matrix { .. }))
        {
            remarks.push(
                "activations have no weights: add them, as Dense::new(…).activation(Activation::Relu) or .add(Activation::Relu)",
            );
        }
        remarks
    }
}

/// A line of code for each layer of a module.
fn lines(module: &Module, is_first: bool) -> Vec<String> {
    let name = if module.name.is_empty() {
        "(no prefix)"
    } else {
        &module.name
    };
    match &module.kind {
        Kind::Recurrent(kind) => (0..kind.layers.min(64))
            .map(|layer| match kind.is_cell {
                true => format!(".add({}) // {name}", recurrent(kind, layer)),
                false => format!(".add({}) // {name}, layer {layer}", recurrent(kind, layer)),
            })
            .collect(),
        Kind::Matrix {
            rows,
            columns,
            bias: false,
        } if is_first => {
            vec![format!(".add(Embedding::new({rows}, {columns})) // {name}")]
        }
        Kind::Matrix { rows, columns, bias } => {
            let bias = if *bias { "" } else { ".use_bias(false)" };
            vec![format!(".add(Dense::new({columns}, {rows}){bias}) // {name}")]
        }
        Kind::LayerNorm { width, bias } => {
            let center = if *bias { "" } else { ".center(false)" };
            vec![format!(
                ".add(LayerNormalization::new({width}).epsilon(1e-5){center}) // {name}"
            )]
        }
        Kind::BatchNorm { width, affine } => {
            let plain = if *affine { "" } else { ".scale(false).center(false)" };
            vec![format!(
                ".add(BatchNormalization::new({width}).epsilon(1e-5){plain}) // {name}"
            )]
        }
        Kind::Unknown => {
            vec![format!("// {module}: no layer for it")]
        }
    }
}

fn recurrent(module: &RecurrentModule, layer: usize) -> String {
    let class = match module.gates {
        4 => "Lstm",
        3 => "Gru",
        _ => "SimpleRnn",
    };
    let (features, units) = (module.features_of(layer), module.units);
    let mut code = format!("{class}::new({features}, {units})");
    if module.projected {
        code.push_str(&format!(".projection({})", module.output));
    }
    if !module.bias {
        code.push_str(".use_bias(false)");
    }
    code.push_str(".return_sequences(true)");
    match module.bidirectional {
        true => format!("Bidirectional::new({code})"),
        false => code,
    }
}

/// The error of a file of weights that is opened as a model: which modules it holds, and the chain that they look like.
pub(crate) fn no_chain(modules: &Modules, file: &File<'_>) -> Error {
    const SHOWN: usize = 40;
    let shown = Modules {
        list: modules.list.iter().take(SHOWN).cloned().collect(),
        ordered: modules.ordered,
    };
    let more = match modules.list.len() > SHOWN {
        true => format!("\n… and {} more", modules.list.len() - SHOWN),
        false => String::new(),
    };
    file.content(
        "the whole",
        "a model, or weights with a chain of layers",
        format!("the weights of these modules alone:\n{shown}{more}\n"),
        format!(
            "build the chain in code and load the weights into it:\n{}or describe the chain in a JSON file of the same name beside it, \
             as `Model::save` does in the metadata of its own files",
            shown.suggestion()
        ),
    )
}
