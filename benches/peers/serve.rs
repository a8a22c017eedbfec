//! A program of the comparison: `run` asks on its standard input, it answers with a line of JSON each.
//!
//! - `prepare SLOT PATH BATCH TIME_STEPS FEATURES UNITS full|lengths`: makes the model, runs it, and says what came out
//! - `measure SLOT SECONDS MOST`: calls it until the seconds or the number of calls are used up, and says what each took
//! - `release`: forgets what was prepared

use std::collections::HashMap;
use std::io::{self, BufRead, Write};
use std::time::{Duration, Instant};

use super::rule::{Outcome, Problem, Shape};

/// A model with its input, ready to be timed.
pub(crate) trait Prepared {
    /// What is timed: from the input on the host to the output at every step on the host.
    fn call(&mut self) -> Outcome<()>;
    /// What a call took: by this program's clock, unless something nearer to the work has one.
    fn time(&mut self) -> Outcome<Duration> {
        let call = Instant::now();
        self.call()?;
        Ok(call.elapsed())
    }
    /// The output, (batch, time_steps, units), zero at padded steps.
    fn output(&mut self) -> Outcome<Vec<f32>>;
    /// Where it runs, with the driver.
    fn adapter(&self) -> String;
}

/// Answers until the input ends. `prepare` makes a problem ready on one of the paths that there are on this machine.
pub(crate) fn serve(
    version: &str,
    paths: &[&str],
    prepare: impl Fn(&str, Problem) -> Outcome<Box<dyn Prepared>>,
) -> Outcome<()> {
    let mut slots: HashMap<String, Box<dyn Prepared>> = HashMap::new();
    answer(&format!("{{\"version\": {version:?}, \"paths\": {paths:?}}}"))?;
    for line in io::stdin().lock().lines() {
        let line = line?;
        let words: Vec<&str> = line.split_whitespace().collect();
        let reply = match words.as_slice() {
            ["prepare", slot, path, shape @ .., mode] => {
                prepared(shape, mode, |problem| prepare(path, problem)).map(|(prepared, reply)| {
                    slots.insert((*slot).to_owned(), prepared);
                    reply
                })
            }
            ["measure", slot, seconds, most] => match slots.get_mut(*slot) {
                Some(slot) => measured(slot.as_mut(), seconds, most),
                None => Err(format!("nothing was prepared in slot {slot}").into()),
            },
            ["release"] => {
                slots.clear();
                Ok("{}".to_owned())
            }
            _ => Err(format!("cannot read the request {line:?}").into()),
        };
        answer(&reply.unwrap_or_else(|error| format!("{{\"error\": {:?}}}", error.to_string())))?;
    }
    Ok(())
}

fn answer(line: &str) -> io::Result<()> {
    let mut output = io::stdout().lock();
    writeln!(output, "{line}")?;
    output.flush()
}

fn prepared(
    shape: &[&str],
    mode: &str,
    prepare: impl Fn(Problem) -> Outcome<Box<dyn Prepared>>,
) -> Outcome<(Box<dyn Prepared>, String)> {
    let sizes = shape
        .iter()
        .map(|size| size.parse())
        .collect::<Result<Vec<usize>, _>>()?;
    let [batch, time_steps, features, units] = sizes[..] else {
        return Err("a shape is BATCH TIME_STEPS FEATURES UNITS".into());
    };
    let with_lengths = match mode {
        "full" => false,
        "lengths" => true,
        _ => return Err(format!("the mode is full or lengths, not {mode}").into()),
    };
    let problem = Problem::new(Shape::new(batch, time_steps, features, units), with_lengths);
    let mut prepared = prepare(problem.clone())?;
    let digest = problem.digest(&prepared.output()?);
    let began = Instant::now();
    prepared.call()?;
    let reply = format!(
        "{{\"adapter\": {:?}, \"sum\": {}, \"weighted\": {}, \"samples\": {:?}, \"seconds\": {}}}",
        prepared.adapter(),
        digest.sum,
        digest.weighted,
        digest.samples,
        began.elapsed().as_secs_f64()
    );
    Ok((prepared, reply))
}

fn measured(slot: &mut dyn Prepared, seconds: &str, most: &str) -> Outcome<String> {
    let (limit, most) = (Duration::try_from_secs_f64(seconds.parse()?)?, most.parse::<usize>()?);
    let began = Instant::now();
    let mut times = Vec::new();
    while times.is_empty() || (times.len() < most && began.elapsed() < limit) {
        times.push(slot.time()?.as_secs_f64());
    }
    Ok(format!("{{\"times\": {times:?}}}"))
}
