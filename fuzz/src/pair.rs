//! Two speakers against each other, with a script that decides the faults of
//! the network between them.

use std::collections::BTreeSet;
use std::time::Duration;

use burgee::bgp::message::prefix::Family;
use burgee::bgp::offer::{AddPath, Offer, RestartOffer};
use burgee::bgp::role::Role;

use super::input::Input;
use super::network::{Network, Node, prefix};

/// Most operations of a script.
const MAX_OPERATIONS: usize = 120;

/// Who dials, whose AS numbers they have, and what each of them offers.
fn nodes(choice: u8, input: &mut Input<'_>) -> [Node; 2] {
    let asn = if choice & 1 == 1 { 65001 } else { 65000 };
    let mut nodes = [Node::new("10.0.0.1", 65001), Node::new("10.0.0.2", asn)];
    match choice >> 1 & 3 {
        1 => nodes[0].passive = true,
        2 => nodes[1].passive = true,
        _ => {}
    }
    if choice & 8 == 8 {
        nodes.swap(0, 1);
    }
    let roles = [None, Some(Role::Customer), Some(Role::Provider), Some(Role::Peer)];
    let role = roles[usize::from(choice >> 5 & 3)];
    for (node, role) in nodes.iter_mut().zip([role, role.map(Role::counterpart)]) {
        let bits = input.octet();
        let restart = RestartOffer { time: 5 + u16::from(bits >> 4), restarted: false };
        node.offer = Offer {
            add_path: AddPath { send: bits & 1 == 1, receive: bits & 2 == 2 },
            graceful_restart: (bits & 4 == 4).then_some(restart),
            extended_next_hop: bits & 8 == 8,
            role,
            ..Offer::default()
        };
        if choice & 128 == 128 {
            node.advertisement_interval = Duration::from_millis(u64::from(bits) * 10);
        }
    }
    nodes
}

/// First who the two are; then operations of an octet each, with one more for
/// how much.
pub(crate) fn pair(data: &[u8]) {
    let mut input = Input::new(data);
    let choice = input.octet();
    let mut network = Network::new(nodes(choice, &mut input), choice.into());
    network.latency = Duration::from_millis(1 + u64::from(input.octet()));
    network.jitter = choice & 16 == 16;
    network.start();
    let mut announced = [BTreeSet::new(), BTreeSet::new()];
    for _ in 0..MAX_OPERATIONS {
        if input.is_empty() {
            break;
        }
        operation(&mut network, &mut announced, &mut input);
    }
    network.cut = false;
    network.run(Duration::ZERO);
    network.stalled = false;
    network.deaf = [false; 2];
    network.paused = [false; 2];
    network.window = network.window.max(256);
    network.run(Duration::from_secs(60));
    assert!(network.is_established(), "no session when quiet");
    assert_eq!(network.open_connections(), 1, "connections left over");
    for (node, announced) in announced.iter().enumerate() {
        let wanted: BTreeSet<_> = announced.iter().map(|text: &String| prefix(text)).collect();
        assert_eq!(network.learned(1 - node), wanted, "what node {node} announced");
    }
}

fn operation(network: &mut Network, announced: &mut [BTreeSet<String>; 2], input: &mut Input<'_>) {
    let what = input.octet();
    let node = usize::from(what >> 7);
    match what & 15 {
        0 => {
            network.cut = !network.cut;
            // What the cut held up goes first.
            network.run(Duration::ZERO);
        }
        1 => network.reset_all(),
        2 => network.lose_end(node),
        3 => network.stalled = !network.stalled,
        4 => network.window = 1 << ((what >> 4 & 7) * 2),
        5 => network.deaf[node] = !network.deaf[node],
        6 => {
            network.crash(node);
            announced[node].clear();
        }
        7 => network.lose_path(node),
        8 if network.jitter => {
            network.latency = Duration::from_millis(1 + u64::from(what >> 4) * 40);
        }
        9..=11 => {
            let number = what >> 4 & 7;
            let text = match what & 1 {
                0 => format!("192.0.2.{number}/32"),
                _ => format!("2001:db8::{number:x}/128"),
            };
            if announced[node].remove(&text) {
                network.withdraw(node, &text);
            } else {
                network.announce(node, &text);
                announced[node].insert(text);
            }
        }
        12 => network.paused[node] = !network.paused[node],
        13 => network.refresh(node, Family::ALL[usize::from(what >> 6 & 1)]),
        14 => network.run(Duration::from_secs(input.octet().into())),
        _ => network.run(Duration::from_millis(u64::from(input.octet()) * 10)),
    }
}
