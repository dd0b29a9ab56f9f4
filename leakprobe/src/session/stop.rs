//! How a running session is asked to end.

use std::{
    sync::{Arc, Condvar, Mutex, PoisonError},
    time::{Duration, Instant},
};

/// Asks a running session to end and report. Clones ask the same session.
#[derive(Clone, Debug, Default)]
pub struct StopFlag(Arc<(Mutex<bool>, Condvar)>);

impl StopFlag {
    /// Asks.
    pub fn stop(&self) {
        let (asked, changed) = &*self.0;
        *asked.lock().unwrap_or_else(PoisonError::into_inner) = true;
        changed.notify_all();
    }

    /// Whether it was asked.
    pub fn is_stopped(&self) -> bool {
        *self.0.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Waits until it is asked, or until `deadline`; whether it was asked.
    pub fn wait_until(&self, deadline: Instant) -> bool {
        let (asked, changed) = &*self.0;
        let guard = asked.lock().unwrap_or_else(PoisonError::into_inner);
        let left = deadline.saturating_duration_since(Instant::now()).min(Duration::from_secs(1));
        let (guard, _) = changed
            .wait_timeout_while(guard, left, |asked| !*asked)
            .unwrap_or_else(PoisonError::into_inner);
        *guard
    }
}
