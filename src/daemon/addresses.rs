//! When an anycast address is put on the host and taken away again
//! (`bgp.vip`).

use std::net::IpAddr;

use ipnet::IpNet;
use log::{error, warn};

use super::{Daemon, VIP_TIMER, settings};
use crate::announce::Vip as VipRecord;
use crate::reactor::log_sink::quoted;
use crate::reactor::{Reactor, Time};
use crate::vip::{Door, problem_on_host};

/// The address of a prefix that is one.
fn host(prefix: IpNet) -> Option<IpAddr> {
    (prefix.prefix_len() == prefix.max_prefix_len()).then(|| prefix.addr())
}

impl Daemon {
    /// Opens the door to the interface, with the addresses that a former life
    /// left there.
    pub(super) fn open_vip(&mut self, reactor: &mut Reactor, restored: &[VipRecord]) {
        let interface = self.config.bgp.vip.clone().filter(|_| self.config.bgp.enabled);
        for left in restored.iter().filter(|left| interface.as_ref() != Some(&left.interface)) {
            warn!(
                "vip event=left address={} interface={} reason=\"bgp.vip is another one now\"",
                left.address,
                quoted(&left.interface)
            );
        }
        let Some(interface) = interface else { return };
        let ours = restored.iter().filter(|left| left.interface == interface);
        let ours = ours.map(|left| left.address);
        let at = self.release_time(reactor.now());
        match Door::open(reactor, &interface, VIP_TIMER, ours, at) {
            Ok(door) => self.vip = Some(door),
            Err(problem) => error!("vip event=failed error={}", quoted(problem)),
        }
    }

    /// Whoever answers for an anycast address has to have it. Where that is not
    /// our business, somebody has to be told.
    pub(super) fn warn_of_missing_addresses(&self) {
        if self.vip.is_some() || !self.config.bgp.enabled {
            return;
        }
        for address in settings::hosts(&self.config.bgp) {
            if let Some(problem) = problem_on_host(address) {
                warn!("vip event=missing address={address} problem={}", quoted(problem));
            }
        }
    }

    /// The prefix is about to be announced.
    pub(super) fn put_on_host(&mut self, reactor: &mut Reactor, prefix: IpNet) {
        if let (Some(door), Some(address)) = (&mut self.vip, host(prefix)) {
            door.want(reactor, address);
        }
    }

    /// The prefix was withdrawn. Its address stays for those who still use it.
    pub(super) fn take_from_host(&mut self, reactor: &mut Reactor, prefix: IpNet) {
        let at = self.release_time(reactor.now());
        if let (Some(door), Some(address)) = (&mut self.vip, host(prefix)) {
            door.release(reactor, address, at);
        }
    }

    /// The end of a planned stop: nobody is served any more.
    pub(super) fn take_all_from_host(&mut self, reactor: &mut Reactor) {
        if let Some(door) = &mut self.vip {
            door.remove_all(reactor);
        }
    }

    /// The addresses that we put there, for the next life.
    pub(super) fn vip_records(&self) -> Vec<VipRecord> {
        let record = |door: &Door| {
            let interface = door.interface().to_owned();
            let of = |address| VipRecord { address, interface: interface.clone() };
            door.vip().ours().map(of).collect()
        };
        self.vip.as_ref().map(record).unwrap_or_default()
    }

    /// When an address that is withdrawn now is used by nobody any more: the
    /// network has converged, and connections have had as long as in a stop.
    fn release_time(&self, now: Time) -> Time {
        let proxy = &self.config.proxy;
        now + proxy.deregister_grace_period + proxy.shutdown_wait
    }
}
