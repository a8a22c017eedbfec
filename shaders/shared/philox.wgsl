// philox: the generator of src/random.rs, Philox 4x32-10: four words of a counter of four words and a key of two.
//
// `rounds` is 10, and no constant: LLVM 15 takes minutes to compile ten rounds one after the other.

// The high word of a product.
fn high_word(a: u32, b: u32) -> u32 {
    let low = (a & 0xffffu) * (b & 0xffffu);
    let one = (a >> 16u) * (b & 0xffffu) + (low >> 16u);
    let other = (a & 0xffffu) * (b >> 16u) + (one & 0xffffu);
    return (a >> 16u) * (b >> 16u) + (one >> 16u) + (other >> 16u);
}

fn philox(counter: vec4<u32>, key: vec2<u32>, rounds: u32) -> vec4<u32> {
    var c = counter;
    var k = key;
    for (var round = 0u; round < rounds; round++) {
        c = vec4<u32>(
            high_word(0xcd9e8d57u, c.z) ^ c.y ^ k.x,
            0xcd9e8d57u * c.z,
            high_word(0xd2511f53u, c.x) ^ c.w ^ k.y,
            0xd2511f53u * c.x,
        );
        k += vec2<u32>(0x9e3779b9u, 0xbb67ae85u);
    }
    return c;
}
