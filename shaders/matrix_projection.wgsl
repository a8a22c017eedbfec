// matrix_projection: what input_projection does with weights in half precision, by the matrix units of a GPU.
//
// A workgroup makes 128 rows and 128 columns by eight subgroups, each of which makes 64 rows and 32 columns as eight matrices
// of 16 by 16. k goes by in slabs of 32, which lie in workgroup memory as halves: rows are rounded on their way there. The next slab is
// asked for before this one is multiplied, and waits in registers. Sums are f32 and begin with zero; they go through
// workgroup memory as well, for a matrix is stored whole and the rows and columns past the end are nobody's.
//
// Rows, columns and k past the end read as zeros. A sum runs through k in the same order whatever the number of rows. There is no
// activation: only the kernels of cells are kept in half precision, and their lanes are summed up alone.
enable f16;
enable wgpu_cooperative_matrix;

const SUBGROUP: u32 = 32u;   // invocations of a subgroup. The host sets these.
const PIECES: u32 = 4u;      // 128 / SUBGROUP: vec4 of the rows of a slab, and of the kernel, that an invocation loads

const INVOCATIONS: u32 = 8u * SUBGROUP;
const SIDE: u32 = 128u;      // rows of a workgroup, and columns
const SLAB: u32 = 32u;       // k of a slab,
const QUADS: u32 = 8u;       // and the vec4 of it
const VECTORS: u32 = 32u;    // vec4 of the columns of a workgroup
// vec4 from one row of a slab to the next: 16 bytes more than there are, so that neighbours lie in other banks of the memory
const ROW_PITCH: u32 = 10u;
const KERNEL_PITCH: u32 = 34u;
const SUMS_PITCH: u32 = 16u; // values

@group(0) @binding(0) var<uniform> params: Projection;
@group(0) @binding(1) var<storage, read> rows: array<vec4<f32>>;
@group(0) @binding(2) var<storage, read> kernel: array<vec4<f16>>; // [k][column], times SCALE
@group(0) @binding(3) var<storage, read> bias: array<vec4<f32>>;   // [column]
@group(0) @binding(4) var<storage, read_write> projected: array<vec4<f32>>;

var<workgroup> row_slab: array<vec4<f16>, SIDE * ROW_PITCH>;       // [row][quad of k]
var<workgroup> kernel_slab: array<vec4<f16>, SLAB * KERNEL_PITCH>; // [k][column]
var<workgroup> sums: array<f32, 8u * 16u * SUMS_PITCH>;            // [subgroup][row][column]

// Four values of a row.
fn row_at(row: u32, quad: u32) -> vec4<f16> {
    if (row >= params.count || quad >= params.input_vectors) {
        return vec4<f16>();
    }
    return vec4<f16>(rows[(params.source_row + row) * params.row_vectors + params.first_vector + quad]);
}

fn kernel_at(k: u32, column: u32) -> vec4<f16> {
    if (k >= 4u * params.input_vectors || column >= params.column_vectors) {
        return vec4<f16>();
    }
    return kernel[k * params.column_vectors + column];
}

// Stores vec4 number `piece` of the 512 that lie in `sums`; the row and the column are those of the first subgroup's matrix.
fn store(piece: u32, first_row: u32, first_column: u32) {
    let subgroup = piece / 64u;
    let row = first_row + subgroup / 4u * 64u + piece / 4u % 16u;
    let column = first_column + subgroup % 4u * 8u + piece % 4u;
    if (row >= params.count || column >= params.column_vectors) {
        return;
    }
    let begin = 4u * piece;
    let sum = vec4<f32>(sums[begin], sums[begin + 1u], sums[begin + 2u], sums[begin + 3u]) * (1.0 / SCALE);
    let place = (params.target_row + row) * params.column_vectors + column;
    if (params.continues == 1u) {
        projected[place] += sum;
    } else {
        projected[place] = bias[column] + sum;
    }
}

@compute @workgroup_size(INVOCATIONS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
    @builtin(subgroup_id) subgroup: u32,
) {
    let first_row = (workgroup.z * workgroups.y + workgroup.y) * SIDE;
    if (first_row >= params.count) {
        return;
    }
    let first_column = workgroup.x * VECTORS;
    let matrix_rows = subgroup / 4u * 64u * ROW_PITCH;
    let matrix_columns = subgroup % 4u * 8u;
    //for i in 4
    //for j in 2
    var sum$i$j = coop_mat16x16<f32, C>();
    //end
    //end
    //for p in PIECES
    let piece$p = lane + $pu * INVOCATIONS;
    var row$p = row_at(first_row + piece$p / QUADS, piece$p % QUADS);
    var weights$p = kernel_at(piece$p / VECTORS, first_column + piece$p % VECTORS);
    //end
    for (var quad = 0u; quad < params.input_vectors; quad += QUADS) {
        //for p in PIECES
        row_slab[piece$p / QUADS * ROW_PITCH + piece$p % QUADS] = row$p;
        kernel_slab[piece$p / VECTORS * KERNEL_PITCH + piece$p % VECTORS] = weights$p;
        //end
        workgroupBarrier();
        let next = quad + QUADS;
        //for p in PIECES
        row$p = row_at(first_row + piece$p / QUADS, next + piece$p % QUADS);
        weights$p = kernel_at(4u * next + piece$p / VECTORS, first_column + piece$p % VECTORS);
        //end
        //for k in 2
        {
            //for i in 4
            let a$i = coopLoadT<coop_mat16x16<f16, A>>(&row_slab[matrix_rows + $iu * 16u * ROW_PITCH + $ku * 4u], ROW_PITCH);
            //end
            //for j in 2
            let b$j = coopLoadT<coop_mat16x16<f16, B>>(&kernel_slab[$ku * 16u * KERNEL_PITCH + matrix_columns + $ju * 4u], KERNEL_PITCH);
            //end
            //for i in 4
            //for j in 2
            sum$i$j = coopMultiplyAdd(a$i, b$j, sum$i$j);
            //end
            //end
        }
        //end
        workgroupBarrier();
    }
    //for i in 4
    //for j in 2
    coopStoreT(sum$i$j, &sums[subgroup * 16u * SUMS_PITCH], SUMS_PITCH);
    workgroupBarrier();
    for (var piece = lane; piece < 512u; piece += INVOCATIONS) {
        store(piece, first_row + $iu * 16u, first_column + $ju * 4u);
    }
    workgroupBarrier();
    //end
    //end
}
