//! Files that were made to take much: of memory, or of time.

use std::io::{Cursor, Write};
use std::time::Instant;

use cellstate::{Device, Model, Sequences};
use ndarray::Array3;
use zip::ZipWriter;
use zip::write::SimpleFileOptions;

use crate::memory::peak;

#[track_caller]
fn in_proportion(what: &str, bytes: &[u8], name: &str) -> cellstate::Result<Model> {
    let begin = Instant::now();
    let (read, took) = peak(|| Model::from_bytes(bytes, name));
    assert!(
        took < (64 << 20) + 64 * bytes.len(),
        "{what}: {took} bytes for a file of {}",
        bytes.len()
    );
    assert!(begin.elapsed().as_secs() < 20, "{what}: {:?}", begin.elapsed());
    read
}

/// A field of protobuf that has bytes.
fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [&[number << 3 | 2][..], &varint(content.len()), content].concat()
}

fn node(operator: &str, inputs: &[&str], output: &str) -> Vec<u8> {
    let mut node: Vec<u8> = inputs.iter().flat_map(|name| field(1, name.as_bytes())).collect();
    node.extend(field(2, output.as_bytes()));
    node.extend(field(4, operator.as_bytes()));
    field(1, &node)
}

fn varint(mut value: usize) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 128 {
        bytes.push(value as u8 | 128);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}

fn onnx(nodes: &[Vec<u8>], inputs: &[&str]) -> Vec<u8> {
    onnx_of_width(nodes, inputs, 3)
}

fn onnx_of_width(nodes: &[Vec<u8>], inputs: &[&str], width: usize) -> Vec<u8> {
    let mut graph = nodes.concat();
    for input in inputs {
        let size = |content: &[u8]| field(1, content);
        let width = [&[8][..], &varint(width)].concat();
        let sizes = [size(&field(2, b"b")), size(&field(2, b"t")), size(&width)].concat();
        let kind = [&[8, 1][..], &field(2, &sizes)].concat();
        graph.extend(field(
            11,
            &[field(1, input.as_bytes()), field(2, &field(1, &kind))].concat(),
        ));
    }
    graph.extend(field(12, &field(1, b"y")));
    [field(7, &graph), field(8, &[16, 20])].concat()
}

#[test]
fn a_long_name_is_kept_once() {
    let long = "n".repeat(200_000);
    let count = 5000;
    let name = |number: usize| match number {
        0 => long.clone(),
        number => format!("v{number}"),
    };
    for operator in ["Identity", "Squeeze"] {
        let mut nodes: Vec<Vec<u8>> = (0..count)
            .map(|number| node(operator, &[&name(number)], &name(number + 1)))
            .collect();
        nodes.push(node("Add", &["x", &name(count)], "y"));
        let read = in_proportion("a long name", &onnx(&nodes, &["x", &long]), "long.onnx");
        assert!(read.is_err());
    }
}

/// So many activations, one behind the other.
fn chain(count: usize) -> Vec<u8> {
    let name = |number: usize| match number {
        0 => "x".to_owned(),
        number if number == count => "y".to_owned(),
        number => format!("v{number}"),
    };
    let operator = |number: usize| if number.is_multiple_of(2) { "Tanh" } else { "Sigmoid" };
    let nodes: Vec<Vec<u8>> = (0..count)
        .map(|number| node(operator(number), &[&name(number)], &name(number + 1)))
        .collect();
    onnx(&nodes, &["x"])
}

#[test]
fn a_long_chain_is_read_and_runs() {
    let model = in_proportion("a long chain", &chain(4000), "long.onnx").unwrap();
    let begin = Instant::now();
    let values = Sequences::from(Array3::zeros((2, 3, 3)));
    let output = model.on(&Device::cpu()).unwrap().run(&values);
    assert!(output.is_ok());
    assert!(begin.elapsed().as_secs() < 20, "{:?}", begin.elapsed());
    let longer = in_proportion("a longer chain", &chain(50_000), "longer.onnx");
    let message = longer.unwrap_err().to_string();
    assert!(message.contains("at most 4096 layers"), "{message}");
}

