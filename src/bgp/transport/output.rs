//! The writing side: what sessions have to say, a bounded part of it in each
//! turn.

use std::io::{self, Write};

use super::{Transport, Use};
use crate::bgp::peer::Side;
use crate::bgp::speaker::PeerId;
use crate::reactor::{Reactor, Readiness};

impl Transport {
    /// Writes until nothing waits, the kernel is full, or the neighbour's
    /// budget for this turn is used up. The connection stays in the ready list,
    /// behind the others, if there is more to say and room for it. It is not
    /// asked for more in this turn, which bounds the work and not only the octets.
    pub(super) fn write_session(&mut self, reactor: &mut Reactor, id: PeerId, side: Side) {
        let Some(key) = self.place(id, side) else { return };
        let Some(neighbour) = self.neighbours.get_mut(&id) else { return };
        let budget = neighbour.budget(reactor.turns());
        let Some(connection) = self.connections.get_mut(key) else { return };
        if !matches!(connection.used_for, Use::Open(..)) {
            return;
        }
        let now = reactor.now();
        loop {
            if !connection.readiness.contains(Readiness::WRITABLE) {
                return;
            }
            let waiting = self.speaker.transmit((id, side));
            let bytes = waiting.get(..waiting.len().min(*budget)).unwrap_or_default();
            if bytes.is_empty() {
                if !waiting.is_empty() || self.has_more(id, side) {
                    self.enqueue(key);
                }
                return;
            }
            match connection.stream.write(bytes) {
                Ok(count) => {
                    *budget = budget.saturating_sub(count);
                    self.speaker.transmitted(now, (id, side), count);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    connection.readiness.remove(Readiness::WRITABLE);
                    return;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // The read side finds the end, and with it what the neighbour
                // may have said last.
                Err(_) => {
                    connection.readiness.remove(Readiness::WRITABLE);
                    connection.readiness |= Readiness::READ_CLOSED;
                    return self.enqueue(key);
                }
            }
        }
    }

    /// Whether the session of this side is established and there are routes
    /// that it has still to tell of.
    fn has_more(&self, id: PeerId, side: Side) -> bool {
        self.speaker.peer(id).is_some_and(|peer| {
            peer.established().is_some_and(|(established, _)| established == side)
                && !peer.is_quiet(self.speaker.table())
        })
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use ipnet::IpNet;

    use super::*;
    use crate::bgp::outbox;
    use crate::bgp::rib::originated::{Owner, Path};
    use crate::bgp::transport::neighbour::WRITE_BUDGET;
    use crate::bgp::transport::testing::{House, LOCAL};
    use crate::reactor::poll::turn;

    /// Originates this many routes, of some 3600 octets each.
    fn originate(house: &mut House, count: u32) {
        let House { reactor, phases } = house;
        phases.0.change(reactor, |speaker| {
            for n in 0..count {
                let path = Path { communities: (n..n + 900).collect(), ..Path::default() };
                let address = IpNet::from(std::net::IpAddr::V4(Ipv4Addr::from(0x0a00_0000 + n)));
                speaker.originate(address, Owner::Announcer, path);
            }
        });
    }

    fn unsent(house: &mut House) -> usize {
        let connections = house.bgp().connections.iter();
        connections.map(|(_, c)| crate::reactor::socket::unsent_bytes(&c.stream).unwrap()).sum()
    }

    /// However much there is to say and however fast it is taken, one turn
    /// writes no more than its budget, and the rest goes on without an event.
    #[test]
    fn a_turn_writes_its_budget_and_the_next_turn_goes_on() {
        let mut house = House::listening(LOCAL);
        let mut router = house.established();
        house.until(|house| house.is_quiet() && unsent(house) == 0);
        const ROUTES: u32 = 500;
        originate(&mut house, ROUTES);
        let (mut heard, mut full_turns) = (0, 0);
        assert!(house.peer().transmit(Side::Incoming).len() <= outbox::LIMIT);
        assert!(house.bgp().has_ready(), "more can be written now");
        while heard < ROUTES {
            if house.bgp().has_ready() {
                // Without a timer that would wake it up.
                turn(&mut house.reactor, &mut house.phases).expect("a turn");
                full_turns += 1;
            } else {
                house.turn();
            }
            let updates = router.updates_read();
            assert!(updates as usize * 3600 <= 2 * WRITE_BUDGET, "{updates} updates in a turn");
            heard += updates;
        }
        assert!(full_turns >= 500 * 3600 / WRITE_BUDGET, "{full_turns}");
        house.until(|house| house.is_quiet());
        assert!(!house.bgp().connections.iter().any(|(_, connection)| connection.queued));
    }

    /// The kernel is full and the neighbour reads nothing: there is nothing to
    /// do until that changes.
    #[test]
    fn a_full_kernel_keeps_nobody_in_the_ready_list() {
        let mut house = House::listening(LOCAL);
        let _router = house.established();
        originate(&mut house, 5000);
        let idle = |house: &mut House| !house.bgp().has_ready();
        house.until(idle);
        assert!(!house.is_quiet(), "there is more to say");
        let sent = house.peer().counters().sent.updates;
        for _ in 0..20 {
            house.turn();
            assert!(!house.bgp().has_ready());
        }
        assert_eq!(house.peer().counters().sent.updates, sent);
    }

    /// Two neighbours, much to say to both: each turn has a part for each.
    #[test]
    fn one_neighbour_does_not_keep_another_waiting() {
        const ROUTES: u64 = 300;
        // What a turn writes, and what it fills the outbox with again.
        const STEP: u64 = 2 * WRITE_BUDGET as u64 / 3600;
        let mut house = House::listening_for_two();
        let mut routers = house.two_established();
        let sent = |house: &mut House| {
            [0, 1].map(|id| {
                let peer = house.phases.0.speaker().peer(PeerId(id)).expect("a neighbour");
                peer.counters().sent.updates
            })
        };
        let mut before = sent(&mut house);
        originate(&mut house, ROUTES as u32);
        while before.iter().any(|count| *count < ROUTES) {
            let now = sent(&mut house);
            for (now, before) in now.iter().zip(before) {
                assert!(now - before <= STEP, "{now} after {before}");
            }
            assert!(now[0].abs_diff(now[1]) <= STEP, "{now:?}");
            before = now;
            for router in &mut routers {
                router.updates_read();
            }
            house.turn();
        }
    }
}
