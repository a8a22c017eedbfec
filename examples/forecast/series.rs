//! A yearly series, read from a CSV file.

use std::fmt;
use std::io::ErrorKind;
use std::path::Path;

use crate::history::{HORIZON, SHORTEST};

const SUNSPOTS: &str = include_str!("sunspots.csv");

/// The years that a file may speak of, and how large its values may be: enough for any yearly series, and small
/// enough that nothing overflows on the way to the plot.
const LARGEST_YEAR: i32 = 99_999;
const LARGEST_VALUE: f32 = 1e9;

/// One value for each year, without gaps.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Series {
    /// The year of the first value.
    pub(crate) first_year: i32,
    /// The values, year by year.
    pub(crate) values: Vec<f32>,
}

/// What is wrong with a CSV file.
#[derive(Debug, PartialEq)]
pub(crate) struct SeriesError(String);

impl fmt::Display for SeriesError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for SeriesError {}

impl Series {
    /// Yearly mean sunspot numbers, 1700 to 2008.
    pub(crate) fn sunspots() -> Result<Self, SeriesError> {
        Self::parse(SUNSPOTS, "sunspots.csv")
    }

    /// Reads a CSV file with the columns year and value.
    pub(crate) fn open(path: &Path) -> Result<Self, SeriesError> {
        let name = path.display().to_string();
        let text = std::fs::read_to_string(path).map_err(|error| {
            let repair = match error.kind() {
                ErrorKind::NotFound => "check the path, or leave --csv out to run on the sunspots",
                ErrorKind::InvalidData => "save it as UTF-8",
                ErrorKind::IsADirectory => "name a file in it",
                _ => "check that it is a file that you may read",
            };
            SeriesError(format!(
                "{name}: expected a CSV file with the columns year,value, got: {error}; {repair}"
            ))
        })?;
        Self::parse(&text, &name)
    }

    /// Reads the text of a CSV file. Empty lines and lines that begin with `#` say nothing; the first other line may
    /// name the columns.
    pub(crate) fn parse(text: &str, name: &str) -> Result<Self, SeriesError> {
        let mut series = Self {
            first_year: 0,
            values: Vec::new(),
        };
        let mut may_be_header = true;
        for (line, number) in text.trim_start_matches('\u{feff}').lines().zip(1..) {
            let line = line.trim();
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            let here = |message: String| SeriesError(format!("{name}, line {number}: {message}"));
            let fields: Vec<&str> = line.split(',').map(str::trim).collect();
            let [year, value] = fields[..] else {
                let columns = fields.len();
                return Err(here(format!(
                    "expected 2 columns with a comma between them (year,value), got {columns}: {}; keep these two columns only",
                    shortened(line)
                )));
            };
            if std::mem::take(&mut may_be_header) && year.parse::<f64>().is_err() && value.parse::<f64>().is_err() {
                continue;
            }
            let year = parse_year(year).map_err(here)?;
            let value = parse_value(value).map_err(here)?;
            series.push(year, value).map_err(here)?;
        }
        series.check_length(name)?;
        Ok(series)
    }

    /// The year of the value at `index`.
    pub(crate) fn year(&self, index: usize) -> i32 {
        self.first_year + index as i32
    }

    /// The year of the last value.
    pub(crate) fn last_year(&self) -> i32 {
        self.year(self.values.len()) - 1
    }

    fn push(&mut self, year: i32, value: f32) -> Result<(), String> {
        if self.values.is_empty() {
            self.first_year = year;
        }
        let expected = self.year(self.values.len());
        if year != expected {
            return Err(format!(
                "expected the year {expected}, got {year}; sort the lines by year and fill the gaps, one line a year"
            ));
        }
        self.values.push(value);
        Ok(())
    }

    fn check_length(&self, name: &str) -> Result<(), SeriesError> {
        let (years, fewest) = (self.values.len(), SHORTEST + HORIZON);
        if years == 0 {
            return Err(SeriesError(format!(
                "{name}: expected lines of year,value, got no numbers at all; give one line a year, like 1964,10.2"
            )));
        }
        if years < fewest {
            return Err(SeriesError(format!(
                "{name}: expected at least {fewest} years ({SHORTEST} of history, {HORIZON} to compare with), got {years}; add years"
            )));
        }
        Ok(())
    }
}

