// solo_back: step_back for many time steps in one dispatch, where a workgroup finds room for the recurrent kernel. It owns ROWS positions, and goes
// with them from the last step of the launch to the first.
//
// Invocation (unit, part) multiplies the gradients of the lanes of its part of the units, for all positions. Then part p adds up and finishes
// positions p, p + PARTS …: what they carry stays in its registers, and what the rule reads is asked for a step ahead.

@compute @workgroup_size(WIDTH, PARTS)
fn main(
    @builtin(workgroup_id) workgroup: vec3<u32>,
    @builtin(num_workgroups) workgroups: vec3<u32>,
    @builtin(local_invocation_id) invocation: vec3<u32>,
    @builtin(local_invocation_index) lane: u32,
) {
    let units = params.units;
    // the positions that run any step of the launch
    let most = starts[params.first_step + 1u] - starts[params.first_step];
    let of_direction = (most + ROWS - 1u) / ROWS;
    let flat = workgroup.y * workgroups.x + workgroup.x;
    // (workgroups behind the last one find no position)
    let of_all = min(flat / of_direction, params.directions - 1u);
    direction = of_all; // which browsers take for another one in each invocation
    let first = (flat - of_all * of_direction) * ROWS;
    let unit = invocation.x;
    let part = invocation.y;
    let finishes = unit < units && part < ACROSS;
    let first_row = direction * params.rows;
    // the positions that run the step behind the launch
    let last = starts[params.last_step];
    let behind = starts[min(params.last_step + 1u, params.steps)] - last;
    let own = (direction * WIDTH + part * DEPTH) * WIDTH + unit;
    //for k in REGISTERS
    let weights$k = turned_kernel[own + $ku * WIDTH];
    //end
    //for k in SHARED
    lent[$ku * INVOCATIONS + lane] = turned_kernel[own + (REGISTERS + $ku) * WIDTH];
    //end
    var of_unit = vec4<f32>();
    if (finishes) {
        of_unit = weights_of(direction * 3u * units + unit, units);
    }
    // past the last unit and where no step follows all is zero
    for (var number = lane; number < SUMS; number += INVOCATIONS) {
        let position = first + number / WIDTH;
        let source = number % WIDTH;
        var column = Column();
        if (position < behind && source < units) {
            column = column_of(lanes_at((first_row + last + position) * params.lanes_stride + source));
        }
        tile[number] = column;
    }
    // the rows of the step
    var begin = starts[params.last_step - 1u];
    var end = last;
    //for o in OUTS
    let position$o = first + part + $ou * PARTS;
    let carry_index$o = direction * 3u * params.cell_first + position$o * units + unit;
    var hidden$o = 0.0;
    var cell$o = 0.0;
    var asked$o = Asked();
    if (finishes && position$o < most) {
        hidden$o = carry[carry_index$o];
        if (HAS_CELL_STATE == 1u) {
            cell$o = carry[params.cell_first + carry_index$o];
        }
    }
    if (finishes && position$o < end - begin) {
        asked$o = ask(params.last_step - 1u, begin + position$o, position$o, unit);
    }
    //end
    workgroupBarrier();
    for (var step = params.last_step - 1u; ; step--) {
        let earlier = starts[max(step, 1u) - 1u]; // the row of position 0 at the step before
        //for o in OUTS
        var ahead$o = Asked();
        if (finishes && step > params.first_step && position$o < begin - earlier) {
            ahead$o = ask(step - 1u, earlier + position$o, position$o, unit);
        }
        var product$o = 0.0;
        //for a in ACROSS
        var sum$o_$a = Column();
        let at$o_$a = ($ou * PARTS + $au) * WIDTH + part * DEPTH;
        //end
        //end
        //for k in REGISTERS
        //for o in OUTS
        //for a in ACROSS
        sum$o_$a = fma(tile[at$o_$a + $ku], weights$k, sum$o_$a);
        //end
        //end
        //end
        //for k in SHARED
        let lent$k = lent[$ku * INVOCATIONS + lane];
        //for o in OUTS
        //for a in ACROSS
        sum$o_$a = fma(tile[at$o_$a + REGISTERS + $ku], lent$k, sum$o_$a);
        //end
        //end
        //end
        //for k in CACHED
        let cached$k = turned_kernel[own + (REGISTERS + SHARED + $ku) * WIDTH];
        //for o in OUTS
        //for a in ACROSS
        sum$o_$a = fma(tile[at$o_$a + REGISTERS + SHARED + $ku], cached$k, sum$o_$a);
        //end
        //end
        //end
        //for o in OUTS
        //for a in ACROSS
        if (part == $au) {
            product$o = added(sum$o_$a);
        } else {
            partial[(part - u32(part > $au)) * SUMS + ($ou * PARTS + $au) * WIDTH + unit] = added(sum$o_$a);
        }
        //end
        //end
        workgroupBarrier();
        //for o in OUTS
        if (finishes && position$o < end - begin) {
            for (var other = 0u; other < PARTS - 1u; other++) {
                product$o += partial[other * SUMS + (position$o - first) * WIDTH + unit];
            }
            let gradient = asked$o.upstream + hidden$o + product$o;
            let back = rule_back(Unit(asked$o.own, of_unit, asked$o.before, gradient, cell$o));
            put_lanes((first_row + begin + position$o) * params.lanes_stride + unit, back.lanes);
            hidden$o = back.hidden;
            cell$o = back.cell;
            tile[(position$o - first) * WIDTH + unit] = column_of(back.lanes);
        }
        asked$o = ahead$o;
        //end
        workgroupBarrier();
        if (step == params.first_step) {
            break;
        }
        end = begin;
        begin = earlier;
    }
    //for o in OUTS
    if (finishes && position$o < most) {
        carry[carry_index$o] = hidden$o;
        if (HAS_CELL_STATE == 1u) {
            carry[params.cell_first + carry_index$o] = cell$o;
        }
    }
    //end
}
