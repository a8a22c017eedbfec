//! The names of Keras, against lists that Keras has made.

use cellstate::{Error, Initializer, Lstm};

/// What a Keras class with these parameters is here; `None` for those that draw no weight of ours.
fn ours(class: &str, config: &serde_json::Value) -> Option<Initializer> {
    use Initializer as I;
    let number = |key: &str| config[key].as_f64().expect(key) as f32;
    Some(match class {
        "GlorotUniform" => I::GlorotUniform,
        "GlorotNormal" => I::GlorotNormal,
        "HeUniform" => I::HeUniform,
        "HeNormal" => I::HeNormal,
        "LecunUniform" => I::LecunUniform,
        "LecunNormal" => I::LecunNormal,
        "VarianceScaling" => {
            let [mode, distribution] = ["mode", "distribution"].map(|key| config[key].as_str());
            let found = (number("scale"), mode, distribution);
            assert_eq!(found, (1.0, Some("fan_in"), Some("truncated_normal")));
            I::LecunNormal
        }
        "RandomUniform" => I::RandomUniform {
            min: number("minval"),
            max: number("maxval"),
        },
        "RandomNormal" => I::RandomNormal {
            mean: number("mean"),
            deviation: number("stddev"),
        },
        "TruncatedNormal" => I::TruncatedNormal {
            mean: number("mean"),
            deviation: number("stddev"),
        },
        "Orthogonal" => I::Orthogonal { gain: number("gain") },
        "Identity" => I::Identity { gain: 1.0 },
        "Zeros" => I::Zeros,
        "Ones" => I::Ones,
        "Initializer" | "STFT" => return None,
        _ => panic!("Keras has a further class: {class}"),
    })
}

/// The registry of Keras, as `golden/initializer_names.py` has written it down.
fn registry() -> serde_json::Map<String, serde_json::Value> {
    // where it is run, which may be another machine than the one that built it
    let root = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_else(|_| env!("CARGO_MANIFEST_DIR").to_owned());
    let path = format!("{root}/golden/initializer_names.json");
    let page: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    assert_eq!(page["framework"], "keras 3.15.1");
    page["names"].as_object().unwrap().clone()
}

#[test]
fn names_are_those_of_keras() {
    let registry = registry();
    assert_eq!(registry.len(), 41);
    for (name, entry) in &registry {
        // what Keras itself refuses by name is refused
        let want = match entry.get("error") {
            Some(_) => None,
            None => ours(entry["class"].as_str().unwrap(), &entry["config"]),
        };
        match (want, name.parse::<Initializer>()) {
            (Some(want), got) => assert_eq!(got, Ok(want), "{name}"),
            (None, Err(Error::Unsupported { option, instead, .. })) => {
                assert_eq!(option, *name);
                assert!(instead.contains("name") || instead.contains("Initializer::Constant(value)"));
            }
            (None, other) => panic!("{name}: {other:?}"),
        }
    }
    // and nothing that merely looks like one of them
    let looks_alike = registry.keys().flat_map(|name| {
        let snake = name.to_lowercase();
        [
            format!("{snake}_initializer"),
            format!("{name}Initializer"),
            name.to_uppercase(),
            name.replace('_', ""),
            name.replace('_', "-"),
            snake,
            format!(" {name}"),
            format!("keras.initializers.{name}"),
        ]
    });
    for name in looks_alike.filter(|name| !registry.contains_key(name)) {
        let parsed = Initializer::from_name(&name);
        assert!(matches!(parsed, Err(Error::Value { .. })), "{name}: {parsed:?}");
    }
    for (name, hint) in [
        ("Glorot_Uniform", "write \"glorot_uniform\""),
        ("orthogonal_initializer", "write \"OrthogonalInitializer\""),
        ("xavier_uniform", "glorot"),
        ("kaiming_normal", "called he"),
        ("sparse", "one of glorot_uniform"),
    ] {
        let error = Initializer::from_name(name).unwrap_err();
        assert!(
            matches!(error, Error::Value { .. }) && error.to_string().contains(hint),
            "{error}"
        );
    }
}

/// A bias has one axis: what Keras fills is filled, what Keras refuses is refused.
#[test]
fn a_bias_is_drawn_where_keras_draws_one() {
    for (name, entry) in &registry() {
        let Ok(initializer) = Initializer::from_name(name) else {
            continue;
        };
        let drawn = Lstm::new(2, 3).bias_initializer(initializer).weights();
        assert_eq!(drawn.is_ok(), entry["bias"].as_bool().unwrap(), "{name}: {drawn:?}");
    }
}
