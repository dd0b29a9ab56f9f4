//! What can go wrong between leakprobe and the kernel.

use aya::programs::ProgramError;

/// Why the kernel could not be asked.
#[derive(Debug, thiserror::Error)]
pub enum ProbeError {
    /// The kernel publishes no type information.
    #[error(
        "this kernel publishes no BTF ({path}: {source}): boot one built with CONFIG_DEBUG_INFO_BTF=y"
    )]
    NoBtf {
        /// Where it was looked for.
        path: &'static str,
        /// Why it could not be read.
        source: std::io::Error,
    },
    /// The kernel's type information could not be understood.
    #[error(
        "the kernel's BTF is in a format that this version does not know: use a newer leakprobe"
    )]
    BadBtf,
    /// A struct member that is needed is not in the kernel's type information.
    #[error("the kernel's BTF has no {structure}.{member}: use a leakprobe that knows this kernel")]
    NoMember {
        /// The struct.
        structure: &'static str,
        /// The member.
        member: &'static str,
    },
    /// The kernel is older than its task iterator.
    #[error("this kernel has no task iterator: boot Linux 5.8 or newer")]
    NoIterator,
    /// The embedded BPF object was built for another version of this program.
    #[error(
        "the BPF object has ABI version {found}, this program {expected}: rebuild it with `cargo xtask ebpf build`"
    )]
    ForeignAbi {
        /// What the object says, or that it says nothing.
        found: String,
        /// What this program was built with.
        expected: u32,
    },
    /// The kernel refused a program or map.
    #[error("the kernel refused {what}: {why} (`leakprobe doctor` says what it allows)")]
    Refused {
        /// What was refused.
        what: &'static str,
        /// Its answer.
        why: String,
    },
    /// A pass over the tasks broke off.
    #[error("reading tasks from {from} failed: {source}; try again, or see `leakprobe doctor`")]
    Read {
        /// Which source.
        from: &'static str,
        /// Why.
        source: std::io::Error,
    },
}

impl ProbeError {
    /// A refusal. What the verifier has to say of it goes to the log: it is long.
    pub(super) fn refused(what: &'static str, error: impl Into<anyhow::Error>) -> Self {
        let error = error.into();
        let why = match error.downcast_ref() {
            Some(ProgramError::LoadError { io_error, verifier_log }) => {
                log::debug!("{what}: {io_error}: {verifier_log}");
                format!("{io_error}; -v shows what the verifier said")
            }
            _ => error.root_cause().to_string(),
        };
        ProbeError::Refused { what, why }
    }
}
