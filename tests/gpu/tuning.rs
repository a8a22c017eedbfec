//! What is measured is used, shared and kept; a tuning file may hold anything.

use std::fs;
use std::ops::Deref;
use std::path::{Path, PathBuf};

use cellstate::{Bidirectional, Device, Error, Lstm, Model, Runner, Settings, Strategy};

use super::adapters::{Opened, adapters, floor, open, open_alone};
use super::zoo::{check, kinds};

/// A new, empty folder for one test.
fn folder(test: &str) -> PathBuf {
    // where it is run, which may be another machine than the one that built it
    let root = std::env::var_os("CARGO_TARGET_TMPDIR").unwrap_or_else(|| env!("CARGO_TARGET_TMPDIR").into());
    let folder = Path::new(&root).join(format!("{test}-{}", std::process::id()));
    drop(fs::remove_dir_all(&folder));
    fs::create_dir_all(&folder).unwrap();
    folder
}

fn model() -> Model {
    Model::builder()
        .add(Lstm::new(3, 8).return_sequences(true))
        .add(Bidirectional::new(Lstm::new(8, 6)).backward_layer(Lstm::new(8, 5)))
        .build()
        .unwrap()
}

fn strategies(runner: &Runner, batch: usize, time_steps: usize) -> Vec<Strategy> {
    runner.explain(batch, time_steps).unwrap().strategies().to_vec()
}

/// A runner on a device of its own, which knows nothing yet.
struct Fresh {
    runner: Runner,
    _opened: Opened,
}

impl Deref for Fresh {
    type Target = Runner;

    fn deref(&self) -> &Runner {
        &self.runner
    }
}

fn fresh(adapter: &wgpu::Adapter, model: &Model, settings: &Settings) -> cellstate::Result<Fresh> {
    let opened = open_alone(adapter);
    let runner = model.on_with(&opened.device, settings)?;
    Ok(Fresh {
        runner,
        _opened: opened,
    })
}

#[test]
fn the_fastest_is_used_by_all_runners_on_the_gpu() {
    for adapter in adapters() {
        let opened = open_alone(&adapter);
        let device = &opened.device;
        let runner = model().on(device).unwrap();
        let before = runner.explain(5, 30).unwrap();
        assert!(before.to_string().contains("tuned: nothing"), "{before}");
        let tuning = runner.tune(5, 30).unwrap();
        println!("{tuning}");
        let fastest: Vec<Strategy> = tuning.layers().iter().map(|layer| layer.fastest).collect();
        assert_eq!(fastest.len(), 3);
        for layer in tuning.layers() {
            assert!(layer.candidates.len() >= 2, "{tuning}");
            let least = layer.candidates.iter().min_by_key(|candidate| candidate.step).unwrap();
            assert_eq!(least.strategy, layer.fastest, "{tuning}");
            assert!(!least.step.is_zero(), "{tuning}");
        }
        for runner in [&runner, &model().on(device).unwrap()] {
            let after = runner.explain(8, 32).unwrap(); // the same powers of two
            assert_eq!(after.strategies(), fastest, "{after}");
            assert_eq!(
                after.to_string().matches("Runner::tune has measured it").count(),
                3,
                "{after}"
            );
            let other = runner.explain(9, 32).unwrap();
            assert!(!other.to_string().contains("Runner::tune has measured it"), "{other}");
        }
        // what is asked for by name stands before it
        for strategy in [Strategy::Step, Strategy::Solo] {
            let asked = model().on_with(device, &Settings::new().strategy(strategy)).unwrap();
            assert_eq!(strategies(&asked, 5, 30), [strategy; 3]);
            let tuning = asked.tune(5, 30).unwrap().to_string();
            assert!(tuning.contains("Settings::strategy asks for"), "{tuning}");
            assert_eq!(strategies(&asked, 5, 30), [strategy; 3]);
        }
        let other = fresh(&adapter, &model(), &Settings::new()).unwrap();
        assert!(other.explain(5, 30).unwrap().to_string().contains("tuned: nothing"));
    }
}

