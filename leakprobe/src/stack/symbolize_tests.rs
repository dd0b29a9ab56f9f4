use std::path::Path;
use std::process::Command;

use super::*;

/// Compiles and runs a tool; fails the test with its messages.
fn run(program: &str, arguments: &[&str]) {
    let out = Command::new(program).args(arguments).output().unwrap();
    assert!(
        out.status.success(),
        "{program} {arguments:?}: {}",
        String::from_utf8_lossy(&out.stderr)
    );
}

fn compile(directory: &Path, source: &str, text: &str, compiler: &str, flags: &[&str]) -> PathBuf {
    let source = directory.join(source);
    std::fs::write(&source, text).unwrap();
    let program = directory.join("program");
    let mut arguments = vec!["-o", program.to_str().unwrap(), source.to_str().unwrap()];
    arguments.extend(flags);
    run(compiler, &arguments);
    program
}

fn module(path: &Path) -> Module {
    let file = File::open(path).unwrap();
    let sections = Sections::read(&file).unwrap();
    Module {
        path: path.to_str().unwrap().into(),
        build_id: sections.build_id(&file),
        deleted: false,
    }
}

/// Address of a symbol by its raw name, from the file's full symbol table.
fn address_of(path: &Path, wanted: impl Fn(&str) -> bool) -> u64 {
    use object::{Object, ObjectSymbol};
    let data = std::fs::read(path).unwrap();
    let file = object::File::parse(&*data).unwrap();
    let mut symbols = file.symbols().chain(file.dynamic_symbols());
    let symbol = symbols.find(|s| s.is_definition() && s.name().is_ok_and(&wanted));
    symbol.expect("the program has no such symbol").address()
}

fn added(path: &Path, debug: Option<PathBuf>) -> (Symbolizer, Module) {
    let mut symbolizer = Symbolizer::new();
    let module = module(path);
    symbolizer.add(module.clone(), File::open(path).unwrap(), debug);
    (symbolizer, module)
}

const INLINES: &str = "\
#include <stdlib.h>
volatile int sink;
static inline __attribute__((always_inline)) void innermost(void) {
    sink = rand();
}
static inline __attribute__((always_inline)) void middle(void) {
    innermost();
}
__attribute__((noinline)) void outer(void) {
    middle();
    sink++;
}
__attribute__((noinline)) static void plain(void) { sink += 2; }
int main(void) { outer(); plain(); return 0; }
";

/// The inlined frames that `INLINES` has right after the start of `outer`, with line numbers.
fn assert_inlines(symbolizer: &mut Symbolizer, module: &Module, outer: u64) {
    // The first instruction that belongs to the innermost inlined function.
    let names = (outer..outer + 32)
        .map(|at| symbolizer.in_module(module, at))
        .find(|names| names.len() == 3)
        .unwrap_or_else(|| panic!("no inlined frames; notes: {:?}", symbolizer.notes()));
    let shown: Vec<_> = names.iter().map(|n| (n.function.as_str(), n.line, n.inlined)).collect();
    assert_eq!(
        shown,
        [("innermost", Some(4), true), ("middle", Some(7), true), ("outer", Some(10), false)]
    );
    let file = names[0].file.as_deref().unwrap();
    assert!(file.starts_with('/') && file.ends_with("/inlines.c"), "{file}");
}

/// Check names, inlined functions, lines and full paths in a program with debug information, asked
/// in one go and one by one.
#[test]
fn inlined_functions_and_lines() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile(directory.path(), "inlines.c", INLINES, "cc", &["-O2", "-g"]);
    let outer = address_of(&program, |name| name == "outer");
    let (mut symbolizer, module) = added(&program, None);
    assert_inlines(&mut symbolizer, &module, outer);

    let mut batch = Symbolizer::new();
    batch.add(module.clone(), File::open(&program).unwrap(), None);
    batch.resolve_all(&[(module.clone(), (outer..outer + 32).collect())]);
    assert_inlines(&mut batch, &module, outer);
    assert!(batch.notes().is_empty(), "{:?}", batch.notes());

    let mut without =
        Symbolizer::with_options(SymbolizeOptions { debug_info: false, ..Default::default() });
    without.add(module.clone(), File::open(&program).unwrap(), None);
    let names = without.in_module(&module, outer);
    assert_eq!(names.len(), 1);
    assert_eq!((names[0].function.as_str(), names[0].line), ("outer", None));
}

