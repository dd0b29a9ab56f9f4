//! Measurements.

/// Runs them.
pub fn run(_args: &[String]) -> anyhow::Result<()> {
    anyhow::bail!("not here yet")
}