/// Every kind of model, with tensors in one piece and cut, gives after tuning what it gave before.
#[test]
fn every_kind_can_be_tuned() {
    for adapter in adapters() {
        let small = wgpu::Limits {
            max_storage_buffer_binding_size: 1 << 10,
            max_buffer_size: 1 << 20,
            ..floor()
        };
        for limits in [floor(), small] {
            let opened = open(&adapter, limits);
            for kind in kinds(3, 5) {
                let (gpu, cpu) = (kind.on(&opened.device), kind.on(&Device::cpu()));
                for (batch, time_steps) in [(3, 40), (0, 4), (2, 0)] {
                    let tuning = gpu.runner().tune(batch, time_steps).unwrap();
                    let runs = batch * time_steps > 0 && !strategies(gpu.runner(), 1, 1).is_empty();
                    assert_eq!(!tuning.layers().is_empty(), runs, "{}: {tuning}", kind.name);
                    assert!(!tuning.to_string().is_empty());
                    check(&kind.name, &gpu, &cpu, &kind.batch(batch, time_steps, 1));
                }
                let error = gpu.runner().tune(usize::MAX, 3).unwrap_err();
                assert!(matches!(error, Error::TooLarge { .. }), "{error}");
            }
            opened.assert_quiet();
        }
    }
}

#[test]
fn answers_survive_in_a_file() {
    let folder = folder("answers");
    let path = folder.join("tuning");
    let settings = Settings::new().tuning_file(&path);
    for adapter in adapters() {
        let new = || fresh(&adapter, &model(), &settings).unwrap();
        let runner = new();
        assert!(!path.exists(), "only a tuning writes");
        runner.tune(5, 30).unwrap();
        let written = fs::read_to_string(&path).unwrap();
        assert_eq!(written.lines().count(), 1 + 3, "{written}");
        let again = new();
        let explained = again.explain(5, 30).unwrap();
        assert_eq!(explained.strategies(), strategies(&runner, 5, 30), "{written}");
        assert_eq!(
            explained.to_string().matches("the tuning file has it").count(),
            3,
            "{explained}"
        );
        // the answers are those of the file, whatever they are, and the last one counts
        for strategy in [Strategy::Step, Strategy::Solo] {
            let mut text = written.clone();
            for line in written.lines().skip(1) {
                let (question, _) = line.rsplit_once(" | ").unwrap();
                text += &format!("{question} | {strategy}\n");
            }
            fs::write(&path, &text).unwrap();
            assert_eq!(strategies(&new(), 5, 30), [strategy; 3], "{text}");
            // another crate version, adapter or size is another question
            for (from, to) in [
                ("cellstate ", "cellstate 9"),
                ("vendor 0x", "vendor 0x9"),
                ("sequences 8", "sequences 16"),
            ] {
                fs::write(&path, text.replace(from, to)).unwrap();
                let explained = new().explain(5, 30).unwrap();
                assert!(!explained.to_string().contains("the tuning file has it"), "{explained}");
            }
            // a strategy that cannot be done, or that there is none of, is passed over
            for unknown in ["sideways", "", "solo | solo"] {
                fs::write(
                    &path,
                    text.replace(&format!("| {strategy}\n"), &format!("| {unknown}\n")),
                )
                .unwrap();
                new().explain(5, 30).unwrap();
            }
        }
        // tuning again replaces the answers and keeps the rest
        fs::write(&path, format!("# mine\n{written}rubbish\n")).unwrap();
        new().tune(5, 30).unwrap();
        new().tune(100, 30).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        assert_eq!(text.lines().count(), written.lines().count() + 2 + 3, "{text}");
        assert!(text.starts_with("# mine\n") && text.contains("\nrubbish\n"), "{text}");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
        fs::remove_file(&path).unwrap();
    }
    fs::remove_dir_all(&folder).unwrap();
}