/// Check that a stripped program gets its names and lines from the debug file that belongs to it,
/// and none from another's.
#[test]
fn separate_debug_file() {
    let directory = tempfile::tempdir().unwrap();
    let program =
        compile(directory.path(), "inlines.c", INLINES, "cc", &["-O2", "-g", "-Wl,--build-id"]);
    let outer = address_of(&program, |name| name == "outer");
    let plain = address_of(&program, |name| name == "plain");
    let debug = directory.path().join("program.debug");
    let path = |p: &Path| p.to_str().unwrap().to_owned();
    let (from, to) = (path(&program), path(&debug));
    run("objcopy", &["--only-keep-debug", "--compress-debug-sections=zlib", &from, &to]);
    run("strip", &[&from]);

    let (mut stripped, module) = added(&program, None);
    assert_eq!(stripped.in_module(&module, plain), []);

    let (mut symbolizer, module) = added(&program, Some(debug.clone()));
    assert_inlines(&mut symbolizer, &module, outer);
    assert_eq!(symbolizer.in_module(&module, plain)[0].function, "plain");

    let other = Module { build_id: Some("00".repeat(20)), ..module };
    let mut symbolizer = Symbolizer::new();
    symbolizer.add(other.clone(), File::open(&program).unwrap(), Some(debug));
    assert_eq!(symbolizer.in_module(&other, plain), []);
    assert!(symbolizer.notes()[0].contains("build id"), "{:?}", symbolizer.notes());
}

/// Check that a file that was deleted after it was opened still gives names and lines.
#[test]
fn deleted_file() {
    let directory = tempfile::tempdir().unwrap();
    let program = compile(directory.path(), "inlines.c", INLINES, "cc", &["-O2", "-g"]);
    let outer = address_of(&program, |name| name == "outer");
    let (mut symbolizer, module) = added(&program, None);
    std::fs::remove_file(&program).unwrap();
    assert_inlines(&mut symbolizer, &module, outer);
}

/// Check that C++ names are whole and without parameters, and Rust names without hash.
#[test]
fn demangled_names() {
    let directory = tempfile::tempdir().unwrap();
    let cpp = "namespace pool { struct Worker { __attribute__((noinline)) int wait(int n); }; int Worker::wait(int n) { return n * 2; } } int main(int c, char**) { pool::Worker w; return w.wait(c); }";
    let program = compile(directory.path(), "a.cc", cpp, "c++", &["-O2", "-g"]);
    let wait = address_of(&program, |name| name.contains("Worker"));
    let (mut symbolizer, module) = added(&program, None);
    assert_eq!(symbolizer.in_module(&module, wait)[0].function, "pool::Worker::wait");

    let rust = "mod pool { #[inline(never)] pub fn wait(n: usize) -> usize { std::hint::black_box(n) } } fn main() { let n = std::env::args().count(); std::thread::spawn(move || pool::wait(n)).join().unwrap(); }";
    for mangling in ["legacy", "v0"] {
        let scheme = format!("symbol-mangling-version={mangling}");
        let flags = ["-C", &scheme, "-g", "-Zunstable-options"];
        let program = directory.path().join("program");
        let source = directory.path().join("a.rs");
        std::fs::write(&source, rust).unwrap();
        let mut command = Command::new("rustc");
        command.arg("-o").arg(&program).arg(&source).args(flags);
        // The legacy scheme is an unstable option where v0 is the default.
        let out = command.env("RUSTC_BOOTSTRAP", "1").output().unwrap();
        assert!(out.status.success(), "{}", String::from_utf8_lossy(&out.stderr));
        let wait = address_of(&program, |name| name.contains("4pool") && name.contains("wait"));
        let (mut symbolizer, module) = added(&program, None);
        let names = symbolizer.in_module(&module, wait);
        assert_eq!(names.last().unwrap().function, "a::pool::wait");
        let closure = address_of(&program, |name| {
            name.contains("4main") && (name.contains("closure") || name.starts_with("_RNCNvC"))
        });
        let names = symbolizer.in_module(&module, closure);
        let closure = &names.last().unwrap().function;
        assert!(closure.starts_with("a::main::{") && closure.contains("closure"), "{closure}");
    }
}

