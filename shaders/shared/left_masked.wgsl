// left_masked: what the gates of a cell in training have left of a value of x, h or r * h, by lane.

const GATES: u32 = 4u; // the host sets it

@group(0) @binding(5) var<storage, read> factors: array<f32>; // [row of factors][gate][k]

fn left(row: u32, width: u32, k: u32, value: f32) -> vec4<f32> {
    var rest = vec4<f32>();
    // a lane past the gates is the last gate's once more; where it has none of its own its weights are zero
    //for i in 4
    let factor$i = factors[(row * GATES + min($iu, GATES - 1u)) * width + k];
    rest[$i] = select(value * factor$i, 0.0, factor$i == 0.0);
    //end
    return rest;
}
