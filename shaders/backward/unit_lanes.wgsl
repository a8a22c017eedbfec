// unit_lanes: the lanes of a unit, from `place` of their row on.

fn lanes_at(place: u32) -> Lanes {
    var own = Lanes();
    //for g in GATES
    own.both[$g] = lanes[place + $gu * params.units];
    //end
    //for s in SEPARATES
    //for g in GATES
    own.recurrent[$g] = recurrent_lanes[place + $gu * params.units];
    //end
    //end
    return own;
}

fn put_lanes(place: u32, own: Lanes) {
    //for g in GATES
    lanes[place + $gu * params.units] = own.both[$g];
    //end
    //for s in SEPARATES
    //for g in GATES
    recurrent_lanes[place + $gu * params.units] = own.recurrent[$g];
    //end
    //end
}
