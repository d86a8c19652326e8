//! Other settings for a data plane that runs: listeners are opened and closed,
//! and everything else holds from the next use on. Connections live on.

use log::info;

use super::listener::Listener;
use super::{ListenerSettings, Proxy, ProxySettings, silences};
use crate::reactor::Reactor;

/// Settings whose new listeners are bound, so that little can go wrong when they
/// are put in force. Dropped, they leave everything as it is.
#[derive(Debug)]
pub struct Prepared {
    settings: ProxySettings,
    opened: Vec<Listener>,
    /// Those that can be bound only when others are closed.
    later: Vec<ListenerSettings>,
}

impl Proxy {
    /// Binds the listeners that `settings` have and that are not there yet.
    /// Those for datagrams stay as they are.
    ///
    /// # Errors
    /// A sentence that names the address and the cause; nothing is changed
    /// then.
    pub fn prepare_change(&self, settings: ProxySettings) -> Result<Prepared, String> {
        let (mut opened, mut later) = (Vec::new(), Vec::new());
        for new in &settings.listeners {
            if self.listeners.iter().any(|(_, listener)| listener.is_for(new)) {
                continue;
            }
            // A socket for all addresses and one for a single address exclude
            // each other on one port.
            let mut going = self.listeners.iter().filter(|(_, listener)| {
                !settings.listeners.iter().any(|settings| listener.is_for(settings))
            });
            match going.any(|(_, listener)| listener.is_on_port(new.address.port())) {
                true => later.push(new.clone()),
                false => opened.push(Listener::bind(new, silences(&settings))?),
            }
        }
        Ok(Prepared { settings, opened, later })
    }

    /// Puts prepared settings in force. Who waits at a listener that is gone is
    /// still taken in.
    ///
    /// Returns what went wrong, a sentence each; the rest is in force.
    pub fn commit_change(&mut self, reactor: &mut Reactor, prepared: Prepared) -> Vec<String> {
        let Prepared { settings, opened, later } = prepared;
        self.take(&settings);
        for key in self.listeners.keys() {
            let Some(listener) = self.listeners.get_mut(key) else { continue };
            let mut all = settings.listeners.iter();
            match all.find(|settings| listener.is_for(settings)) {
                Some(wanted) => {
                    listener.change(wanted, self.silences);
                    self.admission.set_listener_limit(listener.id(), wanted.connection_limit);
                }
                // A port that the settings name is no longer a route's.
                None if listener.is_dynamic() && !settings.name_port(listener.address().port()) => {
                }
                None => {
                    let address = listener.address();
                    self.close_listener(reactor, key);
                    info!("proxy event=not_listening address={address}");
                }
            }
        }
        let late = later.iter().map(|listener| Listener::bind(listener, self.silences));
        let bound: Vec<Result<Listener, String>> = opened.into_iter().map(Ok).chain(late).collect();
        let mut problems = Vec::new();
        for listener in bound {
            let outcome = listener.and_then(|listener| {
                let address = listener.address();
                self.listen(reactor, listener).map(|()| address)
            });
            match outcome {
                Ok(address) => info!("proxy event=listening address={address}"),
                Err(problem) => problems.push(problem),
            }
        }
        self.set_templates(&settings);
        problems
    }
}

#[cfg(test)]
mod tests {
    use std::net::{SocketAddr, TcpListener, TcpStream};
    use std::time::Duration;

    use super::*;

    fn on(address: &str, dual_stack: bool) -> ListenerSettings {
        ListenerSettings { dual_stack, ..ListenerSettings::new(address.parse().unwrap()) }
    }

    fn with(listeners: Vec<ListenerSettings>) -> ProxySettings {
        ProxySettings { listeners, connection_limit: 9, ..ProxySettings::default() }
    }

    fn free_port() -> u16 {
        TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
    }

    struct Lab {
        reactor: Reactor,
        proxy: Proxy,
    }

    impl Lab {
        fn new(listeners: Vec<ListenerSettings>) -> Lab {
            let (mut reactor, mut proxy) = (Reactor::new().unwrap(), Proxy::new(0));
            proxy.bind(&mut reactor, &with(listeners)).unwrap();
            Lab { reactor, proxy }
        }

        fn change(&mut self, settings: ProxySettings) -> Vec<SocketAddr> {
            let prepared = self.proxy.prepare_change(settings).unwrap();
            let problems = self.proxy.commit_change(&mut self.reactor, prepared);
            assert!(problems.is_empty(), "{problems:?}");
            self.proxy.listening_on()
        }
    }

    #[test]
    fn listeners_come_and_go_and_who_waits_is_taken_in() {
        let mut lab = Lab::new(vec![on("127.0.0.1:0", false)]);
        let first = lab.proxy.listening_on()[0];
        let both = vec![on("127.0.0.1:0", false), on("[::1]:0", false)];
        let now = lab.change(with(both));
        assert_eq!((now.len(), now[0]), (2, first), "one that stays is not bound again");
        let waiting = TcpStream::connect(first).unwrap();
        assert_eq!(lab.change(with(vec![on("[::1]:0", false)])), [now[1]]);
        assert_eq!(lab.proxy.connections(), 1);
        assert!(TcpStream::connect(first).is_err());
        drop(waiting);
    }

    #[test]
    fn one_that_cannot_be_bound_changes_nothing() {
        let lab = Lab::new(vec![on("127.0.0.1:0", false)]);
        let before = lab.proxy.listening_on();
        let taken = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = taken.local_addr().unwrap().to_string();
        let settings = with(vec![on("[::1]:0", false), on(&address, false)]);
        let problem = lab.proxy.prepare_change(settings).unwrap_err();
        assert!(problem.contains(&address), "{problem}");
        assert_eq!(lab.proxy.listening_on(), before);
    }

    /// All addresses, one address, both families: one port each time.
    #[test]
    fn a_port_changes_hands() {
        let port = free_port();
        let (any, one) = (format!("0.0.0.0:{port}"), format!("127.0.0.1:{port}"));
        let mut lab = Lab::new(vec![on(&any, false)]);
        for next in [on(&one, false), on(&format!("[::]:{port}"), true), on(&any, false)] {
            let address = next.address;
            assert_eq!(lab.change(with(vec![next])), [address]);
            TcpStream::connect(("127.0.0.1", port)).unwrap();
        }
    }

    #[test]
    fn what_else_changes_holds_from_the_next_use_on() {
        let mut lab = Lab::new(vec![on("127.0.0.1:0", false)]);
        let mut listener = on("127.0.0.1:0", false);
        listener.read_timeout = Duration::from_secs(3);
        let mut settings = with(vec![listener]);
        (settings.idle_timeout, settings.connection_limit) = (Duration::from_secs(4), 5);
        lab.change(settings);
        let limits = lab.proxy.listeners.iter().next().unwrap().1.limits();
        assert_eq!((limits.read, limits.idle), (Duration::from_secs(3), Duration::from_secs(4)));
        assert_eq!(lab.proxy.connection_limit(), 5);
    }
}
