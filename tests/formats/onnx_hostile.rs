//! ONNX files that are damaged, or made to harm: an error each, soon and in little memory.

use std::fs;
use std::time::Instant;

use cellstate::{Error, Model};

use super::onnx::files;

/// A message of protobuf in the making.
#[derive(Clone, Default)]
pub(crate) struct Message(Vec<u8>);

impl Message {
    pub(crate) fn varint(mut self, mut value: u64) -> Self {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
        self
    }

    pub(crate) fn number(self, field: u64, value: i64) -> Self {
        self.varint(field << 3).varint(value as u64)
    }

    pub(crate) fn bytes(self, field: u64, bytes: &[u8]) -> Self {
        let mut message = self.varint(field << 3 | 2).varint(bytes.len() as u64);
        message.0.extend_from_slice(bytes);
        message
    }

    pub(crate) fn text(self, field: u64, text: &str) -> Self {
        self.bytes(field, text.as_bytes())
    }

    pub(crate) fn with(self, field: u64, message: &Self) -> Self {
        self.bytes(field, &message.0)
    }
}

fn attribute_ints(name: &str, ints: &[i64]) -> Message {
    let list = Message::default().text(1, name).number(20, 7);
    ints.iter().fold(list, |list, &value| list.number(8, value))
}

pub(crate) fn node(operator: &str, inputs: &[&str], outputs: &[&str], attributes: &[Message]) -> Message {
    let message = inputs
        .iter()
        .fold(Message::default(), |message, name| message.text(1, name));
    let message = outputs.iter().fold(message, |message, name| message.text(2, name));
    attributes.iter().fold(message.text(4, operator), |message, attribute| {
        message.with(5, attribute)
    })
}

pub(crate) fn floats(name: &str, dims: &[i64], values: &[f32]) -> Message {
    let tensor = dims
        .iter()
        .fold(Message::default(), |tensor, &size| tensor.number(1, size));
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor.number(2, 1).text(8, name).bytes(9, &raw)
}

pub(crate) fn integers(name: &str, dims: &[i64], values: &[i64]) -> Message {
    let tensor = dims
        .iter()
        .fold(Message::default(), |tensor, &size| tensor.number(1, size));
    let raw: Vec<u8> = values.iter().flat_map(|value| value.to_le_bytes()).collect();
    tensor.number(2, 7).text(8, name).bytes(9, &raw)
}

/// An input `x` (batch, time, 3) and an output `y`.
pub(crate) fn model(nodes: &[Message], tensors: &[Message]) -> Vec<u8> {
    model_of(&Message::default().number(1, 3), nodes, tensors)
}

/// The same with other features.
pub(crate) fn model_of(features: &Message, nodes: &[Message], tensors: &[Message]) -> Vec<u8> {
    let dim = |name: &str| Message::default().text(2, name);
    let shape = Message::default()
        .with(1, &dim("batch"))
        .with(1, &dim("time"))
        .with(1, features);
    let kind = Message::default().with(1, &Message::default().number(1, 1).with(2, &shape));
    let graph = nodes.iter().fold(Message::default(), |graph, node| graph.with(1, node));
    let graph = tensors.iter().fold(graph, |graph, tensor| graph.with(5, tensor));
    let graph = graph
        .with(11, &Message::default().text(1, "x").with(2, &kind))
        .with(12, &Message::default().text(1, "y"));
    let opset = Message::default().number(2, 20);
    Message::default().number(1, 10).with(7, &graph).with(8, &opset).0
}

fn read(bytes: &[u8]) -> Result<Model, Error> {
    Model::from_bytes(bytes, "hostile.onnx")
}

#[track_caller]
pub(crate) fn refused(bytes: &[u8], wanted: &[&str]) {
    let begin = Instant::now();
    let message = match read(bytes) {
        Ok(model) => panic!("it was read:\n{model}"),
        Err(error) => {
            assert!(!matches!(error, Error::Defect { .. }), "{error}");
            error.to_string()
        }
    };
    for text in wanted {
        assert!(message.contains(text), "{text:?} is not in: {message}");
    }
    assert!(begin.elapsed().as_secs() < 5, "{:?} for: {message}", begin.elapsed());
}

