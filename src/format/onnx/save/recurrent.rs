//! Recurrent layers as LSTM, GRU and RNN. Their layout is that which every runtime has: time first, directions behind it.

use ndarray::{ArrayView1, ArrayView2, Ix1, Ix2};

use super::activation::named;
use super::attributes::{float, floats, int, ints, text, texts};
use super::writer::{LENGTHS, Writer, unsupported};
use crate::activation::Activation;
use crate::cell::{Rule, gates};
use crate::error::{Error, Result};
use crate::layer::bidirectional::{Bidirectional, MergeMode};
use crate::layer::recurrent::{Recurrent, RecurrentOptions};
use crate::layer::stacked::StackedRnnCells;
use crate::parameters::{Parameter, Role};

/// The outputs of a node: of all steps, (time, directions, batch, units), and final states, (directions, batch, units).
struct Outputs {
    steps: String,
    hidden: String,
    cell: Option<String>,
}

/// The weights of a direction, in ONNX's order.
#[derive(Default)]
struct Weights {
    w: Vec<f32>,
    r: Vec<f32>,
    b: Vec<f32>,
    p: Vec<f32>,
}

impl Writer<'_> {
    pub(super) fn recurrent(&mut self, layer: &Recurrent, is_last: bool) -> Result<()> {
        let options = layer.options();
        let direction = if options.go_backwards { "reverse" } else { "forward" };
        let x = self.apply("Transpose", &[], vec![ints("perm", &[1, 0, 2])]);
        let outputs = self.operator(&x, &[layer], direction)?;
        self.keep_states(&outputs, options.return_state && is_last);
        self.single(outputs, options);
        self.width = layer.output_width();
        Ok(())
    }

    pub(super) fn stacked(&mut self, stack: &StackedRnnCells, is_last: bool) -> Result<()> {
        let options = stack.options();
        if options.return_state && stack.cells().len() > 1 {
            let instead = "leave it out: ONNX's operators have a state each";
            return Err(unsupported("RNN(StackedRNNCells)", "return_state(true)", instead));
        }
        let direction = if options.go_backwards { "reverse" } else { "forward" };
        let mut x = self.apply("Transpose", &[], vec![ints("perm", &[1, 0, 2])]);
        let mut last = None;
        for cell in stack.cells() {
            if let Some(Outputs { steps, .. }) = &last {
                x = self.squeezed(steps, 1);
            }
            last = Some(self.operator(&x, &[cell], direction)?);
            self.width = cell.output_width();
        }
        let outputs = last.ok_or_else(|| Error::defect("a stack without cells"))?;
        self.keep_states(&outputs, options.return_state && is_last);
        self.single(outputs, options);
        Ok(())
    }

    pub(super) fn bidirectional(&mut self, layer: &Bidirectional, is_last: bool) -> Result<()> {
        let cells = [layer.forward(), layer.backward()];
        if !alike(cells) {
            let instead = "give both directions the same units and options";
            return Err(unsupported(
                "Bidirectional",
                "directions that differ in more than weights and activations",
                instead,
            ));
        }
        let options = layer.forward().options();
        let x = self.apply("Transpose", &[], vec![ints("perm", &[1, 0, 2])]);
        let outputs = self.operator(&x, &cells, "bidirectional")?;
        self.keep_states(&outputs, options.return_state && is_last);
        (self.value, self.sequences) = match options.return_sequences {
            true => (outputs.steps, true),
            false => (outputs.hidden, false),
        };
        self.width = layer.width();
        if layer.merge() == MergeMode::Concat {
            let order: &[i64] = if self.sequences { &[2, 0, 1, 3] } else { &[1, 0, 2] };
            let shape: &[i64] = if self.sequences { &[0, 0, -1] } else { &[0, -1] };
            let shape = self.integers(shape);
            self.value = self.apply("Transpose", &[], vec![ints("perm", order)]);
            self.value = self.apply("Reshape", &[&shape], vec![]);
            return Ok(());
        }
        let along = i64::from(self.sequences);
        let parts = [0, 1].map(|direction| {
            let direction = self.scalar(direction);
            self.apply("Gather", &[&direction], vec![int("axis", along)])
        });
        let operator = match layer.merge() {
            MergeMode::Sum | MergeMode::Average => "Add",
            MergeMode::Multiply => "Mul",
            _ => {
                let instead = "merge the directions, MergeMode::Concat say";
                return Err(unsupported("Bidirectional", "MergeMode::Separate", instead));
            }
        };
        self.value = self.node(operator, &[&parts[0], &parts[1]], vec![]);
        if layer.merge() == MergeMode::Average {
            let half = self.floats(&format!("half_{}", self.graph.initializer.len()), &[], &[0.5]);
            self.value = self.apply("Mul", &[&half], vec![]);
        }
        if self.sequences {
            self.value = self.apply("Transpose", &[], vec![ints("perm", &[1, 0, 2])]);
        }
        Ok(())
    }

    /// What one direction gives: batch first, and the time steps as the layer ran where that is wanted.
    fn single(&mut self, outputs: Outputs, options: RecurrentOptions) {
        self.sequences = options.return_sequences;
        // the last output is that at the last time step, which is padding
        let of_axis = self.has_lengths && options.zero_output_for_mask && !options.go_backwards;
        if !options.return_sequences && !of_axis {
            self.value = self.squeezed(&outputs.hidden, 0);
            return;
        }
        self.value = self.squeezed(&outputs.steps, 1);
        if !options.return_sequences {
            let last = self.scalar(-1);
            self.value = self.apply("Gather", &[&last], vec![int("axis", 0)]);
            return;
        }
        if options.go_backwards && !options.input_order {
            let [start, end, axis, step] = [-1, i64::MIN, 0, -1].map(|number| self.integers(&[number]));
            self.value = self.apply("Slice", &[&start, &end, &axis, &step], vec![]);
        }
        self.value = self.apply("Transpose", &[], vec![ints("perm", &[1, 0, 2])]);
    }

    fn squeezed(&mut self, value: &str, axis: i64) -> String {
        let axis = self.integers(&[axis]);
        self.node("Squeeze", &[value, &axis], vec![])
    }

    fn keep_states(&mut self, outputs: &Outputs, keep: bool) {
        if keep {
            self.states.push(outputs.hidden.clone());
            self.states.extend(outputs.cell.clone());
        }
    }

    /// The node of one or two directions.
    fn operator(&mut self, x: &str, cells: &[&Recurrent], direction: &str) -> Result<Outputs> {
        let Some(first) = cells.first() else {
            return Err(Error::defect("a recurrent layer without cells"));
        };
        let class = first.class();
        let (operator, gates) = match first.cell.rule {
            Rule::Lstm(options) if options.projection.is_some() => {
                let instead = "use an LSTM without it, or Dense behind the layer";
                return Err(unsupported(class, "a projection", instead));
            }
            Rule::Lstm(_) => ("LSTM", gates::LSTM_ONNX),
            Rule::Gru(_) => ("GRU", gates::GRU_ONNX),
            Rule::SimpleRnn(_) => ("RNN", gates::SIMPLE_RNN),
        };
        let name = self
            .weights
            .peek()
            .map(|parameter| parameter.path().to_owned())
            .unwrap_or_default();
        let name = name
            .rsplit_once('/')
            .map_or(name.clone(), |(layer, _)| layer.to_owned());
        let mut all = Weights::default();
        for cell in cells {
            self.direction(cell, gates, &mut all)?;
        }
        let (units, rows) = (first.units(), first.units() * gates.len());
        let count = cells.len();
        let w = self.floats(&format!("{name}/W"), &[count, rows, first.features()], &all.w);
        let r = self.floats(&format!("{name}/R"), &[count, rows, units], &all.r);
        let mut inputs = vec![x.to_owned(), w, r];
        if !all.b.is_empty() {
            inputs.push(self.floats(&format!("{name}/B"), &[count, 2 * rows], &all.b));
        }
        if self.has_lengths {
            inputs.resize(4, String::new());
            inputs.push(LENGTHS.to_owned());
        }
        if !all.p.is_empty() {
            inputs.resize(7, String::new());
            inputs.push(self.floats(&format!("{name}/P"), &[count, 3 * units], &all.p));
        }
        let inputs: Vec<&str> = inputs.iter().map(String::as_str).collect();
        let attributes = attributes(cells, direction)?;
        let number = self.graph.node.len();
        let names = ["steps", "hidden", "cell"].map(|output| format!("{name}/{output}_{number}"));
        let mut outputs: Vec<&str> = names.iter().map(String::as_str).collect();
        let has_cell = first.cell.has_cell_state();
        outputs.truncate(if has_cell { 3 } else { 2 });
        self.push_node(operator, &inputs, &outputs, attributes);
        let [steps, hidden, cell] = names;
        Ok(Outputs {
            steps,
            hidden,
            cell: has_cell.then_some(cell),
        })
    }

    /// Adds the weights of a direction.
    fn direction(&mut self, layer: &Recurrent, order: &[usize], all: &mut Weights) -> Result<()> {
        let units = layer.units();
        let kernel = matrix(self.next_weight(Role::Kernel)?)?;
        all.w.extend(columns(kernel, order, units));
        let recurrent = matrix(self.next_weight(Role::RecurrentKernel)?)?;
        all.r.extend(columns(recurrent, order, units));
        if let Some(bias) = self.next_optional(Role::Bias) {
            match bias.values().ndim() {
                1 => {
                    let row = vector(bias)?;
                    all.b.extend(columns(row.insert_axis(ndarray::Axis(0)), order, units));
                    // what is added to this number keeps its bits, zeros with a sign too
                    all.b.extend(std::iter::repeat_n(-0.0, row.len()));
                }
                _ => {
                    for row in matrix(bias)?.outer_iter() {
                        all.b.extend(columns(row.insert_axis(ndarray::Axis(0)), order, units));
                    }
                }
            }
        }
        if let Some(peepholes) = self.next_optional(Role::Peepholes) {
            let peepholes = matrix(peepholes)?;
            for &gate in gates::PEEPHOLES_ONNX {
                all.p.extend(peepholes.outer_iter().nth(gate).iter().flatten().copied());
            }
        }
        Ok(())
    }
}

