//! The fuzz targets of this crate, on the stable toolchain: any bytes, and bytes of the corpus with
//! some of them changed.

use proptest::prelude::*;

#[path = "../../../fuzz/src/apple.rs"]
mod targets;

fn corpus() -> Vec<Vec<u8>> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus");
    let mut all = Vec::new();
    for target in ["check_in", "plist"] {
        for entry in std::fs::read_dir(folder.join(target)).unwrap() {
            all.push(std::fs::read(entry.unwrap().path()).unwrap());
        }
    }
    all
}

proptest! {
    #[test]
    fn any_bytes_come_back(data in prop::collection::vec(any::<u8>(), 0..1024)) {
        targets::plist(&data);
        targets::check_in(&data);
    }

    #[test]
    fn changed_messages_come_back(
        n in any::<prop::sample::Index>(),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let corpus = corpus();
        let mut data = corpus[n.index(corpus.len())].clone();
        for (at, byte) in changes {
            let at = at.index(data.len());
            data[at] = byte;
        }
        targets::plist(&data);
        targets::check_in(&data);
    }
}
