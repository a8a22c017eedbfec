//! The arguments of the command line.

use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` says.
pub(crate) const HELP: &str = "\
Forecasts yearly sunspot numbers with an LSTM trained in Keras.

    cargo run --release --example forecast -- [--device NAME] [--csv FILE] [--svg FILE]

    --device NAME   auto (the best GPU there is, else the CPU; the default), cpu, list (says what there is),
                    or a part of an adapter's name
    --csv FILE      another yearly series, lines of year,value (0 or more), in place of the sunspots of 1700 to 2008
    --svg FILE      where to draw the forecasts (default: forecast.svg)
    --help          this text";

/// The arguments, checked.
#[derive(Debug, PartialEq)]
pub(crate) struct Arguments {
    /// `auto`, `cpu`, `list` or a part of an adapter's name.
    pub(crate) device: String,
    /// Another series.
    pub(crate) csv: Option<PathBuf>,
    /// Where to draw.
    pub(crate) svg: PathBuf,
    /// Whether only the help is wanted.
    pub(crate) help: bool,
}

impl Arguments {
    /// Reads the arguments that follow the program's name.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut parsed = Self {
            device: "auto".into(),
            csv: None,
            svg: "forecast.svg".into(),
            help: false,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let name = argument.to_string_lossy();
            let mut value = |wanted: &str| match arguments.next() {
                Some(value) if !value.is_empty() => Ok(value),
                _ => Err(format!(
                    "{name}: expected {wanted} after it, got nothing; --help says more"
                )),
            };
            match name.as_ref() {
                "--device" => parsed.device = value("a name")?.to_string_lossy().into_owned(),
                "--csv" => parsed.csv = Some(value("a file")?.into()),
                "--svg" => parsed.svg = value("a file")?.into(),
                "--help" | "-h" => parsed.help = true,
                other => {
                    return Err(format!(
                        "expected --device, --csv, --svg or --help, got {other:?}; --help says what each does"
                    ));
                }
            }
        }
        Ok(parsed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, String> {
        Arguments::parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn arguments_are_read() -> Result<(), String> {
        let parsed = parse(&["--device", "llvmpipe", "--csv", "a.csv"])?;
        assert_eq!((parsed.device.as_str(), parsed.csv), ("llvmpipe", Some("a.csv".into())));
        assert_eq!(parse(&[])?.svg, PathBuf::from("forecast.svg"));
        Ok(())
    }

    #[test]
    fn a_missing_value_and_an_unknown_argument_are_errors() {
        assert!(parse(&["--csv"]).is_err_and(|error| error.contains("--csv: expected a file after it")));
        assert!(parse(&["--gpu"]).is_err_and(|error| error.contains("got \"--gpu\"")));
    }
}