/// Check that a library without full symbol table names nothing that its exported symbols' sizes
/// don't cover.
#[test]
fn no_guesses_from_exported_symbols() {
    let directory = tempfile::tempdir().unwrap();
    let source = "int hidden(int); __attribute__((noinline)) int exported(int n) { return hidden(n) + 1; } __attribute__((noinline, visibility(\"hidden\"))) int hidden(int n) { __asm__ volatile(\"\" : \"+r\"(n)); return n * 3; }";
    let library = compile(
        directory.path(),
        "l.c",
        source,
        "cc",
        &["-O1", "-shared", "-fPIC", "-fno-toplevel-reorder"],
    );
    let exported = address_of(&library, |name| name == "exported");
    let hidden = address_of(&library, |name| name == "hidden");
    assert!(hidden > exported, "the test wants the hidden function last");
    run("strip", &[library.to_str().unwrap()]);
    let (mut symbolizer, module) = added(&library, None);
    assert_eq!(symbolizer.in_module(&module, exported)[0].function, "exported");
    assert_eq!(symbolizer.in_module(&module, hidden), []);
}

/// Check that of a function's names the public one is chosen, without its version.
#[test]
fn public_aliases_are_preferred() {
    let directory = tempfile::tempdir().unwrap();
    let source = "int __internal_read(int n) { return n; } int read_it(int) __attribute__((weak, alias(\"__internal_read\"))); static int local_read(int) __attribute__((alias(\"__internal_read\"), used)); int main(void) { return 0; }";
    let program = compile(directory.path(), "a.c", source, "cc", &["-g", "-rdynamic"]);
    let at = address_of(&program, |name| name == "__internal_read");
    let (mut symbolizer, module) = added(&program, None);
    assert_eq!(symbolizer.in_module(&module, at)[0].function, "read_it");
}

/// Check that code without size of its own is named by its label, but not past the next function,
/// nor by a label within a function.
#[test]
fn labels_in_assembly() {
    let directory = tempfile::tempdir().unwrap();
    let source = ".text\n.globl start_it\n.type start_it,@function\nstart_it: nop\n nop\nlocal_mark: nop\n nop\n.type sized,@function\nsized: nop\n nop\n.size sized, 1\n.globl main\n.type main,@function\nmain: xor %eax,%eax\n ret\n.size main, .-main\n";
    let program = compile(directory.path(), "a.s", source, "cc", &[]);
    let at = address_of(&program, |name| name == "start_it");
    let (mut symbolizer, module) = added(&program, None);
    let mut name = |at| symbolizer.in_module(&module, at).first().map(|n| n.function.clone());
    assert_eq!(name(at + 3).as_deref(), Some("start_it"));
    assert_eq!(name(at + 4).as_deref(), Some("sized"));
    assert_eq!(name(at + 5), None);
    assert_eq!(name(at + 6).as_deref(), Some("main"));
}

