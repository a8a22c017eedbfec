// The end of a time step for one unit of one position: what product and bias have made of its gates, i f g o in a vec4,
// becomes its state. The strategies share it, so that they agree to the bit.

struct CellState {
    cell: f32,
    hidden: f32,
}

fn next_state(
    recurrent_activation: u32,
    recurrent_alpha: f32,
    recurrent_beta: f32,
    activation: u32,
    alpha: f32,
    beta: f32,
    gate: vec4<f32>,
    cell_before: f32,
) -> CellState {
    let input = activate(recurrent_activation, recurrent_alpha, recurrent_beta, gate.x);
    let forget = activate(recurrent_activation, recurrent_alpha, recurrent_beta, gate.y);
    let candidate = activate(activation, alpha, beta, gate.z);
    let output = activate(recurrent_activation, recurrent_alpha, recurrent_beta, gate.w);
    let cell = forget * cell_before + input * candidate;
    return CellState(cell, output * activate(activation, alpha, beta, cell));
}
