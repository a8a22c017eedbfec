//! A yearly series that was measured.

use wasm_bindgen::prelude::*;

use crate::history::{HORIZON, History, SHORTEST};
use crate::series::Series;
use crate::words;

#[wasm_bindgen]
#[derive(Debug)]
pub struct Measured {
    pub(crate) series: Series,
    pub(crate) is_sunspots: bool,
}

#[wasm_bindgen]
impl Measured {
    /// Yearly mean sunspot numbers, 1700 to 2008.
    pub fn sunspots() -> Result<Self, JsError> {
        Ok(Self {
            series: Series::sunspots().map_err(words)?,
            is_sunspots: true,
        })
    }

    /// The text of a CSV file with lines of year,value.
    pub fn parse(text: &str, name: &str) -> Result<Self, JsError> {
        Ok(Self {
            series: Series::parse(text, name).map_err(words)?,
            is_sunspots: false,
        })
    }

    #[wasm_bindgen(getter = firstYear)]
    pub fn first_year(&self) -> i32 {
        self.series.first_year
    }

    #[wasm_bindgen(getter)]
    pub fn values(&self) -> Vec<f32> {
        self.series.values.clone()
    }

    /// The first place from which the network can look ahead.
    #[wasm_bindgen(getter = firstOrigin)]
    pub fn first_origin(&self) -> usize {
        SHORTEST - 1
    }

    #[wasm_bindgen(getter)]
    pub fn horizon(&self) -> usize {
        HORIZON
    }
}

impl Measured {
    pub(crate) fn histories(&self) -> Vec<History> {
        History::cut(&self.series)
    }
}
