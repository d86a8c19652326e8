//! What is counted of the process as a whole.

use super::count;
use crate::admin::Moment;
use crate::admin::view::{Counts, Measures, PoolMeasure, Usage};
use crate::bgp::transport::Transport;
use crate::daemon::Daemon;
use crate::proxy::udp::UdpCounters;
use crate::proxy::{Counters, Lent};
use crate::reactor::{clock, log_sink, memory, signal};

impl Daemon {
    /// See [`crate::admin::House::measures`].
    pub(super) fn tell_measures(&self, at: &Moment) -> Measures {
        let flows = self.proxy.flows();
        let (done, failed) = self.tally.reloads();
        let [resolved, unresolved, pending] = self.switchboard.answers.tally().map(count);
        let streams = stream_measures(self.proxy.counters());
        Measures {
            usage: usage(),
            connections: count(self.proxy.streams()),
            connection_limit: count(self.proxy.connection_limit()),
            flows: count(flows.count),
            flow_limit: count(flows.limit),
            pools: self.pools(),
            routes: count(self.switchboard.table().routes().len()),
            tables: self.switchboard.tables(),
            reloads: vec![("done", done), ("failed", failed)],
            names: vec![("resolved", resolved), ("failed", unresolved), ("pending", pending)],
            bgp_strangers: self.bgp.as_ref().map_or(0, Transport::strangers),
            bfd_discarded: self.bfd.discarded().map(|(why, n)| (why.name(), n)).collect(),
            panics: self.panics_by_room(at),
            lines_dropped: vec![
                ("log", log_sink::dropped()),
                ("access", self.proxy.access_lines_dropped()),
            ],
            ..datagram_measures(streams, self.proxy.udp_counters())
        }
    }

    fn pools(&self) -> Vec<PoolMeasure> {
        let pool = |name, Lent { count: lent, limit }: Lent| PoolMeasure {
            name,
            lent: count(lent),
            limit: count(limit),
        };
        let small = self.tally.small_buffers().map(|lent| pool("small", lent));
        let large = pool("large", self.proxy.large_buffers());
        small.into_iter().chain([large, pool("pipes", self.proxy.pipes())]).collect()
    }

    fn panics_by_room(&self, at: &Moment) -> Counts {
        vec![
            ("bgp", self.bgp.as_ref().map_or(0, Transport::panics)),
            ("bfd", self.bfd.panics()),
            ("proxy", self.proxy.panics()),
            ("names", self.resolver.panics()),
            ("admin", at.panics),
        ]
    }
}

/// What the kernel says of us. We are one thread.
fn usage() -> Usage {
    Usage {
        cpu: Some(clock::thread_cpu()),
        resident: memory::resident(),
        descriptors: signal::open_descriptors(),
        descriptor_limit: Some(signal::descriptor_limit()),
    }
}

fn stream_measures(counters: &Counters) -> Measures {
    let Counters {
        accepted,
        limit_reached,
        accept_errors,
        no_route,
        no_target,
        denied,
        service_limit,
        source_limit,
        no_header,
        no_hello,
        target_removed,
        dial_failures,
        dials_exhausted,
        silent,
        resets,
        panics: _,
        bytes_up,
        bytes_down,
    } = *counters;
    Measures {
        accepted,
        accept_failures: vec![("limit", limit_reached), ("error", accept_errors)],
        refused: vec![
            ("no-route", no_route),
            ("no-target", no_target),
            ("denied", denied),
            ("service-limit", service_limit),
            ("source-limit", source_limit),
            ("no-header", no_header),
            ("no-hello", no_hello),
        ],
        cut: vec![("silent", silent), ("reset", resets), ("target-removed", target_removed)],
        dial_failures: vec![("target", dial_failures), ("exhausted", dials_exhausted)],
        bytes_up,
        bytes_down,
        ..Measures::default()
    }
}

fn datagram_measures(streams: Measures, counters: &UdpCounters) -> Measures {
    let UdpCounters {
        datagrams_up,
        bytes_up,
        datagrams_down,
        bytes_down,
        flows,
        expired: _,
        gave_way,
        moved,
        refused,
        no_route,
        denied,
        no_target,
        exhausted,
        misaddressed,
        truncated,
        lost_up,
        lost_down,
        panics: _,
    } = *counters;
    Measures {
        flows_begun: flows,
        flow_troubles: vec![("gave-way", gave_way), ("moved", moved), ("refused", refused)],
        datagrams_up,
        datagrams_down,
        datagram_bytes_up: bytes_up,
        datagram_bytes_down: bytes_down,
        datagrams_lost: vec![
            ("no-route", no_route),
            ("no-target", no_target),
            ("denied", denied),
            ("exhausted", exhausted),
            ("misaddressed", misaddressed),
            ("truncated", truncated),
            ("not-sent-up", lost_up),
            ("not-sent-down", lost_down),
        ],
        ..streams
    }
}

#[cfg(test)]
mod tests {
    use super::super::testing::Lab;
    use super::*;

    #[test]
    fn every_count_has_its_place_and_every_loss_its_reason() {
        let counters = UdpCounters {
            no_route: 1,
            denied: 2,
            no_target: 4,
            exhausted: 8,
            misaddressed: 16,
            truncated: 32,
            lost_up: 64,
            lost_down: 128,
            bytes_up: 5,
            ..UdpCounters::default()
        };
        let streams = stream_measures(&Counters { bytes_up: 7, denied: 3, ..Counters::default() });
        let measures = datagram_measures(streams, &counters);
        let lost: u64 = measures.datagrams_lost.iter().map(|(_, n)| n).sum();
        assert_eq!(lost, counters.lost());
        assert_eq!((measures.bytes_up, measures.datagram_bytes_up), (7, 5));
        assert!(measures.refused.contains(&("denied", 3)));
    }

    #[test]
    fn the_kernel_says_what_we_use() {
        let usage = usage();
        assert!(usage.cpu.is_some_and(|cpu| !cpu.is_zero()));
        assert!(usage.resident.is_some_and(|octets| octets > 1 << 20));
        let (open, limit) = (usage.descriptors, usage.descriptor_limit);
        assert!(open.is_none_or(|open| open >= 3 && Some(open) <= limit));
    }

    #[test]
    fn what_the_rooms_count_is_told() {
        let mut lab = Lab::new(
            "proxy.addr = 127.0.0.1:0;proto=tcp\n\
             registry.static.routes = route add a :1 tcp://192.0.2.1:1\n",
        );
        lab.turn();
        let address = lab.daemon.listening_on()[0];
        let client = std::net::TcpStream::connect(address).expect("it listens");
        lab.until(|lab| lab.daemon.tell_measures(&lab.moment()).refused.contains(&("no-route", 1)));
        let measures = lab.daemon.tell_measures(&lab.moment());
        assert_eq!((measures.accepted, measures.routes, measures.tables), (1, 1, 1));
        assert_eq!(measures.reloads, [("done", 0), ("failed", 0)]);
        let pools: Vec<(&str, bool)> =
            measures.pools.iter().map(|it| (it.name, it.lent <= it.limit)).collect();
        assert_eq!(pools, [("small", true), ("large", true), ("pipes", true)]);
        assert_eq!(measures.bfd_discarded.len(), 11);
        let panics: u64 = measures.panics.iter().map(|(_, n)| n).sum();
        assert_eq!(panics, lab.daemon.panics());
        assert!(measures.connection_limit > 0 && measures.flow_limit == 0);
        drop(client);
    }
}
