//! Two speakers in thousands of random storms, each from one seed: cuts, resets,
//! half-open connections, crashes, pauses, slow readers, connections that
//! overtake each other, changes and refreshes, with random capabilities. When it
//! is quiet again the session must be up, the neighbour's view must be what is
//! announced, and nothing may be left over.
//!
//! `BURGEE_SEED=1812 cargo test --test storms` runs one of them, and
//! `BURGEE_SEEDS=100000` that many.

#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    unreachable_pub,
    dead_code
)]

mod common;

use std::collections::BTreeSet;
use std::ops::Range;
use std::panic::catch_unwind;
use std::time::Duration;

use burgee::bgp::message::prefix::Family;
use burgee::bgp::offer::{AddPath, Offer, RestartOffer};
use burgee::bgp::role::Role;
use burgee::reactor::random::Random;
use common::network::{Network, Node, prefix};

const SEEDS: u64 = 6000;

/// How long a session waits for the neighbour's OPEN.
const OPEN_HOLD: Duration = Duration::from_secs(240);

/// Octets of an OPEN. Through a smaller window it takes several round trips, so
/// that the other connection overtakes the one that it is on.
const MESSAGE: usize = 128;

fn main() {
    // As the other test programs do when asked for tests by name.
    if std::env::args()
        .skip(1)
        .any(|filter| !filter.starts_with('-') && !"storms".contains(&filter))
    {
        return;
    }
    let number = |name| std::env::var(name).ok().map(|text| text.parse().expect("a number"));
    let seeds: Range<u64> = match number("BURGEE_SEED") {
        Some(seed) => seed..seed + 1,
        None => 0..number("BURGEE_SEEDS").unwrap_or(SEEDS),
    };
    let workers = std::thread::available_parallelism().map_or(1, |count| count.get() as u64);
    let results: Vec<(Duration, Vec<u64>)> = std::thread::scope(|scope| {
        let run = |worker| {
            let mine = seeds.clone().skip(worker as usize).step_by(workers as usize);
            scope.spawn(|| storms(mine))
        };
        let handles: Vec<_> = (0..workers).map(run).collect();
        handles.into_iter().map(|handle| handle.join().expect("a worker")).collect()
    });
    let elapsed: Duration = results.iter().map(|(elapsed, _)| *elapsed).sum();
    let mut failed: Vec<u64> = results.into_iter().flat_map(|(_, failed)| failed).collect();
    failed.sort_unstable();
    let hours = elapsed.as_secs_f64() / 3600.0;
    println!(
        "{} seeds, {hours:.1} simulated hours, {} failed",
        seeds.end - seeds.start,
        failed.len()
    );
    if let Some(first) = failed.first() {
        println!(
            "failed seeds: {failed:?}\nto see one again: BURGEE_SEED={first} cargo test --test storms"
        );
        std::process::exit(1);
    }
}

/// Runs storms; returns how long they lasted on their own clocks, and the seeds
/// of those that failed.
fn storms(seeds: impl Iterator<Item = u64>) -> (Duration, Vec<u64>) {
    let mut elapsed = Duration::ZERO;
    let mut failed = Vec::new();
    for seed in seeds {
        match catch_unwind(|| storm(seed)) {
            Ok(lasted) => elapsed += lasted,
            Err(_) => failed.push(seed),
        }
    }
    (elapsed, failed)
}

/// What both ends offer: their own of what one can have without the other, and
/// roles that fit.
fn offers(random: &mut Random) -> [Offer; 2] {
    let role = match random.below(8) {
        0 => Some(Role::Provider),
        1 => Some(Role::Customer),
        2 => Some(Role::Peer),
        _ => None,
    };
    let mut offer = |role| Offer {
        add_path: AddPath { send: random.below(3) == 0, receive: random.below(3) == 0 },
        extended_next_hop: random.below(3) == 0,
        graceful_restart: (random.below(2) == 0)
            .then(|| RestartOffer { time: 5 + random.below(30) as u16, restarted: false }),
        role,
        ..Offer::default()
    };
    [offer(role), offer(role.map(Role::counterpart))]
}

/// What may happen at any moment.
fn fault(network: &mut Network, random: &mut Random, kind: u64) {
    let node = random.index(2);
    match kind {
        0 => network.cut = !network.cut,
        1 => network.reset_all(),
        2 => network.lose_end(node),
        3 => network.stalled = !network.stalled,
        4 if network.jitter => {
            network.latency = Duration::from_millis(1 + random.below(400));
        }
        5 => network.window = 1 << random.below(14),
        6 => network.deaf[node] = !network.deaf[node],
        7 => network.paused[node] = !network.paused[node],
        8 => network.refresh(node, Family::ALL[random.index(2)]),
        _ => {}
    }
}

/// Faults at random for a while, then quiet; returns how long it lasted.
fn storm(seed: u64) -> Duration {
    let mut random = Random::new(seed);
    let mut nodes = [Node::new("10.0.0.1", 65001), Node::new("10.0.0.2", 65000)];
    // One in four has a side that only listens.
    if let Some(node) = nodes.get_mut(random.index(8)) {
        node.passive = true;
    }
    let listens = nodes.iter().any(|node| node.passive);
    for (node, offer) in nodes.iter_mut().zip(offers(&mut random)) {
        node.offer = offer;
        if random.below(3) == 0 {
            node.advertisement_interval = Duration::from_millis(random.below(5_000));
        }
    }
    let mut network = Network::new(nodes, random.next_u64());
    network.latency = Duration::from_millis(1 + random.below(200));
    network.jitter = random.below(2) == 0;
    network.start();
    let mut announced = BTreeSet::new();
    let mut overtaken = network.jitter;
    for _ in 0..40 {
        match random.below(16) {
            kind @ 0..=8 => fault(&mut network, &mut random, kind),
            9 => {
                let node = random.index(2);
                network.crash(node);
                if node == 0 {
                    announced.iter().for_each(|text: &String| network.announce(0, text));
                }
            }
            _ => {
                let text = match random.below(2) {
                    0 => format!("192.0.2.{}/32", random.below(20)),
                    _ => format!("2001:db8::{:x}/128", random.below(20)),
                };
                if announced.remove(&text) {
                    network.withdraw(0, &text);
                } else {
                    network.announce(0, &text);
                    announced.insert(text);
                }
            }
        }
        overtaken |= network.window < MESSAGE || network.paused.contains(&true);
        network.run(Duration::from_millis(random.below(4_000)));
    }
    // Where one connection overtakes the other, the neighbour may refuse what
    // we just established, and we what it prefers; else that never happens.
    let lost = network.lost_to_collisions();
    assert!(overtaken || lost == 0, "seed {seed}: a collision left no connection");
    network.cut = false;
    network.stalled = false;
    network.deaf = [false; 2];
    network.paused = [false; 2];
    network.window = network.window.max(256);
    network.run(Duration::from_secs(45));
    // A connection that lost its other end while it waits for the OPEN is given
    // up when that wait is over (RFC 4271 §8.2.2), unless the neighbour replaces
    // it; and one that only listens does not.
    if listens && !network.is_established() {
        network.run(OPEN_HOLD);
    }
    assert!(network.is_established(), "seed {seed}: no session when quiet");
    assert_eq!(network.open_connections(), 1, "seed {seed}: connections left over");
    let wanted: BTreeSet<_> = announced.iter().map(|text| prefix(text)).collect();
    assert_eq!(network.learned(1), wanted, "seed {seed}: the neighbour's view");
    network.elapsed()
}
