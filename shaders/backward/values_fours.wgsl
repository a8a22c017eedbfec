// values_fours: what an invocation does where it does four values.

alias Value = vec4<f32>;
alias Bits = vec4<u32>;

fn is_any(are_so: vec4<bool>) -> bool {
    return any(are_so);
}
