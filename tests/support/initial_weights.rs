//! What fresh weights must satisfy, by the `rules` of an `init` case.

use ndarray::{Array1, Array2};
use serde_json::Value;

use super::{golden::Case, judge::compare};

/// Checks a draw of the weights of an LSTM.
pub(crate) fn check(
    case: &Case,
    kernel: &Array2<f32>,
    recurrent_kernel: &Array2<f32>,
    bias: &Array1<f32>,
) -> Result<(), String> {
    let rules = case.header["rules"].as_object();
    let rules = rules.ok_or("the case has no `rules`")?;
    for (weight, rule) in rules {
        let checked = match weight.as_str() {
            "kernel" => uniform(case, kernel, rule),
            "recurrent_kernel" => orthonormal(case, recurrent_kernel, rule),
            "bias" if rule == "exact" => {
                let tolerance = case.tolerance.get("bias").ok_or("no tolerance")?;
                let (got, want) = (bias.view().into_dyn(), case.f32("bias")?.view());
                compare(got, want, tolerance.atol, tolerance.rtol).map(|_| ())
            }
            _ => Err(format!("unknown rule {rule}")),
        };
        checked.map_err(|error| format!("{weight}: {error}"))?;
    }
    Ok(())
}

fn same_shape(case: &Case, name: &str, got: &Array2<f32>) -> Result<(), String> {
    let want = case.f32(name)?.shape();
    match got.shape() == want {
        true => Ok(()),
        false => Err(format!("expected shape {want:?}, got {:?}", got.shape())),
    }
}

/// Inside the limit, close to it somewhere, on both sides of 0, and no two columns the same. (That a uniform draw of 100
/// values has none beyond 0.85 of the limit happens once in ten million times.)
fn uniform(case: &Case, kernel: &Array2<f32>, rule: &Value) -> Result<(), String> {
    same_shape(case, "kernel", kernel)?;
    let limit = rule["uniform_limit"].as_f64().ok_or(format!("unknown rule {rule}"))?;
    let largest = kernel.iter().fold(0.0f64, |largest, &weight| {
        let size = f64::from(weight).abs();
        if size <= largest { largest } else { size }
    });
    if !(largest <= limit * 1.000_001 && largest >= limit * 0.85) {
        return Err(format!("the largest weight is {largest}, the limit {limit}"));
    }
    let mean = kernel.iter().map(|&weight| f64::from(weight)).sum::<f64>() / kernel.len() as f64;
    // The mean of n uniform values has a deviation of limit / sqrt(3 n).
    let allowed = 5.0 * limit / (3.0 * kernel.len() as f64).sqrt();
    if mean.is_nan() || mean.abs() > allowed {
        return Err(format!("the mean is {mean}, expected within {allowed} of 0"));
    }
    let mut columns: Vec<Vec<u32>> = kernel
        .columns()
        .into_iter()
        .map(|column| column.iter().map(|weight| weight.to_bits()).collect())
        .collect();
    columns.sort();
    columns.dedup();
    match columns.len() == kernel.ncols() {
        true => Ok(()),
        false => Err("two columns are the same".to_owned()),
    }
}

/// R R^T is the identity.
fn orthonormal(case: &Case, recurrent_kernel: &Array2<f32>, rule: &Value) -> Result<(), String> {
    same_shape(case, "recurrent_kernel", recurrent_kernel)?;
    if rule != "orthonormal rows, [units, 4*units]" {
        return Err(format!("unknown rule {rule}"));
    }
    let product = recurrent_kernel.dot(&recurrent_kernel.t()).into_dyn();
    let identity = Array2::<f32>::eye(recurrent_kernel.nrows()).into_dyn();
    compare(product.view(), identity.view(), 1e-5, 0.0).map(|_| ())
}