/// The attributes of a node; the activations of all directions one behind the other.
fn attributes(cells: &[&Recurrent], direction: &str) -> Result<Vec<crate::format::onnx::messages::AttributeProto>> {
    let mut names = Vec::new();
    let (mut alphas, mut betas) = (Vec::new(), Vec::new());
    let mut made = vec![text("direction", direction)];
    for (number, cell) in cells.iter().enumerate() {
        for activation in activations(&cell.cell.rule) {
            let (name, alpha, beta) = named(cell.class(), activation)?;
            names.push(name);
            alphas.extend(alpha);
            betas.extend(beta);
        }
        if number > 0 {
            continue;
        }
        made.push(int("hidden_size", i64::try_from(cell.units()).unwrap_or(i64::MAX)));
        made.extend(cell.cell.clip().map(|clip| float("clip", clip)));
        match cell.cell.rule {
            Rule::Lstm(options) if options.input_forget => made.push(int("input_forget", 1)),
            Rule::Gru(options) if options.reset_after => made.push(int("linear_before_reset", 1)),
            _ => {}
        }
    }
    made.push(texts("activations", &names));
    if !alphas.is_empty() {
        made.push(floats("activation_alpha", alphas));
    }
    if !betas.is_empty() {
        made.push(floats("activation_beta", betas));
    }
    Ok(made)
}

