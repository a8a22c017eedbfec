//! The golden cases of gradients: what the loss says of each output, and what must come back.

use std::collections::BTreeMap;

use ndarray::{Array2, ArrayD};
use serde_json::Value;

use super::{
    golden::{Call, Case, Step},
    judge::{Closeness, compare},
    layers::{Chain, StatePair},
};

/// The gradients of the loss with respect to what the chain gives: the weights of its sum.
#[derive(Clone, Debug)]
pub(crate) struct LossWeights {
    /// Zeros where the loss does not speak of the output.
    pub(crate) values: ArrayD<f32>,
    pub(crate) backward: Option<ArrayD<f32>>,
    /// Of the final states of all cells; none where the loss speaks of none.
    pub(crate) states: Option<Vec<StatePair>>,
}

/// The one call of a case of gradients.
pub(crate) fn call(case: &Case) -> Result<Call, String> {
    match <[Step; 1]>::try_from(case.steps()?) {
        Ok([Step::Call(call)]) => Ok(call),
        _ => Err("a case of gradients is one call".to_owned()),
    }
}

/// Reads the loss weights of a case that was put into the names of Keras: `loss_weight` of `y`, `loss_weight.NAME` of any other output.
pub(crate) fn loss_weights(case: &Case, chain: &Chain, call: &Call) -> Result<LossWeights, String> {
    check_terms(&case.header["loss_terms"])?;
    let mut read = 0;
    let mut weight = |name: &str, of: &str| -> Result<Option<ArrayD<f32>>, String> {
        let name = format!("loss_weight{name}");
        if !case.has(&name) {
            return Ok(None);
        }
        let weights = case.f32(&name)?.clone();
        if case.has(of) && case.f32(of)?.shape() != weights.shape() {
            return Err(format!("{name}: expected the shape of {of}, got {:?}", weights.shape()));
        }
        read += 1;
        Ok(Some(weights))
    };
    let values = weight("", "y")?.ok_or("the loss speaks of no output".to_owned())?;
    let batch = call.input.batch();
    let mut states = Vec::new();
    let mut any = false;
    for (prefix, cell) in chain.cells() {
        let mut state = |name: &str, width: usize| -> Result<Array2<f32>, String> {
            let of = format!("{prefix}{name}");
            let weights = weight(&format!(".{of}"), &of)?;
            any |= weights.is_some();
            let weights = weights.map(|weights| weights.into_dimensionality());
            let weights = weights.transpose().map_err(|error| error.to_string())?;
            Ok(weights.unwrap_or_else(|| Array2::zeros((batch, width))))
        };
        states.push((state("h_n", cell.output())?, state("c_n", cell.cell_state())?));
    }
    let given = case.roles.values().filter(|role| *role == "loss_weight").count();
    if given != read {
        return Err(format!("{given} loss weights, of which {read} are known"));
    }
    Ok(LossWeights {
        values,
        backward: None,
        states: any.then_some(states),
    })
}

/// The names of the loss weights are those that [`loss_weights`] looks for.
fn check_terms(terms: &Value) -> Result<(), String> {
    let terms = terms.as_array().ok_or("the case has no `loss_terms`")?;
    for term in terms {
        let (output, weight) = (
            term[0].as_str().unwrap_or_default(),
            term[1].as_str().unwrap_or_default(),
        );
        let expected = match output {
            "y" => "loss_weight".to_owned(),
            other => format!("loss_weight.{other}"),
        };
        if weight != expected {
            return Err(format!(
                "expected {expected} as the loss weight of {output}, got {weight}"
            ));
        }
    }
    Ok(())
}

/// Compares every gradient that the case expects.
pub(crate) fn judge(case: &Case, gradients: &BTreeMap<String, ArrayD<f32>>) -> Result<Closeness, String> {
    let expected = case
        .expected()
        .filter_map(|name| Some((name, name.strip_prefix("grad.")?)));
    judge_tensors(case, expected, gradients)
}

/// Compares tensors of the case, each with what has the name beside it.
pub(crate) fn judge_tensors<'a>(
    case: &Case,
    expected: impl Iterator<Item = (&'a String, &'a str)>,
    got: &BTreeMap<String, ArrayD<f32>>,
) -> Result<Closeness, String> {
    let mut closeness = Closeness::default();
    let mut wrong = Vec::new();
    let mut compared = 0;
    for (tensor, name) in expected {
        let tolerance = case.tolerance.get(tensor).ok_or(format!("{tensor} has no tolerance"))?;
        let verdict = match got.get(name) {
            None => Err("expected, but there is no such tensor".to_owned()),
            Some(got) => compare(got.view(), case.f32(tensor)?.view(), tolerance.atol, tolerance.rtol),
        };
        compared += 1;
        match verdict {
            Ok(this) => closeness = closeness.and(this),
            Err(message) => wrong.push(format!("{tensor}: {message}")),
        }
    }
    match wrong.is_empty() {
        true if compared > 0 => Ok(closeness),
        true => Err("the case expects nothing".to_owned()),
        false => Err(wrong.join("; ")),
    }
}
