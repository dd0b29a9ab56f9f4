//! What the BPF programs log: nothing at no cost, unless asked for.

use aya::Ebpf;
use aya_log::EbpfLogger;

use super::ProbeError;

/// The programs' log. Its level is a read-only global: where it is off the verifier removes every
/// log statement.
pub(super) struct KernelLog(EbpfLogger<&'static dyn log::Log>);

impl KernelLog {
    /// The ring buffer's name (aya-log-ebpf).
    pub(super) const MAP: &'static str = "AYA_LOGS";

    /// The level to load the programs with: the logger's own, or off.
    pub(super) fn level(verbose: bool) -> u8 {
        match verbose {
            true => log::max_level() as usize as u8,
            false => 0,
        }
    }

    /// Connects the programs' log to this program's.
    pub(super) fn open(ebpf: &mut Ebpf) -> Result<Self, ProbeError> {
        EbpfLogger::init(ebpf).map(KernelLog).map_err(|error| ProbeError::refused("its log", error))
    }

    /// Hands on what was logged so far.
    pub(super) fn drain(&mut self) {
        self.0.flush();
    }
}
