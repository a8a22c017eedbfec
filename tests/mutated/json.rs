//! Changes of configurations.

use serde_json::{Map, Value, json};

use crate::split_mix::Random;

/// A changed text, or the text if it is no JSON.
pub(crate) fn changed(text: &[u8], random: &mut Random) -> Vec<u8> {
    let Ok(mut value) = serde_json::from_slice::<Value>(text) else {
        return text.to_vec();
    };
    for _ in 0..=random.below(3) {
        let donor = value.clone();
        let at = random.below(count(&value));
        if let Some(place) = nth(&mut value, at) {
            change(place, &donor, random);
        }
    }
    let mut text = value.to_string();
    if random.one_in(12) {
        // a name twice
        let at = text.match_indices('{').map(|(at, _)| at + 1).collect::<Vec<_>>();
        let names = [
            "units",
            "name",
            "class_name",
            "config",
            "layers",
            "class",
            "features",
            "shape",
        ];
        let (name, value) = (random.pick(&names), leaf(random));
        if let Some(at) = at.get(random.below(at.len()))
            && text.as_bytes().get(*at) == Some(&b'"')
        {
            text.insert_str(*at, &format!("\"{name}\":{value},"));
        }
    }
    if random.one_in(40) {
        let deep = 1 << (4 + random.below(14));
        text = text.replacen(":null", &format!(":{}{}", "[".repeat(deep), "]".repeat(deep)), 1);
    }
    text.into_bytes()
}

fn count(value: &Value) -> usize {
    1 + match value {
        Value::Array(list) => list.iter().map(count).sum(),
        Value::Object(map) => map.values().map(count).sum(),
        _ => 0,
    }
}

fn nth(value: &mut Value, at: usize) -> Option<&mut Value> {
    if at == 0 {
        return Some(value);
    }
    let mut at = at - 1;
    let inner: Vec<&mut Value> = match value {
        Value::Array(list) => list.iter_mut().collect(),
        Value::Object(map) => map.values_mut().collect(),
        _ => return None,
    };
    for value in inner {
        let size = count(value);
        if at < size {
            return nth(value, at);
        }
        at -= size;
    }
    None
}

fn leaf(random: &mut Random) -> Value {
    let values = [
        json!(null),
        json!(true),
        json!(false),
        json!(0),
        json!(1),
        json!(-1),
        json!(2),
        json!(3),
        json!(127),
        json!(1_u64 << 20),
        json!(1_u64 << 31),
        json!(1_u64 << 32),
        json!(1_u64 << 40),
        json!(1_u64 << 61),
        json!(1_u64 << 62),
        json!(i64::MAX),
        json!(i64::MIN),
        json!(u64::MAX),
        json!(0.5),
        json!(-0.0),
        json!(1e300),
        json!(-1e39),
        json!(1e-46),
        json!(""),
        json!("x"),
        json!("tanh"),
        json!("softmax"),
        json!("relu"),
        json!("inf"),
        json!("\u{0}/../.."),
        json!([]),
        json!({}),
        json!([[[[]]]]),
    ];
    random.pick(&values).clone()
}

fn change(place: &mut Value, donor: &Value, random: &mut Random) {
    match random.below(8) {
        0..3 => *place = leaf(random),
        3 => {
            let mut donor = donor.clone();
            let at = random.below(count(&donor));
            if let Some(other) = nth(&mut donor, at) {
                *place = other.take();
            }
        }
        4 => match place {
            Value::Array(list) if !list.is_empty() => {
                let (from, to) = (random.below(list.len()), random.below(list.len()));
                match random.below(3) {
                    0 => drop(list.remove(from)),
                    1 => list.swap(from, to),
                    _ => {
                        let times = 1 << random.below(8);
                        let copy = list[from].clone();
                        list.splice(to..to, (0..times).map(|_| copy.clone()));
                    }
                }
            }
            Value::Object(map) => change_names(map, random),
            other => *other = leaf(random),
        },
        5 => match place.as_i64() {
            Some(number) => *place = json!(number.wrapping_add(random.below(5) as i64 - 2)),
            None => *place = json!([place.take()]),
        },
        6 => match place {
            Value::Bool(flag) => *flag = !*flag,
            Value::Number(number) => *place = json!(number.as_f64().unwrap_or(0.0) * 1e3),
            Value::String(text) => text.push('x'),
            Value::Object(map) => change_names(map, random),
            other => *other = leaf(random),
        },
        _ => match place {
            Value::Object(map) => change_names(map, random),
            other => *other = leaf(random),
        },
    }
}

fn change_names(map: &mut Map<String, Value>, random: &mut Random) {
    let names: Vec<String> = map.keys().cloned().collect();
    if names.is_empty() {
        map.insert("x".to_owned(), leaf(random));
        return;
    }
    let (name, other) = (random.pick(&names).clone(), random.pick(&names).clone());
    match random.below(5) {
        0 => drop(map.remove(&name)),
        1 => {
            let value = map.remove(&name).unwrap_or_default();
            map.insert(format!("{name}_"), value);
        }
        2 => {
            let value = map.get(&name).cloned().unwrap_or_default();
            map.insert(other, value);
        }
        _ => drop(map.insert(name, leaf(random))),
    }
}
