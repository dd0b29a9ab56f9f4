//! What this machine allows.

/// One thing that may or may not be possible here.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Ability {
    /// What it is.
    pub name: &'static str,
    /// Whether it is there; `None`: this could not be found out.
    pub works: Option<bool>,
    /// What was tried or read, and what came of it.
    pub found: String,
    /// What leakprobe does without, where this is not there.
    pub lost: &'static str,
    /// What to do about it.
    pub remedy: &'static str,
}

/// All of them.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Features {
    /// Release of the running kernel.
    pub kernel: String,
}

impl Features {
    /// In the order in which they should be shown.
    pub fn all(&self) -> Vec<&Ability> {
        Vec::new()
    }
}

/// Finds out by trying.
pub fn features() -> Features {
    Features {
        kernel: String::new(),
    }
}
