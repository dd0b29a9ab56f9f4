//! The user's own code in a stack: what is not libc, language runtime or language library.
//!
//! Three things tell a library's frame: the file that it is in, its name, and its source path. In a
//! static binary only the latter two are left, and a name such as `read` or `start` is then only
//! believed at the ends of the stack, where libc's frames are.

mod libc;
mod qualified;

use super::FrameEntry;

/// Index of the innermost frame of the program's own code.
pub fn innermost(stack: &[FrameEntry]) -> Option<usize> {
    let library = library_frames(stack);
    stack.iter().zip(&library).position(|(frame, library)| !library && is_known(frame))
}

/// Index of the outermost frame of the program's own code: a thread's start routine, `main`.
/// `None` also where the stack was not unwound to its end.
pub fn outermost(stack: &[FrameEntry]) -> Option<usize> {
    if stack.last().is_some_and(|last| !is_known(last)) {
        return None;
    }
    let library = library_frames(stack);
    stack.iter().zip(&library).rposition(|(frame, library)| !library && is_known(frame))
}

/// For each frame whether it is in libc, in a runtime, in a language's library or in the kernel.
pub fn library_frames(stack: &[FrameEntry]) -> Vec<bool> {
    // With libc in a file of its own, a `read` or `start` in the program is the program's.
    let libc_is_a_file = stack.iter().any(|f| module_of(f).is_some_and(libc::is_libc_file));
    let mut library: Vec<bool> = stack.iter().map(is_library_alone).collect();
    for (index, pair) in stack.windows(2).enumerate() {
        if let [inner, outer] = pair
            && outer.function == "main"
            && inner.function.starts_with("std::rt::lang_start")
        {
            // Rust's compiler makes this `main`; the program's own is further in.
            mark(&mut library, index + 1);
        }
        if let [inner, outer] = pair
            && outer.function == "threadentry"
            && (inner.function.starts_with("runtime/cgo") || inner.function == "crosscall1")
        {
            // Go's own start routine of threads, in C (runtime/cgo/gcc_linux_amd64.c, Go 1.26).
            mark(&mut library, index + 1);
        }
    }
    if !libc_is_a_file {
        for (index, frame) in stack.iter().enumerate() {
            if !(library.get(index) == Some(&true) || libc::may_wait_inside(frame)) {
                break;
            }
            mark(&mut library, index);
        }
        for (index, frame) in stack.iter().enumerate().rev() {
            if !(library.get(index) == Some(&true) || libc::may_start_inside(frame)) {
                break;
            }
            mark(&mut library, index);
        }
    }
    library
}

/// `consume (waits.c:42)`, `server+0x1234`.
pub fn label(frame: &FrameEntry) -> String {
    match (&frame.file, frame.line) {
        (Some(file), Some(line)) => format!("{} ({}:{line})", frame.function, base_name(file)),
        (Some(file), None) => format!("{} ({})", frame.function, base_name(file)),
        (None, _) => frame.function.clone(),
    }
}

/// The place of a stack as [`label`] says it; where only its file and offset are known, also the
/// nearest named function of the program's own that called it: `nginx+0x54173 ←
/// ngx_process_events_and_timers`.
pub fn label_in(stack: &[FrameEntry], place: &FrameEntry) -> String {
    let named_caller = || {
        let library = library_frames(stack);
        let at = stack.iter().position(|frame| frame == place)?;
        let outer = stack.iter().zip(library).skip(at + 1);
        outer
            .map_while(|(frame, library)| (!library && is_known(frame)).then_some(frame))
            .find(|frame| !is_unnamed(frame))
    };
    match is_unnamed(place).then(named_caller).flatten() {
        Some(caller) => format!("{} ← {}", label(place), label(caller)),
        None => label(place),
    }
}

/// Whether the function of an entry is but its file and offset.
pub(super) fn is_unnamed(entry: &FrameEntry) -> bool {
    module_of(entry).is_some_and(|file| {
        entry.function.strip_prefix(file).is_some_and(|rest| rest.starts_with("+0x"))
    })
}

/// Last component of a path.
pub fn base_name(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

/// Whether a frame is one: not the note that stands where unwinding had to stop.
pub(super) fn is_known(frame: &FrameEntry) -> bool {
    frame.module.is_some() || frame.file.is_some() || !frame.function.starts_with('<')
}

fn mark(library: &mut [bool], index: usize) {
    if let Some(flag) = library.get_mut(index) {
        *flag = true;
    }
}

fn module_of(frame: &FrameEntry) -> Option<&str> {
    frame.module.as_deref().map(base_name)
}

/// Whether a frame is a library's, whatever stands around it.
fn is_library_alone(frame: &FrameEntry) -> bool {
    if module_of(frame).is_some_and(|m| libc::is_libc_file(m) || is_language_file(m)) {
        return true;
    }
    if frame.file.as_deref().is_some_and(is_library_source) {
        return true;
    }
    libc::is_reserved_name(&frame.function) || qualified::is_language_name(&frame.function)
}

/// Shared objects of compilers and languages, and what is not a file at all.
fn is_language_file(name: &str) -> bool {
    const EXACT: &[&str] = &["[kernel]", "[vdso]", "[vsyscall]"];
    const STARTS: &[&str] = &[
        "libstdc++.so",
        "libgcc_s.so",
        "libgcc_s-",
        "libc++.so",
        "libc++abi.so",
        "libunwind.so",
        "libstd-",
        "linux-vdso",
        "libgomp.so",
    ];
    EXACT.contains(&name) || STARTS.iter().any(|start| name.starts_with(start))
}

/// Source paths that only libraries of languages have.
fn is_library_source(path: &str) -> bool {
    // Rust's own library; glibc's, as Debian, Fedora and upstream builds record it; the headers of
    // libstdc++ and libc++, whose functions are compiled into each program.
    const INSIDE: &[&str] = &[
        "/include/c++/",
        "-linux-gnu/c++/",
        "/rustc/",
        "/library/std/src/",
        "/library/core/src/",
        "/library/alloc/src/",
        "/nptl/",
        "/sysdeps/unix/",
        "/sysdeps/x86_64/",
        "/sysdeps/nptl/",
        "/libstdc++-v3/",
    ];
    path.starts_with("../sysdeps/")
        || path.starts_with("./nptl/")
        || INSIDE.iter().any(|inside| path.contains(inside))
}

#[cfg(test)]
mod tests;