#[test]
fn damaged_golden_files_are_errors() {
    for path in files("bad", "") {
        let error = Model::open(&path).expect_err("a damaged file");
        println!("{}: {error}", path.display());
        assert!(!matches!(error, Error::Defect { .. }), "{error}");
    }
    let name = |name: &str| files("bad", name).remove(0);
    let message = |file: &str| Model::open(name(file)).expect_err("a damaged file").to_string();
    assert!(message("missing_initializer").contains("\"R\""));
    assert!(message("hidden_size_disagrees").contains("hidden_size 4"));
}

/// Cut off, and with single bits turned: read or refused, never a panic.
#[test]
fn cut_and_flipped_files_do_no_harm() {
    let mut paths = files("models", "onnx_hand");
    for begin in [
        "torch_gru_stack_script",
        "torch_tokens_dynamo",
        "keras_bidirectional_last",
        "keras_flatten",
        "onnx_lstm_peepholes",
    ] {
        paths.extend(files("onnx", begin));
    }
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    for path in paths {
        let bytes = fs::read(&path).expect("a file");
        for end in (0..bytes.len()).step_by(97) {
            assert!(read(&bytes[..end]).is_err(), "{} cut at {end}", path.display());
        }
        for _ in 0..1500 {
            let mut flipped = bytes.clone();
            for _ in 0..1 + random % 3 {
                random = random
                    .wrapping_mul(6364136223846793005)
                    .wrapping_add(1442695040888963407);
                let place = (random >> 33) as usize % flipped.len();
                flipped[place] ^= 1 << (random >> 29 & 7);
            }
            if let Err(error) = read(&flipped) {
                assert!(!matches!(error, Error::Defect { .. }), "{}: {error}", path.display());
            }
        }
    }
}

#[test]
fn shapes_that_lie_are_errors() {
    let of = |dims: &[i64]| {
        model(
            &[node("MatMul", &["x", "w"], &["y"], &[])],
            &[floats("w", dims, &[1.0; 6])],
        )
    };
    assert!(read(&of(&[3, 2])).is_ok());
    refused(&of(&[3, 3]), &["9 values", "6 values"]);
    refused(&of(&[i64::MAX, i64::MAX]), &["sizes that can be multiplied"]);
    refused(&of(&[-3, -2]), &["sizes of 0 or more"]);
    refused(&of(&[1 << 40, 0]), &["0 values"]);
    refused(&of(&[0, 2]), &["0 values"]);
    refused(&of(&[1; 300]), &["at most 8 axes"]);
    refused(&of(&[2, 3]), &["3 rows"]);
}

#[test]
fn numbers_that_are_none_are_refused() {
    let weights = |value: f32| {
        let tensor = floats("w", &[3, 2], &[1.0, value, 1.0, 1.0, 1.0, 1.0]);
        model(&[node("MatMul", &["x", "w"], &["y"], &[])], &[tensor])
    };
    refused(&weights(f32::NAN), &["NaN", "kernel", "hostile.onnx"]);
    refused(&weights(f32::INFINITY), &["inf"]);
}

/// Shapes that are only said, not there.
#[test]
fn claimed_sizes_cost_no_memory() {
    let shape = integers("s", &[3], &[1 << 40, 1 << 40, 1 << 20]);
    let huge = node("ConstantOfShape", &["s"], &["z"], &[]);
    refused(
        &model(
            &[huge.clone(), node("MatMul", &["x", "z"], &["y"], &[])],
            std::slice::from_ref(&shape),
        ),
        &["MatMul", "size that is not known"],
    );
    let expanded = node("Expand", &["one", "s"], &["z"], &[]);
    let one = floats("one", &[], &[1.0]);
    refused(
        &model(&[expanded, node("Add", &["x", "z"], &["y"], &[])], &[shape, one]),
        &["Add"],
    );
    let wide = integers("s", &[2], &[3, 1 << 30]);
    refused(
        &model(&[huge, node("MatMul", &["x", "z"], &["y"], &[])], &[wide]),
        &["values made of those in the file"],
    );
}

