//! All that reads another process. It never stops the target.
