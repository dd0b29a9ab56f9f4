//! Functions, inlined calls and lines from DWARF, by blazesym.
//!
//! Debug information is foreign bytes in a complicated format, and blazesym was not made for
//! malicious files. Hence: a file is checked before it is handed over (`debug_file`), a thread of its
//! own does the work, a panic there costs only that file's lines, and an answer is awaited only for so
//! long.

use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::PathBuf;
use std::sync::Once;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::Instant;

use blazesym::symbolize::source::{Elf, Source};
use blazesym::symbolize::{Input, Sym, Symbolized, Symbolizer};
use rustc_hash::FxHashMap;

use super::Named;
use super::debug_file;
use super::elf_sections::Sections;
use super::function_name::{clean, printable};

/// Stack of the thread that reads debug information: blazesym recurses for each level of inlining.
const STACK_BYTES: usize = 64 << 20;

const THREAD: &str = "debug-info";

static QUIET: Once = Once::new();

/// Most inlined functions shown for one address.
const MAX_INLINED: usize = 64;

/// A request: which file, which addresses.
struct Lookup {
    file: PathBuf,
    addresses: Vec<u64>,
    /// Release what was read of this file afterwards.
    last: bool,
}

/// What debug information says of an address.
#[derive(Clone, Debug, Default)]
pub(super) struct Frames {
    /// Innermost first, the last one is the function itself (its name may be empty). Empty where
    /// nothing is known.
    pub named: Vec<Named>,
    /// The function's name is its linkage name: no alias is better.
    pub linkage_name: bool,
}

/// The thread that reads debug information.
#[derive(Debug)]
pub(super) struct DebugInfo {
    requests: Sender<Lookup>,
    answers: Receiver<Result<Vec<Frames>, String>>,
}

impl DebugInfo {
    /// Starts the thread.
    pub fn start() -> std::io::Result<Self> {
        QUIET.call_once(quiet);
        let (requests, inbox) = channel();
        let (outbox, answers) = channel();
        std::thread::Builder::new()
            .name(THREAD.into())
            .stack_size(STACK_BYTES)
            .spawn(move || serve(&inbox, &outbox))?;
        Ok(Self { requests, answers })
    }

    /// Looks up `addresses` (svma) in `file`, which is not changed while this object lives. `last`
    /// releases what was read of it.
    ///
    /// An error of kind [`Failure::Stuck`] means that this object is of no more use.
    pub fn find(
        &self,
        file: PathBuf,
        addresses: Vec<u64>,
        last: bool,
        until: Instant,
    ) -> Result<Vec<Frames>, Failure> {
        let lookup = Lookup { file, addresses, last };
        self.requests.send(lookup).map_err(|_| Failure::Stuck)?;
        let wait = until.saturating_duration_since(Instant::now());
        match self.answers.recv_timeout(wait) {
            Ok(answer) => answer.map_err(Failure::File),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(Failure::Stuck),
        }
    }
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// The file's debug information could not be read: why.
    File(String),
    /// The thread did not answer in time or is gone.
    Stuck,
}

/// A panic of the thread is about a malformed file (blazesym 0.2.7 has some, for example on a line
/// table that names a file it doesn't have) and becomes a note: its message and backtrace are no use
/// to anybody.
fn quiet() {
    let before = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |info| {
        if std::thread::current().name() != Some(THREAD) {
            before(info);
        }
    }));
}

fn serve(inbox: &Receiver<Lookup>, outbox: &Sender<Result<Vec<Frames>, String>>) {
    let mut open = FxHashMap::<PathBuf, Opened>::default();
    while let Ok(lookup) = inbox.recv() {
        let opened = open.remove(&lookup.file);
        // blazesym's caches may be half-built after a panic: they are dropped with the closure.
        let answer = catch_unwind(AssertUnwindSafe(move || {
            let opened = opened.map_or_else(|| Opened::checked(&lookup), Ok)?;
            let frames = opened.find(&lookup)?;
            let keep = (!lookup.last).then_some((lookup.file, opened));
            Ok((frames, keep))
        }));
        let answer = match answer {
            Ok(Ok((frames, keep))) => {
                open.extend(keep);
                Ok(frames)
            }
            Ok(Err(why)) => Err(why),
            Err(_) => Err("it is malformed".to_owned()),
        };
        if outbox.send(answer).is_err() {
            return;
        }
    }
}

/// A file that was found fit to be read.
struct Opened {
    file: File,
    length: u64,
    symbolizer: Symbolizer,
}

impl Opened {
    fn checked(lookup: &Lookup) -> Result<Self, String> {
        let text = |error: std::io::Error| error.to_string();
        let file = File::open(&lookup.file).map_err(text)?;
        let sections = Sections::read(&file).map_err(text)?;
        debug_file::check(&file, &sections)?;
        Ok(Self { length: file.metadata().map_err(text)?.len(), file, symbolizer: symbolizer() })
    }

    fn find(&self, lookup: &Lookup) -> Result<Vec<Frames>, String> {
        // blazesym maps the file: reading beyond its new end would end leakprobe (SIGBUS).
        let length = self.file.metadata().map(|meta| meta.len());
        if length.ok() != Some(self.length) {
            return Err("it is being overwritten".to_owned());
        }
        let source = Source::Elf(Elf::new(&lookup.file));
        let found = (self.symbolizer)
            .symbolize(&source, Input::VirtOffset(&lookup.addresses))
            .map_err(|error| error.to_string())?;
        Ok(found.into_iter().map(frames).collect())
    }
}

fn symbolizer() -> Symbolizer {
    Symbolizer::builder()
        .enable_auto_reload(false)
        .enable_code_info(true)
        .enable_inlined_fns(true)
        // function_name does it, in bounds.
        .enable_demangling(false)
        // No search for other files: what is to be read was given.
        .set_debug_dirs(Some(std::iter::empty::<PathBuf>()))
        .build()
}

fn frames(symbolized: Symbolized<'_>) -> Frames {
    let Symbolized::Sym(symbol) = symbolized else {
        return Frames::default();
    };
    // blazesym's guesses from the symbol table are without size. So are functions in several pieces
    // (DW_AT_ranges: what has a `.cold` part), which blazesym 0.2.7 also leaves without address.
    if symbol.size.is_none() && symbol.addr != 0 {
        return Frames::default();
    }
    let Sym { name, code_info, inlined, .. } = symbol;
    let place = |info: Option<&blazesym::symbolize::CodeInfo<'_>>| {
        let file = info.map(|info| printable(&info.to_path().to_string_lossy()));
        let line = info.and_then(|info| info.line).filter(|&line| line > 0);
        (file.filter(|file| !file.is_empty()), line)
    };
    let mut named = Vec::new();
    // blazesym gives the outermost first.
    for call in inlined.iter().rev().take(MAX_INLINED) {
        let (file, line) = place(call.code_info.as_ref());
        named.push(Named {
            function: clean(call.name.as_bytes()).unwrap_or_else(|| "(inlined)".into()),
            file,
            line,
            inlined: true,
        });
    }
    let (file, line) = place(code_info.as_deref());
    named.push(Named {
        function: clean(name.as_bytes()).unwrap_or_default(),
        file,
        line,
        inlined: false,
    });
    Frames { named, linkage_name: name.starts_with("_Z") || name.starts_with("_R") }
}
