//! `cargo xtask`: everything that is done to this repository.
mod ebpf;
fn main() -> anyhow::Result<()> {
    match std::env::args().nth(2).as_deref() {
        Some("build") => ebpf::build(),
        _ => ebpf::check(),
    }
}
