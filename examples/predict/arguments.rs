//! The arguments of the command line.

use std::ffi::OsString;
use std::path::PathBuf;
use std::str::FromStr;

/// What `--help` says.
pub(crate) const HELP: &str = "\
Opens a trained model, says what it understood, and runs it.

    cargo run --release --example predict -- MODEL [INPUT] [OPTION...]

    MODEL             .keras, .h5, .onnx, .safetensors, .pt, .pth
    INPUT             .npy: (batch, time_steps, features), or (time_steps, features) for one sequence; token numbers (batch,
                      time_steps). .csv: a line for each time step of one sequence; of tokens a line for each sequence. A
                      first line of names is passed over. Without INPUT the model runs on random numbers
    --against FILE    .npy with what is expected: says how far off the result is, and ends with 1 beyond the tolerance
    --tolerance T     a value passes within T + T·|expected| (default 1e-5)
    --output FILE     writes the result, as .npy or .csv
    --lengths L,L,…   how many steps of each sequence count; those behind are padding
    --device NAME     auto (the best GPU there is, else the CPU; the default), cpu, list (says what there is), or a part of an
                      adapter's name
    --batch B         random input: how many sequences (default 3)
    --time-steps T    random input: how many time steps (default 20, or what the model wants)
    --seed S          random input: which (default 0)
    --help            this text

Ends with 0, with 1 if the result is too far off, and with 2 for errors.";

/// The arguments, checked.
#[derive(Debug, PartialEq)]
pub(crate) struct Arguments {
    pub(crate) model: Option<PathBuf>,
    pub(crate) input: Option<PathBuf>,
    pub(crate) against: Option<PathBuf>,
    pub(crate) tolerance: f32,
    pub(crate) output: Option<PathBuf>,
    pub(crate) lengths: Option<Vec<usize>>,
    /// `auto`, `cpu`, `list` or a part of an adapter's name.
    pub(crate) device: String,
    pub(crate) batch: Option<usize>,
    pub(crate) time_steps: Option<usize>,
    pub(crate) seed: Option<u64>,
    /// Whether only the help is wanted.
    pub(crate) help: bool,
}

impl Arguments {
    /// Reads the arguments that follow the program's name.
    pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, String> {
        let mut parsed = Self {
            model: None,
            input: None,
            against: None,
            tolerance: 1e-5,
            output: None,
            lengths: None,
            device: "auto".into(),
            batch: None,
            time_steps: None,
            seed: None,
            help: false,
        };
        let mut arguments = arguments.into_iter();
        while let Some(argument) = arguments.next() {
            let name = argument.to_string_lossy().into_owned();
            let mut value = |wanted: &str| match arguments.next() {
                Some(value) if !value.is_empty() => Ok(value),
                _ => Err(format!(
                    "{name}: expected {wanted} after it, got nothing; --help says more"
                )),
            };
            match name.as_str() {
                "--against" => parsed.against = Some(value("a .npy file")?.into()),
                "--tolerance" => parsed.tolerance = tolerance(&value("a number")?)?,
                "--output" => parsed.output = Some(value("a file")?.into()),
                "--lengths" => parsed.lengths = Some(lengths(&value("numbers with commas between them")?)?),
                "--device" => parsed.device = value("a name")?.to_string_lossy().into_owned(),
                "--batch" => parsed.batch = Some(whole(&name, &value("a number")?)?),
                "--time-steps" => parsed.time_steps = Some(whole(&name, &value("a number")?)?),
                "--seed" => parsed.seed = Some(whole(&name, &value("a number")?)?),
                "--help" | "-h" => parsed.help = true,
                _ if name.starts_with("--") => {
                    return Err(format!("expected an option of --help, got {name:?}; --help lists them"));
                }
                _ if parsed.model.is_none() => parsed.model = Some(argument.into()),
                _ if parsed.input.is_none() => parsed.input = Some(argument.into()),
                _ => {
                    return Err(format!(
                        "expected a model and an input, got {name:?} besides; put paths with spaces into quotes"
                    ));
                }
            }
        }
        parsed.check()
    }

    fn check(self) -> Result<Self, String> {
        let random = [
            ("--batch", self.batch.is_some()),
            ("--time-steps", self.time_steps.is_some()),
            ("--seed", self.seed.is_some()),
        ];
        if let Some(output) = &self.output
            && !output
                .extension()
                .is_some_and(|ending| ending == "npy" || ending == "csv")
        {
            let output = output.display();
            return Err(format!(
                "--output {output}: expected a name that ends in .npy or .csv; rename it"
            ));
        }
        match (&self.input, random.iter().find(|(_, given)| *given)) {
            (Some(input), Some((name, _))) => Err(format!(
                "{name}: expected random input, got the file {}; leave out one of the two",
                input.display()
            )),
            _ => Ok(self),
        }
    }
}

fn whole<N: FromStr>(name: &str, text: &OsString) -> Result<N, String> {
    let text = text.to_string_lossy();
    let number = text.trim().parse();
    number.map_err(|_| format!("{name}: expected a whole number, 0 or more, got {text:?}; write it with digits alone"))
}

fn tolerance(text: &OsString) -> Result<f32, String> {
    let text = text.to_string_lossy();
    match text.trim().parse::<f32>() {
        Ok(number) if number >= 0.0 && number.is_finite() => Ok(number),
        _ => Err(format!(
            "--tolerance: expected a number, 0 or more, got {text:?}; write it like 1e-5"
        )),
    }
}

fn lengths(text: &OsString) -> Result<Vec<usize>, String> {
    let text = text.to_string_lossy();
    let numbers: Result<Vec<usize>, _> = text.split(',').map(|number| number.trim().parse()).collect();
    numbers.map_err(|_| {
        format!("--lengths: expected whole numbers with commas between them, got {text:?}; write 15,10,12")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(arguments: &[&str]) -> Result<Arguments, String> {
        Arguments::parse(arguments.iter().map(OsString::from))
    }

    #[test]
    fn arguments_are_read() -> Result<(), String> {
        let parsed = parse(&["a.keras", "--lengths", "15,10, 12", "x.csv", "--tolerance", "1e-4"])?;
        assert_eq!(
            (parsed.model, parsed.input),
            (Some("a.keras".into()), Some("x.csv".into()))
        );
        assert_eq!((parsed.lengths, parsed.tolerance), (Some(vec![15, 10, 12]), 1e-4));
        Ok(())
    }

    #[test]
    fn wrong_arguments_are_errors() {
        for (arguments, expected) in [
            (vec!["--against"], "--against: expected a .npy file after it"),
            (vec!["--gpu"], "got \"--gpu\""),
            (vec!["a", "b", "c"], "got \"c\" besides"),
            (
                vec!["a", "b", "--batch", "3"],
                "--batch: expected random input, got the file b",
            ),
            (vec!["--batch", "-1"], "--batch: expected a whole number"),
            (vec!["--lengths", "15;10"], "--lengths: expected whole numbers"),
            (
                vec!["a", "--output", "b.txt"],
                "--output b.txt: expected a name that ends in .npy or .csv",
            ),
            (vec!["--tolerance", "NaN"], "--tolerance: expected a number"),
        ] {
            let error = parse(&arguments).err().unwrap_or_default();
            assert!(error.contains(expected), "{arguments:?} gave {error:?}");
        }
    }
}
