//! A service with two leaks that safe Rust allows.
//!
//! * feeds: each subscriber waits for its channel. The senders are kept in a registry that no one
//!   publishes to any more, so the channels are never closed.
//! * cache: one thread holds the lock while it waits for an answer that never comes, the others
//!   wait for the lock.

use std::{
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, channel},
    },
    thread,
    time::Duration,
};

struct Event(u64);

fn follow_feed(events: Receiver<Event>) {
    let mut seen = 0;
    while let Ok(Event(number)) = events.recv() {
        seen += number;
    }
    println!("saw {seen}");
}

type Cache = Arc<Mutex<Vec<u64>>>;

fn refresh_cache(cache: Cache, answers: Receiver<u64>) {
    let mut entries = cache.lock().unwrap();
    // Should have asked before taking the lock.
    if let Ok(answer) = answers.recv() {
        entries.push(answer);
    }
}

fn look_up(cache: Cache) -> Option<u64> {
    cache.lock().unwrap().last().copied()
}

fn main() {
    let mut registry: Vec<Sender<Event>> = Vec::new();
    for number in 0..5 {
        let (sender, events) = channel();
        registry.push(sender);
        thread::Builder::new()
            .name(format!("feed-{number}"))
            .spawn(move || follow_feed(events))
            .unwrap();
    }

    let cache = Cache::default();
    let (_backend, answers) = channel();
    let refreshed = cache.clone();
    thread::spawn(move || refresh_cache(refreshed, answers));
    while cache.try_lock().is_ok() {
        thread::sleep(Duration::from_millis(1));
    }
    for _ in 0..3 {
        let cache = cache.clone();
        thread::spawn(move || look_up(cache));
    }

    println!("ready");
    loop {
        thread::park();
    }
}
