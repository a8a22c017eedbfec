//! What is told about a file: axes that stand otherwise, sizes that are free here, lengths.

use super::chain::Link;
use super::node::shortened;
use super::reader::{Reader, Role};
use super::stage::Kind;
use super::value::{Axis, Data};
use crate::model::Model;

const USUAL: [Role; 3] = [Role::Batch, Role::Time, Role::Features];

impl Reader<'_> {
    /// The axes of the input, and what the file fixes of them, which the model may fix itself.
    pub(super) fn say_input(&mut self, links: &[Link], model: &Model) {
        let axes = self.input.1.len();
        let roles: Vec<Role> = self.roles.iter().take(axes).copied().flatten().collect();
        let is_tokens = self.has(links, |kind| matches!(kind, Kind::Embedding(_)));
        let ours = if is_tokens { &USUAL[..2] } else { &USUAL[..] };
        if roles != ours {
            let names = |roles: &[Role]| listed(roles.iter().map(|role| role.name()));
            self.notes.push(format!(
                "the file's input {:?} is {}; here it is {}",
                shortened(&self.input.0),
                names(&roles),
                names(ours)
            ));
        }
        let free = |role: Role| role == Role::Batch || (role == Role::Time && model.time_steps().is_none());
        let sizes = self.input.1.iter().zip(&roles).filter(|(_, role)| free(**role));
        let sizes: Vec<String> = sizes
            .filter_map(|(dim, role)| Some(format!("{} {}", role.name(), dim.known()?)))
            .collect();
        if !sizes.is_empty() {
            let sizes = sizes.join(" and ");
            self.notes
                .push(format!("the file fixes {sizes} of its input; here any number will do"));
        }
    }

    /// The axes of the output.
    pub(super) fn say_output(&mut self, name: &str, data: &Data) {
        let role = |axis: usize| self.roles.get(axis).copied().flatten();
        let is_batch = |axis: &Axis| matches!(axis, Axis::Input(axis) if role(*axis) == Some(Role::Batch));
        let is_time = |axis: &Axis| match axis {
            Axis::Input(axis) => role(*axis) == Some(Role::Time),
            axis => matches!(axis, Axis::Repeated(_)),
        };
        let is_usual = match data.axes.as_slice() {
            [batch, time, Axis::Features] => is_batch(batch) && is_time(time),
            [batch, Axis::Features] => is_batch(batch),
            _ => false,
        };
        if is_usual {
            return;
        }
        let found = data.axes.iter().map(|axis| match axis {
            Axis::Input(axis) => role(*axis).map_or("?", Role::name).to_owned(),
            Axis::Directions => "directions".to_owned(),
            Axis::Features => "features".to_owned(),
            Axis::One => "1".to_owned(),
            Axis::Repeated(steps) => steps.to_string(),
            Axis::Rows(..) => "batch · time_steps".to_owned(),
        });
        let found = listed(found);
        self.notes.push(format!(
            "the file's output {:?} is {found}; here it is (batch, time_steps, features) or (batch, features), directions side by side",
            shortened(name)
        ));
    }

    /// Who gives lengths, and what differs then.
    pub(super) fn say_lengths(&mut self, links: &[Link]) {
        let lengths = links.iter().find_map(|link| match &self.stages.get(link.stage)?.kind {
            Kind::Recurrent(recurrent) => recurrent.lengths.clone(),
            _ => None,
        });
        if let Some(name) = lengths {
            self.notes.push(format!(
                "the file's input {:?} gives lengths: give them to `Sequences::with_lengths`; the final state of a sequence of length 0 is \
                 its initial state here, and zero in ONNX Runtime",
                shortened(&name)
            ));
        }
    }

    fn has(&self, links: &[Link], kind: impl Fn(&Kind) -> bool) -> bool {
        let mut stages = links.iter().filter_map(|link| self.stages.get(link.stage));
        stages.any(|stage| kind(&stage.kind))
    }
}

fn listed<N: AsRef<str>>(names: impl Iterator<Item = N>) -> String {
    let names: Vec<String> = names.map(|name| name.as_ref().to_owned()).collect();
    format!("({})", names.join(", "))
}
