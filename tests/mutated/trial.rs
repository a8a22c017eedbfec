//! One file after the other: what it does is watched.

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use cellstate::{Device, Error, Model, Modules, OpenOptions, Sequences};
use ndarray::{Array2, Array3};

use crate::memory::peak;
use crate::seeds::{self, Format, Seed};
use crate::split_mix::Random;

/// What reading may take in any case, and how many times the file.
const ANYWAY: usize = 64 << 20;
const TIMES: usize = 64;
/// Seconds of all threads, without optimisation, and those of the clock after which the whole ends.
const SLOW: f64 = 2.0;
const HANGS: u64 = 120;

/// The panics so far, those that were caught too.
static PANICS: AtomicU64 = AtomicU64::new(0);

/// The harm that changed files of a format did.
pub(crate) fn run(format: Format, seed: u64, time: Duration, most: usize) -> Vec<String> {
    let seeds = format.seeds();
    assert!(seeds.len() > 5, "{}", format.name());
    let folder = std::env::temp_dir().join("cellstate_mutated");
    fs::create_dir_all(&folder).unwrap();
    let current = folder.join(format!("current_{}_{seed}", format.name()));
    let watch = Watch::new(current.clone());
    let mut random = Random::new(seed);
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        PANICS.fetch_add(1, Ordering::Relaxed);
        before(panic);
    }));
    let (begin, mut harm, mut read, mut ran) = (Instant::now(), Vec::new(), 0, 0);
    let mut tried = 0;
    while tried < most && begin.elapsed() < time {
        tried += 1;
        let from = random.pick(&seeds);
        let bytes = seeds::changed(format, &from.bytes, &mut random);
        fs::write(&current, &bytes).unwrap();
        let options = OpenOptions::new().allow_not_finite(random.one_in(4));
        watch.begin();
        let before = PANICS.load(Ordering::Relaxed);
        let outcome = catch_unwind(AssertUnwindSafe(|| harm_of(&bytes, from, &options)));
        watch.end();
        let outcome = match outcome {
            // one that was caught ends programs that are compiled to abort
            Ok(done) if PANICS.load(Ordering::Relaxed) > before => Ok(Done {
                harm: Some(format!("a panic within, {:?}", done.harm)),
                ..done
            }),
            outcome => outcome,
        };
        let what = match outcome {
            Ok(Done {
                harm: None,
                opened,
                run,
            }) => {
                read += usize::from(opened);
                ran += usize::from(run);
                continue;
            }
            Ok(Done { harm: Some(harm), .. }) => harm,
            Err(panic) => {
                let text = panic.downcast_ref::<String>().cloned();
                let text = text.or_else(|| panic.downcast_ref::<&str>().map(|text| (*text).to_owned()));
                format!("panic: {}", text.unwrap_or_default())
            }
        };
        let kept = folder.join(format!("harm_{seed}_{}_{}", harm.len(), from.name));
        fs::write(&kept, &bytes).unwrap();
        println!("{}: {what}", kept.display());
        harm.push(format!("{}: {what}", kept.display()));
        if harm.len() >= 200 {
            break;
        }
    }
    println!(
        "{}: {tried} files from {} seeds, {read} opened, {ran} ran",
        format.name(),
        seeds.len()
    );
    // changes that no reader gets past would try nothing behind the readers; a state dict of PyTorch is only loaded
    if tried >= 100 && harm.is_empty() {
        assert!(
            ran > 0 && (read > 0 || format == Format::Pytorch),
            "{}: {read} opened, {ran} ran",
            format.name()
        );
    }
    harm
}

#[derive(Default)]
struct Done {
    harm: Option<String>,
    opened: bool,
    run: bool,
}

fn harm_of(bytes: &[u8], seed: &Seed, options: &OpenOptions) -> Done {
    let most = ANYWAY + TIMES * bytes.len();
    let before = seconds();
    let (opened, took) = peak(|| options.from_bytes(bytes, &seed.name));
    let mut harm = Vec::new();
    let mut watch = |what: &str, took: usize, most: usize, before: f64| {
        let passed = seconds() - before;
        if took > most {
            harm.push(format!("{what} took {took} bytes of memory"));
        }
        if passed > SLOW {
            harm.push(format!("{what} took {passed} seconds"));
        }
    };
    watch("reading", took, most, before);
    let before = seconds();
    let (modules, took) = peak(|| Modules::from_bytes(bytes, &seed.name));
    watch("the list of modules", took, most, before);
    match &modules {
        Ok(modules) => drop(modules.to_string() + &modules.suggestion()),
        Err(error) => watch(
            &what_is_wrong("the list of modules", error),
            usize::from(is_wrong(error)),
            0,
            seconds(),
        ),
    }
    let mut models = Vec::new();
    if let Some(into) = &seed.into {
        let mut model = into.clone();
        let before = seconds();
        let (loaded, took) = peak(|| options.load_weights_from_bytes(&mut model, bytes, &seed.name));
        watch("loading", took, most, before);
        match loaded {
            Ok(()) => models.push(model),
            Err(error) => {
                watch(
                    &what_is_wrong("loading", &error),
                    usize::from(is_wrong(&error)),
                    0,
                    seconds(),
                );
                if model.parameters() != into.parameters() {
                    watch("a model that was changed although loading failed", 1, 0, seconds());
                }
            }
        }
    }
    let is_opened = opened.is_ok();
    match opened {
        Ok(model) => models.push(model),
        Err(error) => watch(
            &what_is_wrong("reading", &error),
            usize::from(is_wrong(&error)),
            0,
            seconds(),
        ),
    }
    let mut is_run = false;
    for model in models {
        let before = seconds();
        let (ran, took) = peak(|| used(&model, options));
        watch("using", took, 1 << 30, before);
        match ran {
            Ok(ran) => is_run |= ran,
            Err(what) => watch(&what, 1, 0, seconds()),
        }
    }
    Done {
        harm: (!harm.is_empty()).then(|| harm.join("; ")),
        opened: is_opened,
        run: is_run,
    }
}

