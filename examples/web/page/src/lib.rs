//! What the page calls: the forecast example, in a browser. The page itself is `site/`.

#[path = "../../../forecast/history.rs"]
#[allow(dead_code, reason = "a part of it is for the command line")]
mod history;
mod machine;
mod measured;
mod network;
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

#[wasm_bindgen]
extern "C" {
    #[wasm_bindgen(js_namespace = console, js_name = error)]
    fn console_error(text: &str);
}

/// What a panic says goes where a browser shows errors.
#[wasm_bindgen(start)]
fn start() {
    std::panic::set_hook(Box::new(|panic| console_error(&panic.to_string())));
}

/// An error in words, for JavaScript.
fn words(error: impl ToString) -> JsError {
    JsError::new(&error.to_string())
}
