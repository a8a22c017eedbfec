//! From the stages that make an output back to the input: the one chain of layers that the graph is.

use std::sync::Arc;

use ndarray::{Array1, Array2};

use super::graph::Graph;
use super::node::{Node, in_node};
use super::reader::Reader;
use super::stage::{Kind, RecurrentNode};
use super::value::{Block, Data, Join, Pick};
use crate::cell::ValueRange;
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::layer::batch_normalization::{BatchNormalization, BatchNormalizationWeights};
use crate::layer::bidirectional::{Bidirectional, MergeMode};
use crate::layer::dense::Dense;
use crate::layer::embedding::Embedding;
use crate::layer::flatten::Flatten;
use crate::layer::last_step::LastStep;
use crate::layer::recurrent::Recurrent;
use crate::layer::repeat_vector::RepeatVector;
use crate::layer::reshape::Reshape;
use crate::layer::weights::DenseWeights;

/// A stage of the chain, and what of its output is read.
#[derive(Clone, Debug)]
pub(super) struct Link {
    pub(super) stage: usize,
    pub(super) data: Data,
}

impl Reader<'_> {
    /// The stages that make a tensor, the one nearest to the input first.
    pub(super) fn links(&self, graph: &Graph<'_>, output: &Data) -> Result<Vec<Link>> {
        let mut links = Vec::new();
        let mut data = output.clone();
        // whether somebody behind reads time the other way round
        let mut turned_later = false;
        loop {
            let joined = || self.refused(graph, &data, "outputs of several layers joined");
            let number = data.stage().ok_or_else(joined)?;
            let Some(stage) = self.stages.get(number) else {
                return Err(Error::defect("a stage of a chain"));
            };
            let pick = data.blocks.first().map_or(Pick::All, |block| block.pick);
            links.push(Link {
                stage: number,
                data: data.clone(),
            });
            let is_whole = data.blocks.len() == 1 && data.join == Join::Concat;
            if !matches!(stage.kind, Kind::Recurrent(_)) && !is_whole {
                return Err(joined());
            }
            let Some(reads) = &stage.reads else {
                if pick != Pick::All {
                    return Err(self.refused(graph, &data, "one time step of the input alone"));
                }
                if data.turned && !turned_later {
                    return Err(self.refused(graph, &data, "the time steps of the input the other way round"));
                }
                links.reverse();
                return Ok(links);
            };
            let mut before = reads.clone();
            match &stage.kind {
                Kind::Recurrent(recurrent) => turned_later = recurrent.turned,
                kind if kind.is_stepwise() && pick != Pick::All => {
                    // the step is counted in the order of the input, not in that of this tensor
                    let counted_anew = before.turned && self.sets_time(&before);
                    for block in &mut before.blocks {
                        if block.pick != Pick::All {
                            return Err(self.refused(graph, &data, "a time step of what has none"));
                        }
                        block.pick = if counted_anew { pick.turned() } else { pick };
                    }
                    before.turned = false;
                }
                kind if kind.is_stepwise() => {}
                _ if pick != Pick::All => {
                    return Err(self.refused(graph, &data, "one of the repeated time steps alone"));
                }
                _ => {}
            }
            data = before;
        }
    }

    fn refused(&self, graph: &Graph<'_>, data: &Data, why: &str) -> Error {
        let stage = data.blocks.first().and_then(|block| self.stages.get(block.stage));
        match stage.and_then(|stage| graph.node(stage.node)) {
            Some(node) => node.no_chain(why),
            None => Error::Unsupported {
                layer: graph.file.path.display().to_string(),
                option: why.to_owned(),
                instead: "only models that are one chain of layers are read".to_owned(),
            },
        }
    }

    /// The layers of a chain.
    pub(super) fn layers(&self, graph: &Graph<'_>, links: &[Link], return_state: bool) -> Result<Vec<Layer>> {
        check_lengths(self, graph, links)?;
        let range = graph.file.range;
        let mut layers: Vec<Layer> = Vec::new();
        let mut rest = links.iter().peekable();
        while let Some(link) = rest.next() {
            let Some(stage) = self.stages.get(link.stage) else {
                return Err(Error::defect("a stage of a chain"));
            };
            let node = graph.node(stage.node);
            let made = match (&stage.kind, &node) {
                (Kind::Input, _) => continue,
                (Kind::Recurrent(recurrent), Some(node)) => {
                    let is_last = rest.peek().is_none();
                    layers.extend(recurrent.layers(node, &link.data, return_state && is_last)?);
                    continue;
                }
                (Kind::Product(kernel), _) => {
                    let bias = rest.next_if(|next| matches!(self.kind(next), Some(Kind::Bias(_))));
                    let active = rest.next_if(|next| matches!(self.kind(next), Some(Kind::Activation(_))));
                    dense(
                        kernel,
                        bias.and_then(|link| self.kind(link)),
                        active.and_then(|link| self.kind(link)),
                        range,
                    )
                }
                (Kind::Scale(scale), _) => {
                    let bias = rest.next_if(|next| matches!(self.kind(next), Some(Kind::Bias(_))));
                    match bias.and_then(|link| self.kind(link)) {
                        Some(Kind::Bias(bias)) => affine(Some(scale), Some(bias), range),
                        _ => affine(Some(scale), None, range),
                    }
                }
                (kind, _) => simple(kind, range),
            };
            layers.push(made.map_err(|error| match &node {
                Some(node) => in_node(node, error),
                None => error,
            })?);
        }
        Ok(layers)
    }

    fn kind(&self, link: &Link) -> Option<&Kind> {
        self.stages.get(link.stage).map(|stage| &stage.kind)
    }
}

