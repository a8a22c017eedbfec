//! Networks that are on a device, and what their runs give.

use cellstate::{Output, Runner, Sequences};
use ndarray::{Array2, Array3};
use wasm_bindgen::prelude::*;

use crate::history::{HORIZON, History, SHORTEST, batch};
use crate::measured::Measured;
use crate::report::largest_difference;
use crate::{trained, words};

/// A network on a device.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Prepared {
    pub(crate) runner: Runner,
    pub(crate) is_example: bool,
    pub(crate) features: Option<usize>,
    /// How many tokens there are, if it takes tokens.
    pub(crate) tokens: Option<usize>,
}

/// The forecasts of a run, one for each history.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Forecasts {
    histories: Vec<History>,
    /// (batch, years), scaled.
    scaled: Array2<f32>,
    undone: Array2<f32>,
    difference: Option<f32>,
    rows_run: usize,
}

/// What a network gives for an input that means nothing.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Trial {
    output: Output,
}

#[wasm_bindgen]
impl Prepared {
    /// The name of the device.
    #[wasm_bindgen(getter)]
    pub fn device(&self) -> String {
        self.runner.device().name()
    }

    /// All histories of a series in one masked batch.
    #[wasm_bindgen(js_name = forecastAll)]
    pub async fn forecast_all(&self, measured: &Measured) -> Result<Forecasts, JsError> {
        let histories = measured.histories();
        let (output, scaled, undone) = self.forecasts(measured, &histories).await?;
        let difference = match self.is_example && measured.is_sunspots {
            true => Some(largest_difference(&scaled, &trained::keras_forecasts().map_err(words)?)),
            false => None,
        };
        Ok(Forecasts {
            histories,
            scaled,
            undone,
            difference,
            rows_run: output.rows_run(),
        })
    }

    /// The years after one place of a series, from so many years before.
    #[wasm_bindgen(js_name = forecastOne)]
    pub async fn forecast_one(&self, measured: &Measured, origin: usize, length: usize) -> Result<Vec<f32>, JsError> {
        let years = measured.series.values.len();
        if origin >= years || !(SHORTEST..=origin + 1).contains(&length) {
            return Err(words(format!(
                "expected a place below {years} with {SHORTEST} years or more up to it, got place {origin} and {length} years"
            )));
        }
        let (_, _, undone) = self.forecasts(measured, &[History { origin, length }]).await?;
        Ok(undone.into_iter().collect())
    }

    /// Runs waves, or tokens one after another: (batch, time_steps).
    #[wasm_bindgen(js_name = tryOut)]
    pub async fn try_out(&self, batch: usize, time_steps: usize) -> Result<Trial, JsError> {
        let wave = |(sequence, step, feature): (usize, usize, usize)| {
            ((step as f32) * 0.2 * (1.0 + feature as f32) + sequence as f32).sin()
        };
        let input = match (self.features, self.tokens) {
            (_, Some(tokens)) => Sequences::from(Array2::from_shape_fn((batch, time_steps), |(sequence, step)| {
                ((sequence + step) % tokens.max(1)) as i32
            })),
            (features, None) => {
                Sequences::from(Array3::from_shape_fn((batch, time_steps, features.unwrap_or(1)), wave))
            }
        };
        Ok(Trial {
            output: self.runner.run_async(&input).await.map_err(words)?,
        })
    }

    /// Whether it takes and gives what a forecast of the series does.
    #[wasm_bindgen(js_name = isForecast)]
    pub async fn is_forecast(&self) -> Result<bool, JsError> {
        let takes = self.features == Some(2) && self.tokens.is_none();
        Ok(takes && self.try_out(1, SHORTEST).await?.shape() == [1, HORIZON])
    }
}

impl Prepared {
    /// What a run gives, scaled and undone.
    async fn forecasts(
        &self,
        measured: &Measured,
        histories: &[History],
    ) -> Result<(Output, Array2<f32>, Array2<f32>), JsError> {
        let scaling = trained::scaling().map_err(words)?;
        let batch = batch(&measured.series, histories, scaling).map_err(words)?;
        let output = self.runner.run_async(&batch).await.map_err(words)?;
        let scaled = output.last();
        let undone = scaled.mapv(|value| scaling.undo(value));
        Ok((output, scaled, undone))
    }
}

#[wasm_bindgen]
impl Forecasts {
    /// The places of the series from which each looks ahead.
    #[wasm_bindgen(getter)]
    pub fn origins(&self) -> Vec<usize> {
        self.histories.iter().map(|history| history.origin).collect()
    }

    /// How many years each has read.
    #[wasm_bindgen(getter)]
    pub fn lengths(&self) -> Vec<usize> {
        self.histories.iter().map(|history| history.length).collect()
    }

    /// (batch, years) in the unit of the series.
    #[wasm_bindgen(getter)]
    pub fn values(&self) -> Vec<f32> {
        self.undone.iter().copied().collect()
    }

    /// (batch, years) as the network gives them.
    #[wasm_bindgen(getter)]
    pub fn scaled(&self) -> Vec<f32> {
        self.scaled.iter().copied().collect()
    }

    /// The largest difference from what Keras gives, scaled; where Keras has run the same.
    #[wasm_bindgen(getter)]
    pub fn difference(&self) -> Option<f32> {
        self.difference
    }

    /// The time steps that were run, padding not among them.
    #[wasm_bindgen(getter = rowsRun)]
    pub fn rows_run(&self) -> usize {
        self.rows_run
    }
}

#[wasm_bindgen]
impl Trial {
    #[wasm_bindgen(getter)]
    pub fn shape(&self) -> Vec<usize> {
        self.output.values().shape().to_vec()
    }

    /// All values of the first sequence.
    #[wasm_bindgen(getter)]
    pub fn values(&self) -> Vec<f32> {
        let values = self.output.values();
        let each = values.len() / values.shape().first().copied().unwrap_or(1).max(1);
        values.iter().take(each).copied().collect()
    }
}
