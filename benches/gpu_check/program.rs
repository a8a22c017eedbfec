//! What `benches/gpu-check` measures with: one shape on one GPU, a line of JSON for each row, so that a row in which the
//! GPU hangs takes no other with it.
//!
//! - `gpu_check adapters` says which adapters there are, and which is the best real one
//! - `gpu_check measure ADAPTER SHAPE WARM SECONDS ROW...`: a shape is `BATCHxTIME_STEPSxFEATURESxUNITS`, a row
//!   `full|lengths/chosen|matrix|training|STRATEGY/f32|relaxed` (`matrix`: as chosen, with `Settings::matrices(true)`; `training`: a step of
//!   training beside a pass forward); the GPU is kept busy
//!   for WARM seconds before it is timed for SECONDS

mod busy;
#[path = "../peers/layer.rs"]
mod layer;
mod row;
#[path = "../peers/rule.rs"]
mod rule;
mod training;

use std::io::{self, Write};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use cellstate::{Device, Strategy};
use serde_json::{Value, json};

use row::{Row, Shaped, Timings};
use rule::{Outcome, Shape};

fn main() -> Outcome<()> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = arguments.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["adapters"] => say(&adapters()),
        ["measure", adapter, shape, warm, seconds, rows @ ..] => {
            let timings = Timings {
                warm: Duration::try_from_secs_f64(warm.parse()?)?,
                seconds: Duration::try_from_secs_f64(seconds.parse()?)?,
            };
            let mut shaped = Shaped::new(Device::named(adapter)?, self::shape(shape)?, timings)?;
            rows.iter().try_for_each(|name| measure(&mut shaped, shape, name))
        }
        _ => Err("usage: gpu_check adapters | gpu_check measure ADAPTER SHAPE WARM SECONDS ROW...".into()),
    }
}

fn measure(shaped: &mut Shaped, shape: &str, name: &str) -> Outcome<()> {
    let began = now();
    say(&json!({"begin": name, "shape": shape, "began": began}))?;
    let mut said = match name.parse::<Row>().and_then(|row| shaped.measure(row)) {
        Ok(said) => said,
        Err(error) => json!({"failed": error.to_string().lines().next()}),
    };
    if let Some(fields) = said.as_object_mut() {
        fields.insert("row".to_owned(), name.into());
        fields.insert("shape".to_owned(), shape.into());
        fields.insert("began".to_owned(), began.into());
        fields.insert("ended".to_owned(), now().into());
    }
    say(&said)
}

fn adapters() -> Value {
    let described = |name: &String| {
        let device = Device::named(name).ok()?;
        let info = device.gpu()?.info();
        Some(json!({
            "name": name,
            "driver": format!("{} {}", info.driver, info.driver_info).trim(),
            "backend": format!("{:?}", info.backend),
            "kind": format!("{:?}", info.device_type),
        }))
    };
    let all: Vec<Value> = Device::adapters().iter().filter_map(described).collect();
    let best = Device::auto();
    let strategies: Vec<&str> = Strategy::ALL.iter().map(|strategy| strategy.name()).collect();
    json!({"adapters": all, "best": best.gpu().map(|_| best.name()), "strategies": strategies})
}

fn shape(text: &str) -> Outcome<Shape> {
    let sizes = text.split('x').map(str::parse).collect::<Result<Vec<usize>, _>>()?;
    match sizes[..] {
        [batch, time_steps, features, units] if !sizes.contains(&0) => {
            Ok(Shape::new(batch, time_steps, features, units))
        }
        _ => Err(format!("a shape is BATCHxTIME_STEPSxFEATURESxUNITS, not {text}").into()),
    }
}

/// Seconds since 1970, as the clocks beside it have them.
pub(crate) fn now() -> f64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    since.map_or(0.0, |since| since.as_secs_f64())
}

fn say(line: &Value) -> Outcome<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()?;
    Ok(())
}