/// Check that the vdso's functions and the kernel's have names.
#[test]
fn vdso_and_kernel() {
    let vdso = Module { path: "[vdso]".into(), build_id: None, deleted: false };
    let image = own_vdso().unwrap();
    let file = object::File::parse(&*image).unwrap();
    use object::{Object, ObjectSymbol};
    let symbol = file.dynamic_symbols().find(|s| s.name() == Ok("__vdso_clock_gettime")).unwrap();
    let mut symbolizer = Symbolizer::new();
    let names = symbolizer.in_module(&vdso, symbol.address() + 1);
    assert_eq!(names[0].function, "clock_gettime");

    match symbolizer.in_kernel(u64::MAX) {
        None => {}
        Some(named) => panic!("the last address is {named:?}"),
    }
    let list = std::fs::read_to_string("/proc/kallsyms").unwrap();
    let line = list.lines().find(|line| line.ends_with(" T schedule"));
    let address = line.and_then(|line| u64::from_str_radix(line.split(' ').next()?, 16).ok());
    match address {
        Some(0) => assert!(symbolizer.kernel_error().is_some()),
        Some(at) => assert_eq!(symbolizer.in_kernel(at + 8).unwrap().function, "schedule"),
        None => panic!("the kernel lists no schedule()"),
    }
}

/// Check how long 2,400 addresses of the files named in LEAKPROBE_MEASURE take, and the memory.
#[test]
#[ignore = "a measurement; set LEAKPROBE_MEASURE to files, each with `=debug file` where it has one"]
fn measure() {
    use object::{Object, ObjectSection, SectionKind};
    let peak = || {
        let status = std::fs::read_to_string("/proc/self/status").unwrap();
        let line = status.lines().find(|l| l.starts_with("VmHWM")).unwrap();
        line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
    };
    for file in std::env::var("LEAKPROBE_MEASURE").unwrap().split(':') {
        let (path, debug) = match file.split_once('=') {
            Some((path, debug)) => (PathBuf::from(path), Some(PathBuf::from(debug))),
            None => (PathBuf::from(file), None),
        };
        let addresses: Vec<u64> = {
            let map = File::open(&path).unwrap();
            // SAFETY: the file is not changed while it is measured.
            let data = unsafe { memmap2::Mmap::map(&map) }.unwrap();
            let elf = object::File::parse(&*data).unwrap();
            let text = elf
                .sections()
                .find(|s| s.name() == Ok(".text") && s.kind() == SectionKind::Text)
                .unwrap();
            let count = std::env::var("LEAKPROBE_COUNT").map_or(2400, |n| n.parse().unwrap());
            let step = text.size() / count;
            (0..count).map(|i| text.address() + i * step).collect()
        };
        let _ = std::fs::write("/proc/self/clear_refs", "5");
        let before = peak();
        let began = Instant::now();
        let mut symbolizer = Symbolizer::with_options(SymbolizeOptions {
            debug_info: std::env::var_os("LEAKPROBE_NO_DEBUG").is_none(),
            debug_info_time: Duration::from_secs(60),
        });
        let module = module(&path);
        symbolizer.add(module.clone(), File::open(&path).unwrap(), debug);
        symbolizer.resolve_all(&[(module.clone(), addresses.clone())]);
        let took = began.elapsed();
        let names: Vec<_> = addresses.iter().map(|&a| symbolizer.in_module(&module, a)).collect();
        let with = |f: &dyn Fn(&Vec<Named>) -> bool| names.iter().filter(|n| f(n)).count();
        eprintln!(
            "{file}: {took:?}, peak {} MiB above {before}; of 2400: {} named, {} with line, {} with inlined; notes {:?}",
            peak() - before,
            with(&|n| !n.is_empty()),
            with(&|n| n.iter().any(|n| n.line.is_some())),
            with(&|n| n.len() > 1),
            symbolizer.notes(),
        );
        if std::env::var_os("LEAKPROBE_SHOW").is_some() {
            for (a, n) in addresses.iter().zip(&names).step_by(60) {
                eprintln!("  {a:#x} {n:?}");
            }
        }
    }
}

#[path = "symbolize_hostile_tests.rs"]
mod hostile;
