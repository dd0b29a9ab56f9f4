//! Files that are damaged, change while they are read, or lie.

use super::*;

/// Check that damaged debug information costs its lines and nothing else, whatever byte is damaged.
#[test]
fn damaged_files_are_survived() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile(directory.path(), "inlines.c", INLINES, "cc", &["-O2", "-g"]);
    let outer = address_of(&program, |name| name == "outer");
    let intact = std::fs::read(&program).unwrap();
    let damaged = directory.path().join("damaged");
    let mut seed = 1u32;
    for _ in 0..60 {
        let mut bytes = intact.clone();
        for _ in 0..40 {
            seed = seed.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            let at = seed as usize % bytes.len();
            // The header stays, so that more than it is tested.
            if at >= 64 {
                bytes[at] = (seed >> 24) as u8;
            }
        }
        std::fs::write(&damaged, &bytes).unwrap();
        let module =
            Module { path: damaged.to_str().unwrap().into(), build_id: None, deleted: false };
        let mut symbolizer = Symbolizer::new();
        symbolizer.add(module.clone(), File::open(&damaged).unwrap(), None);
        symbolizer.resolve_all(&[(module, (outer..outer + 64).collect())]);
    }
}

/// Check that names come without lines, and with a note, when the time for debug information is over.
#[test]
fn no_time_for_debug_information() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile(directory.path(), "inlines.c", INLINES, "cc", &["-O2", "-g"]);
    let outer = address_of(&program, |name| name == "outer");
    let module = module(&program);
    let mut symbolizer = Symbolizer::with_options(SymbolizeOptions {
        debug_info_time: Duration::ZERO,
        ..Default::default()
    });
    symbolizer.add(module.clone(), File::open(&program).unwrap(), None);
    symbolizer.resolve_all(&[(module.clone(), vec![outer])]);
    let names = symbolizer.in_module(&module, outer);
    assert_eq!((names[0].function.as_str(), names[0].line), ("outer", None));
    assert!(symbolizer.notes()[0].contains("too long"), "{:?}", symbolizer.notes());
}

/// Check that a file that shrinks between two look-ups costs lines and nothing else.
#[test]
fn shrunk_file() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile(directory.path(), "inlines.c", INLINES, "cc", &["-O2", "-g"]);
    let outer = address_of(&program, |name| name == "outer");
    let (mut symbolizer, module) = added(&program, None);
    assert_inlines(&mut symbolizer, &module, outer);
    let file = OpenOptions::new().write(true).open(&program).unwrap();
    file.set_len(1000).unwrap();
    assert_eq!(symbolizer.in_module(&module, outer + 64), []);
    assert!(symbolizer.notes()[0].contains("overwritten"), "{:?}", symbolizer.notes());
}

/// Check that something that is no regular file is refused instead of waited for.
#[test]
fn special_files_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile(directory.path(), "inlines.c", INLINES, "cc", &["-O2", "-g"]);
    let outer = address_of(&program, |name| name == "outer");
    let fifo = directory.path().join("fifo");
    run("mkfifo", &[fifo.to_str().unwrap()]);
    let (mut symbolizer, module) = added(&program, Some(fifo));
    assert_inlines(&mut symbolizer, &module, outer);
    assert!(symbolizer.notes()[0].contains("not a regular file"), "{:?}", symbolizer.notes());
}

/// Check that a compressed section that claims another size than it has is not used.
#[test]
fn lying_compressed_sections_are_not_used() {
    use object::{Object, ObjectSection};
    let directory = tempfile::tempdir().unwrap();
    let flags = ["-O2", "-g", "-gz=zlib"];
    let program = compile(directory.path(), "inlines.c", INLINES, "cc", &flags);
    let outer = address_of(&program, |name| name == "outer");
    let (mut symbolizer, honest) = added(&program, None);
    assert_inlines(&mut symbolizer, &honest, outer);

    let mut bytes = std::fs::read(&program).unwrap();
    let file = object::File::parse(&*bytes).unwrap();
    let section = file.section_by_name(".debug_info").unwrap();
    let (at, _) = section.file_range().unwrap();
    // ch_size of Elf64_Chdr: 64 TiB, which blazesym would allocate.
    let size = at as usize + 8;
    bytes[size..size + 8].copy_from_slice(&(1u64 << 46).to_le_bytes());
    let lying = directory.path().join("lying");
    std::fs::write(&lying, bytes).unwrap();
    let (mut symbolizer, module) = added(&lying, None);
    assert_eq!(symbolizer.in_module(&module, outer)[0].function, "outer");
    assert!(symbolizer.notes()[0].contains("too large"), "{:?}", symbolizer.notes());
}

proptest::proptest! {
    /// Check that damaged headers and symbol tables are read to an end.
    #[test]
    fn damaged_symbol_tables(
        damage in proptest::collection::vec((0..4096usize, proptest::prelude::any::<u8>()), 0..60),
        addresses in proptest::collection::vec(proptest::prelude::any::<u64>(), 1..20),
    ) {
        let mut image = own_vdso().unwrap();
        for (at, byte) in damage {
            if let Some(place) = image.get_mut(at) {
                *place = byte;
            }
        }
        if let Ok(sections) = Sections::read(&image) {
            let _ = sections.build_id(&image);
            let mut addresses = addresses;
            addresses.extend(0..64u64);
            addresses.extend((0..64u64).map(|n| 0x600 + n * 16));
            addresses.sort_unstable();
            let found = elf_symbols::find(&[(&image, &sections)], &addresses);
            proptest::prop_assert_eq!(found.len(), addresses.len());
        }
    }
}
