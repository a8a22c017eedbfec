//! smoke
use cellstate::*; use ndarray::*;
fn main() -> Result<()> {
    println!("{:?}", Device::adapters());
    let gpu = Device::named("llvmpipe")?;
    let x = Array3::from_shape_fn((5, 9, 3), |(a,b,c)| ((a*31+b*7+c*3)%17) as f32/17.0-0.4);
    let s = Sequences::from(x).with_lengths(&[9,3,0,5,7])?;
    for layer in [Layer::from(Lstm::new(3,37).return_sequences(true).return_state(true)), Lstm::new(3,37).go_backwards(true).into(), Bidirectional::new(Lstm::new(3,5).return_sequences(true)).into(), Lstm::new(3,7).activation(Activation::Softmax).recurrent_activation(Activation::Softmax).into(), StackedRnnCells::new([Lstm::new(3,4),Lstm::new(4,6)]).return_state(true).into()] {
        let m = Model::builder().add(layer).build()?; println!("{m}");
        let a = m.on(&Device::cpu())?.run(&s)?; let r = m.on(&gpu)?; let b = r.run(&s)?;
        let d = (&a.values()-&b.values()).mapv(f32::abs).fold(0f32,|m,&v| if v.is_nan() {f32::NAN} else {m.max(v)});
        println!("{} {d} {:?} {:?}", b.device(), b.values().shape(), r.gpu_memory(5,9)?);
        for (p,q) in a.states().iter().zip(b.states()) { println!("  {} {}", (&p.hidden-&q.hidden).mapv(f32::abs).sum(), (&p.cell-&q.cell).mapv(f32::abs).sum()); }
    }
    Ok(())
}