/// A constant that is doubled again and again.
#[test]
fn values_do_not_grow_beyond_the_file() {
    let axis = Message::default().text(1, "axis").number(3, 0).number(20, 2);
    let name = |number: usize| format!("v{number}");
    let doubled = |number: usize| {
        let (before, after) = (name(number), name(number + 1));
        node("Concat", &[&before, &before], &[&after], std::slice::from_ref(&axis))
    };
    let mut nodes: Vec<Message> = (0..60).map(doubled).collect();
    nodes.push(node("MatMul", &["x", &name(60)], &["y"], &[]));
    refused(
        &model(&nodes, &[floats("v0", &[3, 1], &[1.0; 3])]),
        &["values made of those in the file"],
    );
    // the same with what comes of the input
    let mut nodes = vec![node("MatMul", &["x", "w"], &["v0"], &[])];
    let last = Message::default().text(1, "axis").number(3, -1).number(20, 2);
    nodes.extend((0..60).map(|number| {
        let (before, after) = (name(number), name(number + 1));
        node("Concat", &[&before, &before], &[&after], std::slice::from_ref(&last))
    }));
    nodes.push(node("Identity", &[&name(60)], &["y"], &[]));
    refused(&model(&nodes, &[floats("w", &[3, 2], &[1.0; 6])]), &["Concat"]);
    // and axes without end
    let mut nodes = vec![node("Identity", &["x"], &["v0"], &[])];
    nodes.extend((0..3000).map(|number| node("Unsqueeze", &[&name(number), "zero"], &[&name(number + 1)], &[])));
    nodes.push(node("Identity", &[&name(3000)], &["y"], &[]));
    refused(&model(&nodes, &[integers("zero", &[1], &[0])]), &["at most 8 axes"]);
}

#[test]
fn graphs_that_are_none_are_errors() {
    let w = || floats("w", &[3, 2], &[1.0; 6]);
    let cycle = [
        node("Add", &["x", "b"], &["a"], &[]),
        node("Tanh", &["a"], &["b"], &[]),
        node("Tanh", &["b"], &["y"], &[]),
    ];
    refused(&model(&cycle, &[]), &["needs itself"]);
    let own = [node("Add", &["x", "y"], &["y"], &[])];
    refused(&model(&own, &[]), &["needs itself"]);
    let twice = [node("Tanh", &["x"], &["y"], &[]), node("Relu", &["x"], &["y"], &[])];
    refused(&model(&twice, &[]), &["\"y\"", "two"]);
    refused(
        &model(&[node("MatMul", &["x", "w"], &["y"], &[])], &[w(), w()]),
        &["\"w\"", "two"],
    );
    refused(&model(&[node("Tanh", &["x"], &["z"], &[])], &[]), &["\"y\""]);
    refused(&model(&[node("Tanh", &[], &["y"], &[])], &[]), &["Tanh"]);
    refused(
        &model(&[node("Identity", &["w"], &["y"], &[])], &[w()]),
        &["depends on the input"],
    );
    refused(&model(&[node("FlashLstm", &["x"], &["y"], &[])], &[]), &["FlashLstm"]);
    refused(
        &model(&[node("Tanh", &["x"], &["y"], &[]).text(7, "com.microsoft")], &[]),
        &["com.microsoft"],
    );
    let attribute = attribute_ints("shape", &[1, 2]);
    refused(
        &model(&[node("Tanh", &["x"], &["y"], &[attribute])], &[]),
        &["\"shape\""],
    );
    let mixed = attribute_ints("perm", &[1, 0, 2]);
    let same = [
        node("Transpose", &["x"], &["t"], &[mixed]),
        node("Add", &["x", "t"], &["y"], &[]),
    ];
    refused(&model(&same, &[]), &["Add", "two branches"]);
    for order in [&[0, 1][..], &[0, 0, 1], &[0, 1, 7], &[-1, 0, 1]] {
        let nodes = [node("Transpose", &["x"], &["y"], &[attribute_ints("perm", order)])];
        refused(&model(&nodes, &[]), &["Transpose"]);
    }
}

