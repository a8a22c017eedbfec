// values_ones: what an invocation does where it does one value.

alias Value = f32;
alias Bits = u32;

fn is_any(is_so: bool) -> bool {
    return is_so;
}