/// In ONNX's order: of the gates, of the candidate, of what goes out.
fn activations(rule: &Rule) -> Vec<Activation> {
    match rule {
        Rule::Lstm(options) => vec![
            options.recurrent_activation,
            options.activation,
            options.output_activation,
        ],
        Rule::Gru(options) => vec![options.recurrent_activation, options.activation],
        Rule::SimpleRnn(options) => vec![options.activation],
    }
}

/// Whether both directions have what a node says once.
fn alike([forward, backward]: [&Recurrent; 2]) -> bool {
    let same_rule = match (forward.cell.rule, backward.cell.rule) {
        (Rule::Lstm(one), Rule::Lstm(other)) => {
            one.peepholes == other.peepholes
                && one.input_forget == other.input_forget
                && one.projection == other.projection
        }
        (Rule::Gru(one), Rule::Gru(other)) => one.reset_after == other.reset_after,
        (Rule::SimpleRnn(_), Rule::SimpleRnn(_)) => true,
        _ => false,
    };
    let sizes = |layer: &Recurrent| (layer.features(), layer.units(), layer.use_bias);
    same_rule && forward.cell.clip() == backward.cell.clip() && sizes(forward) == sizes(backward)
}

/// The columns of each gate as rows, the gates in ONNX's order.
fn columns<'a>(kernel: ArrayView2<'a, f32>, order: &[usize], units: usize) -> Vec<f32> {
    let mut rows = Vec::with_capacity(kernel.len());
    for gate in 0..order.len() {
        let ours = order.iter().position(|&place| place == gate).unwrap_or(gate);
        for column in kernel.columns().into_iter().skip(ours * units).take(units) {
            rows.extend(column.iter().copied());
        }
    }
    rows
}

fn matrix(parameter: &Parameter) -> Result<ArrayView2<'_, f32>> {
    let values = parameter.values().into_dimensionality::<Ix2>();
    values.map_err(|_| Error::defect("the shape of a parameter"))
}

fn vector(parameter: &Parameter) -> Result<ArrayView1<'_, f32>> {
    let values = parameter.values().into_dimensionality::<Ix1>();
    values.map_err(|_| Error::defect("the shape of a parameter"))
}
