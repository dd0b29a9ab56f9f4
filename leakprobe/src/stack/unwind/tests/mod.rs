//! Stacks of real programs, and of hostile ones.

mod hostile;
mod live;
mod many;
mod program;

/// A reader can be abandoned at its deadline only if it runs in a thread of its own.
const _: () = {
    const fn can_move_to_a_thread<T: Send>() {}
    can_move_to_a_thread::<super::Unwinder>();
    can_move_to_a_thread::<crate::process::Target>();
    can_move_to_a_thread::<crate::process::ModuleFiles>();
    can_move_to_a_thread::<super::RawStack>();
};
