//! What the page calls: the forecast example, in a browser. The page itself is `site/`.

#[path = "../../../forecast/history.rs"]
#[allow(dead_code, reason = "a part of it is for the command line")]
mod history;
mod machine;
mod measured;
mod network;
#[path = "../../panics.rs"]
mod panics;
#[path = "../../../forecast/report.rs"]
#[allow(dead_code, reason = "a part of it is for the command line")]
mod report;
mod run;
#[path = "../../../forecast/series.rs"]
#[allow(dead_code, reason = "a part of it is for the command line")]
mod series;
#[path = "../../../forecast/network.rs"]
mod trained;

use wasm_bindgen::prelude::*;

/// An error in words, for JavaScript.
fn words(error: impl ToString) -> JsError {
    JsError::new(&error.to_string())
}
