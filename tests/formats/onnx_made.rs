//! ONNX files with what exporters write in parts, and with tensors of no values whose sizes have no product.

use cellstate::{Device, Error, Model, Sequences};
use ndarray::{Array3, s};

use super::files::golden;
use super::onnx_hostile::{Message, floats, integers, model, model_of, node, refused};

/// Files in which a layer is written out step by step.
pub(crate) const WRITTEN_OUT: [&str; 3] = ["keras_gru.onnx", "keras_unrolled.onnx", "keras_time_distributed.onnx"];

/// A tensor (3, 2) whose values are in another file.
pub(crate) fn with_external(location: &str) -> Vec<u8> {
    let entry = Message::default().text(1, "location").text(2, location);
    let tensor = Message::default().number(1, 3).number(1, 2).number(2, 1);
    let tensor = tensor.text(8, "w").number(14, 1).with(13, &entry);
    model(&[node("MatMul", &["x", "w"], &["y"], &[])], &[tensor])
}

fn axis(axis: i64) -> Message {
    Message::default().text(1, "axis").number(3, axis).number(20, 2)
}

#[test]
fn tensors_of_nothing_have_sizes_too() {
    let huge = 1 << 62;
    let sizes = integers("s", &[3], &[0, huge, huge]);
    let whole = Message::default()
        .text(1, "value")
        .with(5, &integers("", &[1], &[1]))
        .number(20, 4);
    let filled = |value: &[Message]| node("ConstantOfShape", &["s"], &["z"], value);
    for operator in ["Add", "MatMul", "Concat", "Where"] {
        let attributes = match operator {
            "Concat" => vec![axis(0)],
            _ => vec![],
        };
        for value in [&[][..], std::slice::from_ref(&whole)] {
            let last = node(operator, &["x", "z", "z"], &["y"], &attributes);
            refused(&model(&[filled(value), last], std::slice::from_ref(&sizes)), &[]);
            // with itself first
            let own = node(operator, &["z", "z", "z"], &["two"], &attributes);
            let last = node("Add", &["x", "two"], &["y"], &[]);
            refused(&model(&[filled(value), own, last], std::slice::from_ref(&sizes)), &[]);
        }
    }
    for shape in [
        &[0, huge, huge][..],
        &[huge, huge, 0],
        &[huge, 0, 2],
        &[0, -1],
        &[i64::MAX, 0],
    ] {
        let last = || node("MatMul", &["x", "w"], &["y"], &[]);
        refused(&model(&[last()], &[floats("w", shape, &[])]), &[]);
        refused(&model(&[last()], &[integers("w", shape, &[])]), &[]);
        for along in 0..3 {
            let name = |number: usize| format!("v{number}");
            let doubled = |number: usize| {
                let (before, after) = (name(number), name(number + 1));
                node("Concat", &[&before, &before], &[&after], &[axis(along)])
            };
            let mut nodes: Vec<Message> = (0..70).map(doubled).collect();
            nodes.push(node("MatMul", &["x", &name(70)], &["y"], &[]));
            refused(&model(&nodes, &[floats("v0", shape, &[])]), &[]);
            refused(&model(&nodes, &[integers("v0", shape, &[])]), &[]);
        }
    }
}

#[test]
fn nothing_is_reshaped_and_picked() {
    let huge = 1 << 62;
    let tensors = || {
        [
            floats("w", &[0], &[]),
            integers("s", &[3], &[0, huge, 2]),
            integers("none", &[0], &[]),
            integers("many", &[4], &[0, 1, 2, 3]),
        ]
    };
    let reshaped = || node("Reshape", &["w", "s"], &["v"], &[]);
    for (operator, second, along) in [("Gather", "none", 1), ("Gather", "many", 1), ("Gather", "many", 2)] {
        let picked = node(operator, &["v", second], &["u"], &[axis(along)]);
        let last = node("MatMul", &["x", "u"], &["y"], &[]);
        refused(&model(&[reshaped(), picked, last], &tensors()), &[]);
    }
    let turned = node("Transpose", &["v"], &["u"], &[]);
    let last = node("Add", &["x", "u"], &["y"], &[]);
    refused(&model(&[reshaped(), turned, last], &tensors()), &[]);
}

