//! What this machine allows.

/// One ability.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Feature {
    /// What it is.
    pub ability: String,
    /// Whether it is there.
    pub available: bool,
    /// What is lost without it.
    pub lost: String,
    /// What to do.
    pub remedy: String,
}

/// All of them.
#[derive(Clone, Debug, serde::Serialize)]
pub struct Features {
    /// In the order to print.
    pub rows: Vec<Feature>,
}

/// Finds out by trying.
pub fn features() -> Features {
    Features { rows: Vec::new() }
}
