// row_activation: activations that may be over a whole row.

// What an activation over a row knows of it: for each argument the largest one of all units, and the sum.
struct Row {
    largest: vec4<f32>,
    sum: vec4<f32>,
}

// Softmax and log_softmax from what is known of the row, the others by themselves.
fn activated(kind: u32, alpha: u32, beta: u32, x: f32, largest: f32, sum: f32) -> f32 {
    if (kind == ACTIVATION_SOFTMAX) {
        return exp(x - largest) / sum;
    }
    if (kind == ACTIVATION_LOG_SOFTMAX) {
        return x - largest - log(sum);
    }
    return activate(kind, bitcast<f32>(alpha), bitcast<f32>(beta), x);
}