/// Names of modules, each of which was looked for among all modules.
#[test]
fn many_names_of_modules_are_found_soon() {
    const MODULES: usize = 8000;
    let dense = r#"{"class":"Dense","features":1,"units":1,"use_bias":false}"#;
    let chain = format!(r#"{{"cellstate":1,"layers":[{dense}]}}"#);
    let names: Vec<String> = (0..300_000)
        .map(|number| format!("m{}", MODULES - 1 - number % 2))
        .collect();
    let texts = serde_json::json!({"cellstate": chain, "cellstate_modules": serde_json::json!(names).to_string()});
    let mut header = serde_json::json!({ "__metadata__": texts });
    for number in 0..MODULES {
        let offsets = [4 * number, 4 * number + 4];
        header[format!("m{number}.weight")] =
            serde_json::json!({"dtype": "F32", "shape": [1, 1], "data_offsets": offsets});
    }
    let header = header.to_string();
    let length = (header.len() as u64).to_le_bytes();
    let bytes = [&length[..], header.as_bytes(), &[0; 4 * MODULES]].concat();
    assert!(in_proportion("many names", &bytes, "names.safetensors").is_err());
}

fn pytorch(pickle: &[u8], storage: &[u8]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in [("a/data.pkl", pickle), ("a/data/0", storage)] {
        zip.start_file(name, SimpleFileOptions::default()).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

/// What stands before the tensors: number 1 is the function that makes one, number 2 a storage of some numbers.
fn pickled_storage(length: i32) -> Vec<u8> {
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    [
        b"ctorch._utils\n_rebuild_tensor_v2\nq\x01(",
        &text("storage")[..],
        b"ctorch\nFloatStorage\n",
        &text("0"),
        &text("cpu"),
        b"J",
        &length.to_le_bytes(),
        b"tQq\x02",
    ]
    .concat()
}

/// One storage that thousands of tensors share.
#[test]
fn numbers_are_not_read_over_and_over_again() {
    let text = |text: &str| [&b"X"[..], &(text.len() as u32).to_le_bytes(), text.as_bytes()].concat();
    let mut pickle = [&[0x80, 2][..], &pickled_storage(1 << 16), b"}("].concat();
    for number in 0..4000 {
        pickle.extend(text(&format!("{number}.weight")));
        // (1, 65536), row by row
        pickle.extend(b"h\x01(h\x02K\0K\x01J\0\0\x01\0\x86J\0\0\x01\0K\x01\x86\x89}tR");
    }
    pickle.extend(b"u.");
    let bytes = pytorch(&pickle, &vec![0; 4 << 16]);
    let read = in_proportion("a storage", &bytes, "shared.pt");
    let message = read.unwrap_err().to_string();
    assert!(message.contains("share"), "{message}");
}

/// A shape of very many axes, which many tensors have.
#[test]
fn a_shape_is_kept_once() {
    let sizes = [b"(", &b"K\x01".repeat(200_000)[..], b"tq\0"].concat();
    let mut pickle = [&[0x80, 2][..], &sizes, &pickled_storage(1)].concat();
    for _ in 0..300 {
        pickle.extend(b"h\x01(h\x02K\0h\0h\0tR");
    }
    pickle.push(b'.');
    let bytes = pytorch(&pickle, &[0; 4]);
    let read = in_proportion("a shape", &bytes, "shape.pt");
    assert!(read.unwrap_err().to_string().contains("axes"));
}

/// A row that is added over and over again.
#[test]
fn a_row_is_kept_in_proportion() {
    const WIDTH: usize = 50_000;
    let name = |number: usize| match number {
        0 => "x".to_owned(),
        2000 => "y".to_owned(),
        number => format!("v{number}"),
    };
    let tensor = [
        &[8][..],
        &varint(WIDTH),
        &[16, 1],
        &field(8, b"r"),
        &field(9, &[0; 4 * WIDTH]),
    ]
    .concat();
    let operators: [(&str, &[&str]); 4] = [
        ("Add", &["r"]),
        ("Mul", &["r"]),
        ("BatchNormalization", &["r", "r", "r", "r"]),
        ("LayerNormalization", &["r", "r"]),
    ];
    for (operator, rows) in operators {
        let mut nodes: Vec<Vec<u8>> = (0..2000)
            .map(|number| {
                let before = name(number);
                // whose output is features for each step
                let (operator, rows) = if number == 0 { operators[3] } else { (operator, rows) };
                let inputs: Vec<&str> = [&[before.as_str()][..], rows].concat();
                node(operator, &inputs, &name(number + 1))
            })
            .collect();
        nodes.push(field(5, &tensor));
        let read = in_proportion(operator, &onnx_of_width(&nodes, &["x"], WIDTH), "rows.onnx");
        println!(
            "{operator}: {:?}",
            read.map(|model| model.layers().len())
                .map_err(|error| error.to_string())
        );
    }
}