/// Tens of thousands of nodes in a row, and as many that nobody needs.
#[test]
fn long_graphs_end() {
    let name = |number: usize| {
        if number == 0 {
            "x".to_owned()
        } else {
            format!("v{number}")
        }
    };
    let count = 20_000;
    let mut nodes: Vec<Message> = (0..count)
        .map(|number| node("Identity", &[&name(number)], &[&name(number + 1)], &[]))
        .collect();
    nodes.push(node("MatMul", &[&name(count), "w"], &["y"], &[]));
    let w = floats("w", &[3, 2], &[1.0; 6]);
    let begin = Instant::now();
    read(&model(&nodes, std::slice::from_ref(&w))).expect("a long chain of nothing");
    let many: Vec<&str> = std::iter::repeat_n("x", 20_000).collect();
    let unneeded = node("Unheard", &many, &["z"], &[]);
    read(&model(&[unneeded, node("MatMul", &["x", "w"], &["y"], &[])], &[w])).expect("a node that nobody needs");
    assert!(begin.elapsed().as_secs() < 10, "{:?}", begin.elapsed());
}

/// Messages inside of messages, and lengths beyond the end.
#[test]
fn protobuf_is_bounded() {
    let mut inner = Vec::new();
    for _ in 0..10_000 {
        inner = Message::default().bytes(7, &inner).0;
    }
    refused(&inner, &[]);
    refused(
        &Message::default().varint(7 << 3 | 2).varint(u64::MAX).0,
        &["ONNX model"],
    );
    // two bytes that would be a node or an attribute of many more
    for empty in [[1 << 3 | 2, 0], [5 << 3 | 2, 0], [11 << 3 | 2, 0]] {
        refused(
            &Message::default().bytes(7, &empty.repeat(1 << 20)).0,
            &["next to empty messages"],
        );
    }
    refused(&[0xff; 64], &["ONNX model"]);
    refused(&[], &[]);
}

/// External data comes from beside the file alone.
#[test]
fn external_data_stays_beside_the_file() {
    let folder = std::path::PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("onnx_external");
    let inner = folder.join("inner");
    fs::create_dir_all(&inner).expect("a folder");
    let raw: Vec<u8> = [1.0_f32, 2.0, 3.0, 4.0, 5.0, 6.0]
        .iter()
        .flat_map(|value| value.to_le_bytes())
        .collect();
    fs::write(folder.join("outside.bin"), &raw).expect("a file");
    fs::write(inner.join("beside.bin"), &raw).expect("a file");
    let open = |entries: &[(&str, &str)]| {
        let tensor = Message::default()
            .number(1, 3)
            .number(1, 2)
            .number(2, 1)
            .text(8, "w")
            .number(14, 1);
        let tensor = entries.iter().fold(tensor, |tensor, (key, value)| {
            tensor.with(13, &Message::default().text(1, key).text(2, value))
        });
        let path = inner.join("model.onnx");
        fs::write(&path, model(&[node("MatMul", &["x", "w"], &["y"], &[])], &[tensor])).expect("a file");
        Model::open(&path)
    };
    let read = open(&[("location", "beside.bin")]).expect("data beside the file");
    let kernel = read.parameters().get("dense/kernel").expect("a kernel");
    assert_eq!(
        kernel.values().iter().copied().collect::<Vec<_>>(),
        [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]
    );
    let bytes = fs::read(inner.join("model.onnx")).expect("a file");
    let error = Model::from_bytes(&bytes, "memory.onnx")
        .expect_err("no folder")
        .to_string();
    assert!(error.contains("has no folder"), "{error}");
    #[cfg(unix)]
    let _ = std::os::unix::fs::symlink(folder.join("outside.bin"), inner.join("link.bin"));
    for (entries, wanted) in [
        (&[("location", "../outside.bin")][..], "in the folder of the model"),
        (&[("location", "/etc/hostname")], "in the folder of the model"),
        (&[("location", "")], "in the folder of the model"),
        (&[], "in the folder of the model"),
        #[cfg(unix)]
        (&[("location", "link.bin")], "leads out of it"),
        (&[("location", "missing.bin")], "missing.bin"),
        (&[("location", ".")], "no file"),
        (&[("location", "beside.bin"), ("offset", "1")], "a file of 24 bytes"),
        (
            &[("location", "beside.bin"), ("offset", "18446744073709551615")],
            "a file of 24 bytes",
        ),
        (&[("location", "beside.bin"), ("offset", "-1")], "a number of bytes"),
        (&[("location", "beside.bin"), ("length", "23")], "24 bytes"),
        (&[("location", "beside.bin"), ("length", "99999999999")], "24 bytes"),
    ] {
        let error = open(entries).expect_err("external data elsewhere").to_string();
        assert!(error.contains(wanted), "{entries:?}: {error}");
    }
}