fn parse_year(text: &str) -> Result<i32, String> {
    match text.parse::<i32>() {
        Ok(year) if year.abs() <= LARGEST_YEAR => Ok(year),
        _ => Err(format!(
            "expected a year from -{LARGEST_YEAR} to {LARGEST_YEAR}, got {}; write it as a whole number like 1964",
            shortened(text)
        )),
    }
}

fn parse_value(text: &str) -> Result<f32, String> {
    match text.parse::<f32>() {
        Ok(value) if (0.0..=LARGEST_VALUE).contains(&value) => Ok(value),
        Ok(value) if value.is_finite() && value < 0.0 => Err(format!(
            "expected a value of 0 or more, as the network takes its square root, got {value:e}; add a constant to all \
             values"
        )),
        Ok(value) if value.is_finite() => Err(format!(
            "expected a value of at most {LARGEST_VALUE:e}, got {value:e}; give all values in a larger unit"
        )),
        Ok(_) => Err(format!(
            "expected a finite number, got {}; put a measured or interpolated value there",
            shortened(text)
        )),
        Err(_) => Err(format!(
            "expected a number, got {}; write it with digits and a point, like 10.2",
            shortened(text)
        )),
    }
}

/// What a message shows of a text that may be of any length.
fn shortened(text: &str) -> String {
    let mut start: String = text.chars().take(40).collect();
    if start.len() < text.len() {
        start.push('…');
    }
    format!("{start:?}")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(text: &str) -> String {
        Series::parse(text, "x.csv").map_or_else(|error| error.to_string(), |series| format!("{series:?}"))
    }

    #[test]
    fn the_sunspots_are_complete() -> Result<(), SeriesError> {
        let series = Series::sunspots()?;
        assert_eq!((series.first_year, series.last_year()), (1700, 2008));
        Ok(())
    }

    #[test]
    fn a_byte_order_mark_comments_and_spaces_are_no_trouble() -> Result<(), SeriesError> {
        let rows: String = (1..=40).map(|year| format!("{year} , {year}.5\r\n\r\n")).collect();
        let series = Series::parse(&format!("\u{feff}# about\r\nYear,Value\r\n{rows}"), "x.csv")?;
        assert_eq!(
            (series.first_year, series.last_year(), series.values[39]),
            (1, 40, 40.5)
        );
        Ok(())
    }

    #[test]
    fn bad_files_are_told_what_is_wrong() {
        for (text, expected) in [
            ("", "x.csv: expected lines of year,value, got no numbers at all"),
            ("year,value\n", "got no numbers at all"),
            (
                "1700;5\n",
                "line 1: expected 2 columns with a comma between them (year,value), got 1: \"1700;5\"",
            ),
            ("1700,5\n1701,6,7\n", "line 2: expected 2 columns"),
            ("1700,5\n1702,6\n", "line 2: expected the year 1701, got 1702"),
            ("1700,5\nyear,value\n", "line 2: expected a year"),
            ("1700.5,5\n", "line 1: expected a year"),
            ("99999999,5\n", "line 1: expected a year"),
            ("1700,five\n", "line 1: expected a number, got \"five\""),
            ("1700,NaN\n", "line 1: expected a finite number, got \"NaN\""),
            ("1700,1e39\n", "line 1: expected a finite number"),
            (
                "1700,1e10\n",
                "line 1: expected a value of at most 1e9, got 1e10; give all",
            ),
            ("1700,5\n1701,-0.5\n", "line 2: expected a value of 0 or more"),
            (
                "1700,5\n1701,6\n",
                "x.csv: expected at least 25 years (20 of history, 5 to compare with), got 2; add years",
            ),
        ] {
            assert!(message(text).contains(expected), "{text:?} gave {}", message(text));
        }
    }
}
