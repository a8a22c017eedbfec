//! What the host says of the shaders is what they are: names, bindings, structs and constants, by naga's reflection.

use super::*;

#[test]
fn every_shader_compiles() {
    for shader in ALL {
        assert!(naga::front::wgsl::parse_str(&shader.text()).is_ok(), "{}", shader.name);
    }
}