/// Answers that name what a recurrence cannot do.
#[test]
fn what_cannot_be_done_is_not_done() {
    let folder = folder("impossible");
    let path = folder.join("tuning");
    let settings = Settings::new().tuning_file(&path);
    for adapter in adapters() {
        let softmax = Lstm::new(3, 8).activation(cellstate::Activation::Softmax);
        let model = Model::builder().add(softmax).build().unwrap();
        let tuned = Model::builder().add(Lstm::new(3, 8)).build().unwrap();
        fresh(&adapter, &tuned, &settings).unwrap().tune(4, 4).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let line = text.lines().last().unwrap().rsplit_once(" | ").unwrap().0.to_owned();
        for strategy in [Strategy::Solo, Strategy::Team] {
            fs::write(&path, format!("{line} | {strategy}\n")).unwrap();
            let runner = fresh(&adapter, &model, &settings).unwrap();
            let explained = runner.explain(4, 4).unwrap();
            assert_eq!(explained.strategies(), [Strategy::Step], "{explained}");
            let tuning = runner.tune(4, 4).unwrap();
            assert!(tuning.to_string().contains("nothing was measured"), "{tuning}");
        }
        fs::remove_file(&path).unwrap();
    }
    fs::remove_dir_all(&folder).unwrap();
}

#[test]
fn a_hostile_file_is_no_panic() {
    let folder = folder("hostile");
    let path = folder.join("tuning");
    for adapter in adapters() {
        let on = |path: &Path| fresh(&adapter, &model(), &Settings::new().tuning_file(path));
        let refused = |result: cellstate::Result<()>, path: &Path| {
            let error = result.unwrap_err();
            let text = error.to_string();
            assert!(
                matches!(error, Error::File { .. }) && text.contains("tuning_file"),
                "{text}"
            );
            assert!(text.contains(&path.display().to_string()), "{text}");
            let source = std::error::Error::source(&error).expect("the error of the system");
            assert!(
                source.is::<std::io::Error>() && text.contains(&source.to_string()),
                "{text}"
            );
        };
        let start = {
            on(&path).unwrap().tune(2, 2).unwrap();
            let text = fs::read_to_string(&path).unwrap();
            text.lines().last().unwrap().rsplit_once(" | ").unwrap().0.to_owned()
        };
        let binary: Vec<u8> = (0..100_000_u32)
            .map(|number| (number.wrapping_mul(2_654_435_761) >> 13) as u8)
            .collect();
        let mut long = start.clone().into_bytes();
        long.resize(10 << 20, b'|');
        let texts: [Vec<u8>; 8] = [
            Vec::new(),
            binary,
            long,
            vec![0; 1 << 20],
            vec![b'\n'; 1 << 20],
            start.clone().into_bytes(),
            format!("{start} | \u{202e}solo").into_bytes(),
            [start.as_bytes(), b" | \xff\xff"].concat(),
        ];
        for text in texts {
            fs::write(&path, &text).unwrap();
            let runner = on(&path).unwrap();
            runner.explain(2, 2).unwrap();
            runner.tune(2, 2).unwrap();
            let kept = fs::read(&path).unwrap();
            assert!(kept.ends_with(b"\n") && !kept.ends_with(b"\n\n"));
            assert!(
                on(&path)
                    .unwrap()
                    .explain(2, 2)
                    .unwrap()
                    .to_string()
                    .contains("the tuning file has it")
            );
        }
        fs::write(&path, vec![b'x'; (16 << 20) + 1]).unwrap();
        refused(on(&path).map(drop), &path);
        // a folder, a folder that is not there, no name, a name that no system has
        refused(on(&folder).map(drop), &folder);
        for lost in [folder.join("nowhere/tuning"), folder.join("nowhere/..")] {
            let runner = on(&lost).unwrap();
            refused(runner.tune(2, 2).map(drop), &lost);
            // what was measured is taken all the same
            assert!(
                runner
                    .explain(2, 2)
                    .unwrap()
                    .to_string()
                    .contains("Runner::tune has measured it")
            );
        }
        drop(on(Path::new("")).map(|runner| runner.tune(2, 2)));
        drop(on(Path::new("a\0b")).map(|runner| runner.tune(2, 2)));
        drop(on(Path::new("/")).map(|runner| runner.tune(2, 2)));
        // a file that is only to be read
        fs::write(&path, "").unwrap();
        let mut permissions = fs::metadata(&path).unwrap().permissions();
        permissions.set_readonly(true);
        fs::set_permissions(&path, permissions).unwrap();
        refused(on(&path).unwrap().tune(2, 2).map(drop), &path);
        assert_eq!(fs::read(&path).unwrap(), b"");
        assert_eq!(fs::read_dir(&folder).unwrap().count(), 1, "nothing is left beside it");
        fs::remove_file(&path).ok();
    }
    drop(fs::remove_dir_all(&folder));
}
