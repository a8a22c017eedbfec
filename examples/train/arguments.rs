//! The arguments of the command line.

use std::ffi::OsString;
use std::path::PathBuf;

/// What `--help` says.
pub(crate) const HELP: &str = "\
Trains a network that forecasts yearly sunspot numbers, from nothing, and compares with Keras.

    cargo run --release --example train -- [--device NAME] [--svg FILE] [--save FILE] [--checkpoint FILE] [--seed N]

    --device NAME      auto (the best GPU there is, else the CPU; the default), cpu, list (says what there is),
                       or a part of an adapter's name
    --svg FILE         where to draw losses and forecasts (default: train.svg)
    --save FILE        where to save the network: .keras, .h5, .safetensors or .onnx (default: sunspots.keras)
    --checkpoint FILE  saves weights, optimiser and generator behind every epoch, and goes on from there if the file exists
    --seed N           of the weights, the stretches and what dropout leaves out (default: 6)
    --help             this text

Ctrl-C ends the training after its batch; the network is saved, drawn and judged as it is then.";

/// The arguments, checked.
#[derive(Debug, PartialEq)]
pub(crate) struct Arguments {
    /// `auto`, `cpu`, `list` or a part of an adapter's name.
    pub(crate) device: String,
    pub(crate) svg: PathBuf,
    pub(crate) save: PathBuf,
    pub(crate) checkpoint: Option<PathBuf>,
    pub(crate) seed: u64,
    /// Whether only the help is wanted.
    pub(crate) help: bool,
}

impl Arguments {
    /// Reads the arguments that follow the program's name.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut parsed = Self {
            device: "auto".into(),
            svg: "train.svg".into(),
            save: "sunspots.keras".into(),
            checkpoint: None,
            seed: 6,
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
                "--svg" => parsed.svg = value("a file")?.into(),
                "--save" => parsed.save = value("a file")?.into(),
                "--checkpoint" => parsed.checkpoint = Some(value("a file")?.into()),
                "--seed" => {
                    let text = value("a number")?.to_string_lossy().into_owned();
                    let number = text.parse();
                    parsed.seed = number
                        .map_err(|_| format!("--seed: expected a whole number, got {text:?}; give one like 6"))?;
                }
                "--help" | "-h" => parsed.help = true,
                other => {
                    return Err(format!(
                        "expected --device, --svg, --save, --checkpoint, --seed or --help, got {other:?}; --help says what each does"
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
        let parsed = parse(&["--device", "llvmpipe", "--checkpoint", "a.safetensors", "--seed", "3"])?;
        assert_eq!((parsed.device.as_str(), parsed.seed), ("llvmpipe", 3));
        assert_eq!(parsed.checkpoint, Some("a.safetensors".into()));
        assert_eq!(parse(&[])?.svg, PathBuf::from("train.svg"));
        Ok(())
    }

    #[test]
    fn bad_arguments_are_errors() {
        assert!(parse(&["--svg"]).is_err_and(|error| error.contains("--svg: expected a file after it")));
        assert!(parse(&["--seed", "x"]).is_err_and(|error| error.contains("got \"x\"")));
        assert!(parse(&["--gpu"]).is_err_and(|error| error.contains("got \"--gpu\"")));
    }
}
