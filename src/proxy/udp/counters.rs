//! What is counted of datagrams, and what the log says of those that were lost.

use std::time::Duration;

use log::warn;

use crate::reactor::Time;

/// Time between two log lines about what was lost.
const LOG_INTERVAL: Duration = Duration::from_secs(1);

/// What happened since the start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct UdpCounters {
    /// Datagrams passed from clients to targets.
    pub datagrams_up: u64,
    /// Octets of them.
    pub bytes_up: u64,
    /// Datagrams passed from targets to clients.
    pub datagrams_down: u64,
    /// Octets of them.
    pub bytes_down: u64,
    /// Flows that began.
    pub flows: u64,
    /// Flows that were over after their idle time.
    pub expired: u64,
    /// Flows that gave way at a limit of flows, descriptors or ports.
    pub gave_way: u64,
    /// Flows that went on with another target.
    pub moved: u64,
    /// Times that a flow's target said that nobody listens, or could not be
    /// reached.
    pub refused: u64,
    /// Datagrams of clients dropped because their listener has no route.
    pub no_route: u64,
    /// Datagrams of clients dropped because no target lets them in.
    pub denied: u64,
    /// Datagrams of clients dropped because no target was left to try.
    pub no_target: u64,
    /// Datagrams of clients dropped because this machine had no descriptor,
    /// memory or port for a flow.
    pub exhausted: u64,
    /// Datagrams of clients that were sent to a group, from port 0, or in our
    /// own name.
    pub misaddressed: u64,
    /// Datagrams that were longer than any may be.
    pub truncated: u64,
    /// Datagrams of clients that the kernel did not take towards the target.
    pub lost_up: u64,
    /// Answers that the kernel did not take towards the client.
    pub lost_down: u64,
    /// Panics that were caught; each cost its one flow.
    pub panics: u64,
}

impl UdpCounters {
    /// Datagrams that did not arrive, for whatever reason.
    pub fn lost(&self) -> u64 {
        [
            self.no_route,
            self.denied,
            self.no_target,
            self.exhausted,
            self.misaddressed,
            self.truncated,
            self.lost_up,
            self.lost_down,
        ]
        .into_iter()
        .fold(0, u64::saturating_add)
    }
}

/// What the log was told of already.
#[derive(Debug, Default)]
pub(super) struct Told {
    counters: UdpCounters,
    next: Time,
}

impl Told {
    /// Says what was lost since the last time, at most once in [`LOG_INTERVAL`].
    pub(super) fn tell(&mut self, now: Time, counters: &UdpCounters, flows: usize, limit: usize) {
        let told = &self.counters;
        let lost = counters.lost().saturating_sub(told.lost());
        let gave_way = counters.gave_way.saturating_sub(told.gave_way);
        if now < self.next || (lost == 0 && gave_way == 0) {
            return;
        }
        warn!(
            "udp event=lost datagrams={lost} no_route={} denied={} no_target={} exhausted={} up={} down={} \
             gave_way={gave_way} flows={flows} limit={limit}",
            counters.no_route.saturating_sub(told.no_route),
            counters.denied.saturating_sub(told.denied),
            counters.no_target.saturating_sub(told.no_target),
            counters.exhausted.saturating_sub(told.exhausted),
            counters.lost_up.saturating_sub(told.lost_up),
            counters.lost_down.saturating_sub(told.lost_down),
        );
        self.counters = *counters;
        self.next = now + LOG_INTERVAL;
    }
}