/// The layer of a stage that stands by itself.
fn simple(kind: &Kind, range: ValueRange) -> Result<Layer> {
    Ok(match kind {
        Kind::Embedding(table) => Embedding::new(table.nrows(), table.ncols())
            .with_embeddings_in(table.clone(), range)?
            .into(),
        Kind::Bias(bias) => affine(None, Some(bias), range)?,
        Kind::Activation(activation) => (*activation).into(),
        Kind::BatchNormalization(layer) => layer.clone().into(),
        Kind::LayerNormalization(layer) => layer.clone().into(),
        Kind::Repeat(steps) => RepeatVector::new(*steps).into(),
        Kind::Reshape(from, to) => Reshape::new(*from, *to).into(),
        Kind::Flatten(time_steps, features) => Flatten::new(*time_steps, *features).into(),
        Kind::Input | Kind::Recurrent(_) | Kind::Product(_) | Kind::Scale(_) => {
            return Err(Error::defect("a stage that is no layer by itself"));
        }
    })
}

/// A product with what stands directly behind it.
fn dense(kernel: &Array2<f32>, bias: Option<&Kind>, active: Option<&Kind>, range: ValueRange) -> Result<Layer> {
    let mut dense = Dense::new(kernel.nrows(), kernel.ncols());
    if let Some(Kind::Activation(activation)) = active {
        dense = dense.activation(*activation);
    }
    let bias = match bias {
        Some(Kind::Bias(bias)) => Some(bias.clone()),
        _ => None,
    };
    let kernel = kernel.clone();
    Ok(dense.with_weights_in(DenseWeights { kernel, bias }, range)?.into())
}

/// A product with a row and a sum with a row: a BatchNormalization whose mean is 0 and whose variance is 1.
fn affine(scale: Option<&Array1<f32>>, bias: Option<&Array1<f32>>, range: ValueRange) -> Result<Layer> {
    let features = scale.or(bias).map_or(0, Array1::len);
    let layer = BatchNormalization::new(features).epsilon(f32::MIN_POSITIVE);
    let weights = BatchNormalizationWeights {
        gamma: scale.cloned(),
        beta: bias.cloned(),
        moving_mean: Array1::zeros(features),
        moving_variance: Array1::ones(features),
    };
    Ok(layer.with_weights_in(weights, range)?.into())
}

