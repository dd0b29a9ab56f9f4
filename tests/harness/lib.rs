//! What the tests of the leakprobe command share: they start a workload that knows the truth
//! about its own waits, run the command on it, and hold its report against that truth.

mod compare;
mod debug_files;
mod expect;
mod run;
mod scene;
mod table;
mod trials;

pub use compare::{Ages, Sight, Target, assert_truth};
pub use debug_files::InstalledDebugFile;
pub use leakprobe_workloads as workloads;
pub use run::{Outcome, Run, leakprobe, public_copy};
pub use scene::Scene;
pub use table::site_table;
pub use trials::{Trials, is_root};
