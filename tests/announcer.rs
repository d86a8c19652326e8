//! The announcer in thousands of random lives, each from one seed: targets that
//! come, go and flap, listeners, a registry that fails, the operator's switches,
//! reloads, planned stops, crashes, records that are lost or cut off, and clocks
//! that jump. After every step it is held against a model that is written down
//! plainly and knows nothing of how the announcer works:
//!
//! - nothing is announced above what the facts allow, and no fall is delayed;
//! - a switch withdraws at once, after the time that was asked for, and what was
//!   only switched off is back at once;
//! - a rise waits for the hold-up, and for no longer;
//! - the penalty is what was added and not forgotten, suppresses, and so bounds
//!   how often a prefix falls, also across crashes;
//! - between two deadlines nothing happens, and at a deadline something does.
//!
//! `BURGEE_SEED=1812 cargo test --test announcer` runs one of them, and
//! `BURGEE_SEEDS=100000` that many.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub
)]

#[path = "announcer/life.rs"]
mod life;
#[path = "announcer/model.rs"]
mod model;
#[path = "announcer/world.rs"]
mod world;

use std::ops::Range;
use std::panic::catch_unwind;

const SEEDS: u64 = 3_000;

#[test]
fn no_life_breaks_a_promise() {
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seeds: Range<u64> = match number("BURGEE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BURGEE_SEEDS").unwrap_or(SEEDS),
    };
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let (mut failed, mut total) = (Vec::new(), life::Tally::default());
    std::thread::scope(|scope| {
        let run = |worker| {
            let mine = seeds.clone().skip(worker as usize).step_by(workers as usize);
            scope
                .spawn(move || mine.map(|seed| (seed, catch_unwind(|| life::live(seed)))).collect())
        };
        let handles: Vec<_> = (0..workers).map(run).collect();
        for handle in handles {
            let lives: Vec<(u64, std::thread::Result<life::Tally>)> =
                handle.join().expect("a worker");
            for (seed, outcome) in lives {
                match outcome {
                    Ok(tally) => total.add(&tally),
                    Err(_) => failed.push(seed),
                }
            }
        }
    });
    failed.sort_unstable();
    println!("{} seeds: {total:?}", seeds.end - seeds.start);
    if let Some(first) = failed.first() {
        panic!(
            "failed seeds: {failed:?}\nto see one again: BURGEE_SEED={first} cargo test --test announcer"
        );
    }
    // A run in which something never happened proves nothing of it.
    assert!(seeds.end - seeds.start < SEEDS || total.has_seen_everything(), "{total:?}");
}
