//! What a driver has compiled is kept in a file; a file that is damaged or of something else harms nothing.

use std::fs;

use cellstate::{Error, Lstm, Sequences};

use super::adapters::{Opened, adapters, floor, open, open_with};
use super::support::{judge::assert_same_bits, random::Random};

fn open_cached(adapter: &wgpu::Adapter) -> Opened {
    open_with(adapter, floor(), wgpu::Features::PIPELINE_CACHE)
}

#[test]
fn a_cache_is_kept_in_a_file_and_a_bad_one_is_passed_over() {
    let folder = std::env::temp_dir().join(format!("cellstate-pipelines-{}", std::process::id()));
    fs::create_dir_all(&folder).unwrap();
    let input = Random::new(1).array3((3, 7, 3), 1.0);
    let run = |opened: &Opened| {
        let runner = Lstm::new(3, 5).on(&opened.device).unwrap();
        runner.run(&Sequences::from(&input)).unwrap()
    };
    for adapter in adapters() {
        let path = folder.join("pipelines");
        drop(fs::remove_file(&path));
        let first = open_cached(&adapter);
        let want = run(&first);
        assert!(
            !first.gpu.save_pipeline_cache(&path).unwrap(),
            "nothing was asked to be kept"
        );
        let offers = adapter.features().contains(wgpu::Features::PIPELINE_CACHE);
        assert_eq!(first.gpu.load_pipeline_cache(&path).unwrap(), offers);
        if !offers {
            println!("skipped: {} has no pipeline caches", first.gpu.name());
            continue;
        }
        let second = open_cached(&adapter);
        assert!(second.gpu.load_pipeline_cache(&path).unwrap());
        run(&second);
        assert!(second.gpu.save_pipeline_cache(&path).unwrap());
        let written = fs::read(&path).unwrap();
        assert!(written.len() > 64, "{} bytes", written.len());
        let mut damaged = written.clone();
        damaged[written.len() / 2] ^= 4;
        let mut other_driver = written[..35].to_vec(); // a good sum of data that no driver has written
        other_driver[27..].copy_from_slice(&0xaf63_dc4c_8601_ec8c_u64.to_le_bytes());
        other_driver.push(b'a');
        let files: [&[u8]; 6] = [
            &written,
            &damaged,
            &written[..written.len() - 1],
            b"",
            &[7; 4096],
            &other_driver,
        ];
        for file in files {
            fs::write(&path, file).unwrap();
            let opened = open_cached(&adapter);
            assert!(opened.gpu.load_pipeline_cache(&path).unwrap());
            assert_same_bits("by a cache", run(&opened).values(), want.values());
            assert!(opened.gpu.save_pipeline_cache(&path).unwrap());
            assert!(fs::read(&path).unwrap().len() > 64);
            opened.assert_quiet();
        }
        let error = second.gpu.load_pipeline_cache(&folder).unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{error}");
        let error = second
            .gpu
            .save_pipeline_cache(folder.join("none/pipelines"))
            .unwrap_err();
        assert!(matches!(error, Error::File { .. }), "{error}");
        assert!(
            !open(&adapter, floor()).gpu.load_pipeline_cache(&path).unwrap(),
            "without the feature"
        );
        second.wgpu.destroy();
        assert!(matches!(second.gpu.load_pipeline_cache(&path), Err(Error::Gpu { .. })));
        assert!(matches!(second.gpu.save_pipeline_cache(&path), Err(Error::Gpu { .. })));
        second.assert_quiet();
    }
    fs::remove_dir_all(&folder).unwrap();
}
