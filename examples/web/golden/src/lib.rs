//! The golden cases in a browser: the files, the judge and the rules are those of `tests/golden.rs`.
#![allow(dead_code, reason = "a part of what the tests share is used here")]
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "tests fail by panicking"
)]

#[path = "../../../../tests/support/models.rs"]
mod models;
#[path = "../../panics.rs"]
mod panics;
#[path = "../../../../tests/support/runs.rs"]
mod runs;
#[path = "../../../../tests/support/mod.rs"]
mod support;

use cellstate::Device;
use support::{golden::Case, not_yet::NotYet};
use wasm_bindgen::prelude::*;

/// The names of the CPU and of the GPU, if the browser offers one.
#[wasm_bindgen]
pub async fn devices() -> Vec<String> {
    let gpus = Device::adapters_async().await;
    std::iter::once(Device::cpu().name()).chain(gpus).collect()
}

/// Runs the case of a file on a device: three texts for each run of the case, which are `passed`, `failed` or `not yet`, the name,
/// and what there is to say.
#[wasm_bindgen]
pub async fn run(file: Vec<u8>, device: String) -> Result<Vec<String>, JsError> {
    let case = Case::from_bytes(&file).map_err(|error| JsError::new(&error))?;
    let on = Device::named_async(&device)
        .await
        .map_err(|error| JsError::new(&error.to_string()))?;
    let list = NotYet::read();
    let listed = list.reason(&case.name, &device);
    let mut said = Vec::new();
    for run in runs::of(&case) {
        let verdict = run.verdict(&case, &on).await;
        let [outcome, text] = match (runs::failure(&verdict, listed), &verdict) {
            (Some(failure), _) => ["failed", &failure].map(str::to_owned),
            (None, Ok(closeness)) => ["passed".to_owned(), closeness.to_string()],
            (None, Err(_)) => ["not yet", listed.unwrap_or_default()].map(str::to_owned),
        };
        said.extend([outcome, run.name, text]);
    }
    Ok(said)
}
