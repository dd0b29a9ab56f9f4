//! The BPF object.

/// Builds it.
pub fn build() -> anyhow::Result<()> {
    anyhow::bail!("not here yet")
}

/// Rebuilds and compares it.
pub fn check() -> anyhow::Result<()> {
    anyhow::bail!("not here yet")
}