#[test]
fn residual_joins_and_loops_are_refused_by_name() {
    let refused = |nodes: &[Message], wanted: &[&str]| {
        let error = Model::from_bytes(&model(nodes, &[floats("w", &[3, 3], &[0.5; 9])]), "x.onnx").unwrap_err();
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        let message = error.to_string();
        for text in wanted {
            assert!(message.contains(text), "{text:?} is not in: {message}");
        }
    };
    let around_the_input = [
        node("MatMul", &["x", "w"], &["h"], &[]),
        node("Tanh", &["h"], &["a"], &[]),
        node("Add", &["a", "x"], &["y"], &[]),
    ];
    refused(&around_the_input, &["node 2 (Add)", "\"y\"", "residual connection"]);
    let around_a_layer = [
        node("MatMul", &["x", "w"], &["h"], &[]),
        node("Relu", &["h"], &["r"], &[]),
        node("MatMul", &["r", "w"], &["p"], &[]),
        node("Mul", &["h", "p"], &["y"], &[]),
    ];
    refused(&around_a_layer, &["node 3 (Mul)", "residual connection"]);
    let side_by_side = [
        node("Tanh", &["x"], &["h"], &[]),
        node("Concat", &["x", "h"], &["y"], &[axis(2)]),
    ];
    refused(&side_by_side, &["node 1 (Concat)", "side by side"]);
    for operator in ["Loop", "Scan"] {
        refused(
            &[node(operator, &["x"], &["y"], &[])],
            &[operator, "step by step", ".keras", "nn.GRU"],
        );
    }
}

/// One number is added to every feature, or times every feature.
#[test]
fn single_numbers_are_for_all_features() {
    let nodes = |operators: [&str; 2]| {
        let [first, second] = operators;
        [
            node("MatMul", &["x", "w"], &["h"], &[]),
            node(first, &["h", "two"], &["a"], &[]),
            node(second, &["three", "a"], &["y"], &[]),
        ]
    };
    let tensors = [
        floats("w", &[3, 2], &[1.0, 0.0, 0.0, 1.0, 0.0, 0.0]),
        floats("two", &[], &[2.0]),
        floats("three", &[1], &[3.0]),
    ];
    let x = Array3::from_shape_fn((2, 3, 3), |(row, step, feature)| {
        (row + 2 * step) as f32 - feature as f32
    });
    for (operators, of) in [
        (["Add", "Mul"], (|x: f32| (x + 2.0) * 3.0) as fn(f32) -> f32),
        (["Mul", "Add"], |x| x * 2.0 + 3.0),
        (["Add", "Add"], |x| x + 5.0),
    ] {
        let model = Model::from_bytes(&model(&nodes(operators), &tensors), "x.onnx").unwrap();
        let output = model.on(&Device::cpu()).unwrap().run(&Sequences::from(&x)).unwrap();
        let wanted = x.slice(s![.., .., ..2]).mapv(of);
        let differs = (&output.sequences().unwrap() - &wanted).mapv(f32::abs);
        assert!(differs.iter().all(|&by| by < 1e-5), "{operators:?}: {differs}");
    }
    // a scalar for features whose number is not known, or that are more than any memory holds
    for dim in [
        Message::default().text(2, "features"),
        Message::default().number(1, 1 << 50),
    ] {
        let nodes = [node("Add", &["x", "two"], &["y"], &[])];
        refused(&model_of(&dim, &nodes, &tensors), &["(Add)"]);
    }
}

/// The message names the node, what it is of, and what to do.
#[test]
fn layers_that_are_written_out_are_refused_by_node() {
    for (name, wanted) in WRITTEN_OUT.into_iter().zip([
        &["while_loop\" (Loop)", "Loop, a layer"][..],
        &["lstm_cell", "MatMul of an initial state, a layer", "unroll=False"],
        &[
            "time_distributed",
            "(Slice)",
            "time step 5 alone, a layer",
            "without a TimeDistributed",
        ],
    ]) {
        let path = golden("onnx").join(name);
        let error = Model::open(&path).expect_err("a layer step by step");
        assert!(matches!(error, Error::Unsupported { .. }), "{error:?}");
        let message = error.to_string();
        for wanted in wanted.iter().chain(&[name, "step by step", ".keras"]) {
            assert!(message.contains(wanted), "{wanted:?} is not in: {message}");
        }
    }
}
