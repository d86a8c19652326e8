//! The door of this room: does over rtnetlink what [`Vip`] says, at once.

use std::io;
use std::net::IpAddr;

use log::{error, info};

use super::{Action, Outcome, Vip};
use crate::reactor::datagram::interface_index;
use crate::reactor::log_sink::quoted;
use crate::reactor::netlink::{Added, Netlink};
use crate::reactor::timer_wheel::Alarm;
use crate::reactor::{Reactor, Time, Token};

/// The addresses of one interface.
#[derive(Debug)]
pub struct Door {
    vip: Vip,
    netlink: Netlink,
    interface: String,
    token: Token,
    alarm: Alarm,
    fired: bool,
}

impl Door {
    /// A door to the interface of this name, which need not be there yet. Its
    /// timer will fire as `token`; for the others see [`Vip::new`].
    ///
    /// # Errors
    /// A sentence, when there is no socket to be had.
    pub fn open(
        reactor: &mut Reactor,
        interface: &str,
        token: Token,
        restored: impl IntoIterator<Item = IpAddr>,
        at: Time,
    ) -> Result<Door, String> {
        let netlink =
            Netlink::new().map_err(|error| format!("bgp.vip: cannot ask the kernel: {error}"))?;
        let interface = interface.to_owned();
        let vip = Vip::new(restored, at);
        let mut door = Door { vip, netlink, interface, token, alarm: Alarm::new(), fired: false };
        door.serve(reactor);
        Ok(door)
    }

    /// The address is about to be announced; when this returns it is on the
    /// host, or [`Vip::problem`] says why not. Said again, it changes nothing.
    pub fn want(&mut self, reactor: &mut Reactor, address: IpAddr) {
        // Who still uses the others is not known here.
        self.vip.spare(reactor.now(), |_| true);
        self.vip.want(reactor.now(), address);
        self.serve(reactor);
    }

    /// See [`Vip::release`]. Not even one that may go at once is gone when this
    /// returns: its withdrawal is to be sent first.
    pub fn release(&mut self, reactor: &mut Reactor, address: IpAddr, at: Time) {
        self.vip.release(address, at);
        self.alarm.set(&mut reactor.wheel, self.token, self.vip.deadline());
    }

    /// All that are ours go now: the end of the process.
    pub fn remove_all(&mut self, reactor: &mut Reactor) {
        self.vip.remove_all();
        self.serve(reactor);
    }

    /// What is ours, and what is wrong. The record for the next life is to be
    /// written when [`Vip::ours`] changes.
    pub fn vip(&self) -> &Vip {
        &self.vip
    }

    /// The name of the interface.
    pub fn interface(&self) -> &str {
        &self.interface
    }

    /// Phase 2: its timer fired.
    pub fn expired(&mut self, token: Token) {
        if token == self.token {
            self.alarm.fired();
            self.fired = true;
        }
    }

    /// Phase 3: what is due. Addresses that are `used` stay; see [`Vip::spare`].
    pub fn control(&mut self, reactor: &mut Reactor, used: impl Fn(IpAddr) -> bool) {
        if std::mem::take(&mut self.fired) {
            self.vip.spare(reactor.now(), used);
            self.serve(reactor);
        }
    }

    fn serve(&mut self, reactor: &mut Reactor) {
        let now = reactor.now();
        while let Some(action) = self.vip.next(now) {
            let outcome = self.execute(action);
            let problem = outcome.problem.clone();
            let changed = outcome.changed;
            if self.vip.done(now, action, outcome) {
                self.tell(action, changed, problem);
            }
        }
        self.alarm.set(&mut reactor.wheel, self.token, self.vip.deadline());
    }

    fn execute(&mut self, action: Action) -> Outcome {
        let done = match action {
            Action::Add(address) => self.add(address),
            Action::Remove(address) => self.remove(address),
        };
        done.unwrap_or_else(|error| Outcome { changed: false, problem: Some(error.to_string()) })
    }

    fn add(&mut self, address: IpAddr) -> io::Result<Outcome> {
        let index = self.index()?;
        let changed = self.netlink.add_address(index, address)? == Added::New;
        let is_up = self.netlink.is_up(index)?;
        let interface = &self.interface;
        let problem = (!is_up)
            .then(|| format!("{interface} is down; `ip link set {interface} up` switches it on"));
        Ok(Outcome { changed, problem })
    }

    fn remove(&mut self, address: IpAddr) -> io::Result<Outcome> {
        let changed = match self.index() {
            // Its addresses went with it.
            Err(error) if error.kind() == io::ErrorKind::NotFound => false,
            index => self.netlink.remove_address(index?, address)?,
        };
        Ok(Outcome { changed, problem: None })
    }

    /// Asked for each time, because an interface that was taken away and made
    /// again has another one.
    fn index(&self) -> io::Result<u32> {
        interface_index(&self.interface).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => {
                let text = format!("there is no interface {}", self.interface);
                io::Error::new(io::ErrorKind::NotFound, text)
            }
            _ => error,
        })
    }

    fn tell(&self, action: Action, changed: bool, problem: Option<String>) {
        let (verb, address) = match action {
            Action::Add(address) => ("add", address),
            Action::Remove(address) => ("remove", address),
        };
        let interface = &self.interface;
        if let Some(problem) = problem {
            let problem = quoted(problem);
            error!(
                "vip event=failed action={verb} address={address} interface={interface} \
                 error={problem}"
            );
            return;
        }
        let event = match (action, changed) {
            (Action::Add(_), true) => "added",
            (Action::Add(_), false) if self.vip.is_ours(address) => "kept",
            (Action::Add(_), false) => "was_there",
            (Action::Remove(_), true) => "removed",
            (Action::Remove(_), false) => "was_gone",
        };
        info!("vip event={event} address={address} interface={interface}");
    }
}

/// What is wrong with serving an address that nobody puts on the host for us:
/// a sentence, if packets to it do not stay here. `None` also if that cannot be
/// found out.
pub fn problem_on_host(address: IpAddr) -> Option<String> {
    let is_local = Netlink::new().and_then(|mut netlink| netlink.is_local(address));
    matches!(is_local, Ok(false)).then(|| {
        format!(
            "{address} is not an address of this host, so nobody here answers for it; \
             add it to an interface, or set bgp.vip"
        )
    })
}