/// A defect of this crate, or a message that nobody reads to its end.
fn is_wrong(error: &Error) -> bool {
    const LONGEST: usize = 50_000;
    matches!(error, Error::Defect { .. }) || error.to_string().len() > LONGEST
}

fn what_is_wrong(what: &str, error: &Error) -> String {
    format!("{what}: {}", error.to_string().chars().take(300).collect::<String>())
}

/// Prints, runs and writes a model; whether it ran.
fn used(model: &Model, options: &OpenOptions) -> Result<bool, String> {
    const MOST_FEATURES: usize = 100_000;
    let _ = model.to_string().len();
    for name in ["a.keras", "a.weights.h5", "a.safetensors", "a.onnx"] {
        let bytes = match model.to_bytes(name) {
            Ok(bytes) => bytes,
            Err(error) if is_wrong(&error) => return Err(what_is_wrong("writing", &error)),
            Err(_) => continue,
        };
        if name == "a.weights.h5" {
            continue;
        }
        let again = match options.from_bytes(&bytes, name) {
            Ok(again) => again,
            // not every graph that is written is one that is read
            Err(Error::Unsupported { .. }) if name == "a.onnx" => continue,
            Err(error) => return Err(format!("{name} that was written: {error}")),
        };
        if name != "a.onnx" && again.layers().len() != model.layers().len() {
            return Err(format!("{name} that was written has other layers"));
        }
    }
    let features = model.features().unwrap_or(2);
    if features > MOST_FEATURES {
        return Ok(false);
    }
    let runner = match model.on(&Device::cpu()) {
        Ok(runner) => runner,
        Err(error) if is_wrong(&error) => return Err(what_is_wrong("preparing", &error)),
        Err(_) => return Ok(false),
    };
    let mut is_run = false;
    for steps in 1..=12 {
        let values = Array3::from_shape_fn((2, steps, features), |(n, t, f)| {
            ((n + 2 * t + 3 * f) % 7) as f32 * 0.3 - 1.0
        });
        let tokens = Array2::from_shape_fn((2, steps), |(n, t)| ((n + t) % 3) as i32);
        for input in [Sequences::from(values), Sequences::from(tokens)] {
            match runner.run(&input) {
                Ok(output) => {
                    let _ = output.values().sum();
                    is_run = true;
                }
                Err(error) if is_wrong(&error) => return Err(what_is_wrong("running", &error)),
                Err(_) => {}
            }
        }
        if is_run && steps > 2 {
            break;
        }
    }
    Ok(is_run)
}

/// The seconds that all threads of this process have run, where the system says it.
fn seconds() -> f64 {
    const TICKS: f64 = 100.0;
    let text = fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let behind = text.rsplit(')').next().unwrap_or_default();
    let fields: Vec<f64> = behind
        .split_whitespace()
        .skip(11)
        .take(2)
        .filter_map(|field| field.parse().ok())
        .collect();
    fields.iter().sum::<f64>() / TICKS
}

/// Ends the whole if a file takes far too long, which leaves that file behind.
struct Watch {
    begun: Arc<AtomicU64>,
    is_over: Arc<AtomicBool>,
}

const NOTHING: u64 = u64::MAX;

impl Watch {
    fn new(current: PathBuf) -> Self {
        let begun = Arc::new(AtomicU64::new(NOTHING));
        let is_over = Arc::new(AtomicBool::new(false));
        let (mine, over) = (begun.clone(), is_over.clone());
        let start = Instant::now();
        thread::spawn(move || {
            let (mut seen, mut since) = (NOTHING, start);
            while !over.load(Ordering::Relaxed) {
                let now = mine.load(Ordering::Relaxed);
                if now != seen {
                    (seen, since) = (now, Instant::now());
                }
                if now != NOTHING && since.elapsed().as_secs() > HANGS {
                    println!("{} hangs", current.display());
                    std::process::abort();
                }
                thread::sleep(Duration::from_millis(500));
            }
        });
        Self { begun, is_over }
    }

    fn begin(&self) {
        static NUMBER: AtomicU64 = AtomicU64::new(0);
        self.begun
            .store(NUMBER.fetch_add(1, Ordering::Relaxed), Ordering::Relaxed);
    }

    fn end(&self) {
        self.begun.store(NOTHING, Ordering::Relaxed);
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
    }
}
