//! The outputs of a graph: which one the model gives, which are its states, and what is told about axes.

use std::collections::HashSet;

use super::chain::Link;
use super::graph::Graph;
use super::node::shortened;
use super::reader::{Reader, Role};
use super::stage::Kind;
use super::value::{Data, Pick, Value};
use crate::error::{Error, Result};
use crate::layer::Layer;
use crate::model::Model;

impl Reader<'_> {
    /// The model that gives the outputs of the graph.
    pub(super) fn model(&mut self, graph: &Graph<'_>) -> Result<Model> {
        let mut outputs = Vec::new();
        let mut done = HashSet::new();
        for output in &graph.outputs {
            match self.value(graph, &output.name, &mut done)? {
                Value::Data(data) => outputs.push((output.name.clone(), data)),
                _ => {
                    let place = format!("output {:?}", shortened(&output.name));
                    let expected = "an output that depends on the input";
                    return Err(graph
                        .file
                        .content(place, expected, "a constant", "export the model again"));
                }
            }
        }
        let has = |data: &Data, pick: Pick| data.blocks.iter().any(|block| block.pick == pick);
        let steps = outputs
            .iter()
            .position(|(_, data)| !has(data, Pick::Cell) && !has(data, Pick::Final));
        let main = steps.or_else(|| outputs.iter().position(|(_, data)| !has(data, Pick::Cell)));
        let Some(main) = main else {
            let expected = "an output of the last layer";
            return Err(graph.file.content(
                "graph",
                expected,
                "none, or only a cell state",
                "export the model again",
            ));
        };
        let (name, data) = outputs.remove(main);
        let links = self.links(graph, &data)?;
        graph.file.check_layers("graph", links.len())?;
        let mut return_state = false;
        for (other, states) in &outputs {
            return_state |= self.is_state(graph, &links, (other, states))?;
        }
        let layers = self.layers(graph, &links, return_state)?;
        if return_state && matches!(layers.last(), Some(Layer::LastStep(_))) {
            let note = "the file's final states are outputs too: `run_from` gives those of all layers";
            self.notes.push(note.to_owned());
        }
        self.check_input(graph, &links)?;
        let model = layers
            .into_iter()
            .fold(Model::builder(), |builder, layer| builder.add(layer));
        let model = model.build().map_err(|error| in_file(graph, error))?;
        self.say_input(&links, &model);
        self.say_output(&name, &data);
        self.say_lengths(&links);
        Ok(model.with_notes(std::mem::take(&mut self.notes)))
    }

    /// Whether another output is a final state of the last layer. Those of other layers are told about.
    fn is_state(&mut self, graph: &Graph<'_>, links: &[Link], (name, data): (&String, &Data)) -> Result<bool> {
        let is_state = |pick: Pick| matches!(pick, Pick::Final | Pick::Cell);
        let recurrent = |stage: usize| {
            let on_chain = links.iter().any(|link| link.stage == stage);
            on_chain
                && self
                    .stages
                    .get(stage)
                    .is_some_and(|stage| matches!(stage.kind, Kind::Recurrent(_)))
        };
        let all = data
            .blocks
            .iter()
            .all(|block| is_state(block.pick) && recurrent(block.stage));
        if !all {
            return Err(Error::Unsupported {
                layer: graph.file.path.display().to_string(),
                option: format!("a second output {:?}", shortened(name)),
                instead: "leave it out: a chain has one output, and the final states of its layers".to_owned(),
            });
        }
        let last = links.last().map(|link| link.stage);
        let of_last = data.blocks.iter().all(|block| Some(block.stage) == last);
        if !of_last {
            self.notes.push(format!(
                "the file's output {:?} is final states of the layers: `run_from` gives those of all layers",
                shortened(name)
            ));
        }
        Ok(of_last)
    }

    /// What has to be known of the input by now.
    fn check_input(&mut self, graph: &Graph<'_>, links: &[Link]) -> Result<()> {
        let axes = self.input.1.len();
        let takes_tokens = links.get(1).and_then(|link| self.stages.get(link.stage));
        let takes_tokens = takes_tokens.is_some_and(|stage| matches!(stage.kind, Kind::Embedding(_)));
        let usual: &[Role] = match takes_tokens {
            true => &[Role::Batch, Role::Time],
            false => &[Role::Batch, Role::Time, Role::Features],
        };
        let known = self.roles.iter().take(axes).flatten().count();
        // without a recurrent layer nothing says which axis is time
        if known < axes && axes == usual.len() {
            for role in usual {
                if !self.roles.contains(&Some(*role))
                    && let Some(place) = self.roles.iter_mut().take(axes).find(|place| place.is_none())
                {
                    *place = Some(*role);
                }
            }
        }
        if self.roles.iter().take(axes).any(Option::is_none) {
            let place = format!("input {:?}", shortened(&self.input.0));
            let expected = "axes of which the layers say which is batch, time and features";
            return Err(graph.file.content(
                place,
                expected,
                format!("{axes} axes"),
                "only models of sequences are read",
            ));
        }
        Ok(())
    }
}

/// An error of the chain, with the file in front.
fn in_file(graph: &Graph<'_>, error: Error) -> Error {
    match error {
        Error::Chain {
            layer,
            expected,
            found,
            repair,
            ..
        } => graph.file.content(layer, expected, found, repair),
        other => other,
    }
}