/// A mask goes through all recurrent layers up to a RepeatVector: either all of them are given the lengths, or none.
fn check_lengths(reader: &Reader<'_>, graph: &Graph<'_>, links: &[Link]) -> Result<()> {
    let mut given: Option<&Option<Arc<str>>> = None;
    for link in links {
        let Some(stage) = reader.stages.get(link.stage) else {
            continue;
        };
        match &stage.kind {
            Kind::Repeat(_) => given = Some(&None),
            Kind::Recurrent(recurrent) => {
                if given.is_some_and(|given| *given != recurrent.lengths) {
                    let why = "sequence_lens that are not the same for all recurrent nodes";
                    return Err(reader.refused(graph, &link.data, why));
                }
                given = Some(&recurrent.lengths);
                if recurrent.turned && recurrent.lengths.is_some() {
                    let why = "sequence_lens for time steps that run the other way round";
                    return Err(reader.refused(graph, &link.data, why));
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// What is read of a recurrent node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Read {
    /// Every time step; in the order of the input, or as the layer ran.
    Steps { as_it_ran: bool },
    /// The output at the last time step, which is zero where it is masked, or the last output of each sequence.
    Last { of_axis: bool },
}

impl RecurrentNode {
    /// The layers whose output is these blocks: one, and where only the last time step of all directions is read, a second one.
    fn layers(&self, node: &Node<'_>, data: &Data, return_state: bool) -> Result<Vec<Layer>> {
        let mut data = data.clone();
        let of_last = |block: &Block| block.pick == Pick::LastStep;
        let runs_back = self.turned != self.reverse
            || data.blocks.len() > 1
            || data.blocks.iter().any(|block| block.direction == 1);
        let takes_last = runs_back && data.blocks.iter().all(of_last);
        if takes_last {
            for block in &mut data.blocks {
                block.pick = Pick::All;
            }
        }
        let return_state = return_state && !takes_last;
        let directions: Vec<usize> = data.blocks.iter().map(|block| block.direction).collect();
        let layer = match (directions.as_slice(), self.layers.as_slice()) {
            ([0], [only]) => self.single(node, only, self.reverse, &data, return_state),
            ([0], [forward, _]) => self.single(node, forward, false, &data, return_state),
            ([1], [_, backward]) => self.single(node, backward, true, &data, return_state),
            ([0, 1], [forward, backward]) => self.both(node, [forward, backward], &data, return_state),
            _ => Err(node.no_chain("the directions in another order, or twice")),
        }?;
        let last = takes_last.then(|| LastStep::new().into());
        Ok(std::iter::once(layer).chain(last).collect())
    }

    fn single(
        &self,
        node: &Node<'_>,
        layer: &Recurrent,
        reverse: bool,
        data: &Data,
        return_state: bool,
    ) -> Result<Layer> {
        let backwards = reverse != self.turned;
        let pick = data.blocks.first().map_or(Pick::All, |block| block.pick);
        let read = read(pick, backwards, data.turned).ok_or_else(|| node.no_chain(out_of_reach(pick)))?;
        let mut layer = layer.clone();
        layer.options.go_backwards = backwards;
        layer.options.return_state = return_state;
        match read {
            Read::Steps { as_it_ran } => {
                layer.options.return_sequences = true;
                layer.options.input_order = backwards && !as_it_ran;
                // what follows sequence_lens is zero
                layer.options.zero_output_for_mask = self.lengths.is_some();
            }
            Read::Last { of_axis } => layer.options.zero_output_for_mask = of_axis && self.lengths.is_some(),
        }
        Ok(layer.into())
    }

    fn both(&self, node: &Node<'_>, layers: [&Recurrent; 2], data: &Data, return_state: bool) -> Result<Layer> {
        if self.turned {
            return Err(node.no_chain("time steps that run the other way round, into both directions"));
        }
        let picks = [0, 1].map(|place| data.blocks.get(place).map_or(Pick::All, |block| block.pick));
        let [first, second] = picks;
        // the outputs of the backward direction are turned round by the layer
        let (forward, backward) = (read(first, false, data.turned), read(second, true, data.turned));
        // under lengths a step past the end of a sequence is zero
        let past_end = matches!(forward, Some(Read::Last { of_axis: true })) && self.lengths.is_some();
        let return_sequences = match (forward, backward) {
            (Some(Read::Steps { as_it_ran: true }), Some(Read::Steps { as_it_ran: false })) => true,
            (Some(Read::Last { .. }), Some(Read::Last { .. })) if !past_end => false,
            (Some(_), _) => return Err(node.no_chain(out_of_reach(second))),
            _ => return Err(node.no_chain(out_of_reach(first))),
        };
        let [forward, backward] = layers.map(|layer| {
            let mut layer = layer.clone();
            layer.options.return_sequences = return_sequences;
            layer.options.return_state = return_state;
            layer
        });
        let merge = match data.join {
            Join::Concat => MergeMode::Concat,
            Join::Sum => MergeMode::Sum,
            Join::Product => MergeMode::Multiply,
            Join::Average => MergeMode::Average,
        };
        Ok(Bidirectional::new(forward)
            .backward_layer(backward)
            .merge_mode(merge)
            .into())
    }
}

/// What a pick is to a layer in a direction, whose outputs are turned round or not. `None` if no layer gives that.
fn read(pick: Pick, backwards: bool, turned: bool) -> Option<Read> {
    match (pick, backwards, turned) {
        (Pick::All, false, false) | (Pick::All, true, true) => Some(Read::Steps { as_it_ran: true }),
        (Pick::All, true, false) => Some(Read::Steps { as_it_ran: false }),
        (Pick::LastStep, false, _) | (Pick::FirstStep, true, _) => Some(Read::Last { of_axis: !backwards }),
        (Pick::Final, ..) => Some(Read::Last { of_axis: false }),
        _ => None,
    }
}

fn out_of_reach(pick: Pick) -> &'static str {
    match pick {
        Pick::LastStep => {
            "the last time step of a direction that runs backwards, which has seen one step only (take `Y_h`, PyTorch's `h_n`)"
        }
        Pick::FirstStep => "the first time step of a direction that runs forwards (take `Y_h`, PyTorch's `h_n`)",
        Pick::Cell => "the cell state as an input of the next layer",
        Pick::All | Pick::Final => "outputs of a layer that no chain gives",
    }
}
