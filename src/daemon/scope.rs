//! What an anycast prefix depends on: which listeners take its traffic, and
//! whose targets serve it.

use std::collections::BTreeSet;
use std::net::{IpAddr, SocketAddr};
use std::rc::Rc;

use ipnet::IpNet;

use crate::config::{ListenerConfig, Protocol};
use crate::route::{Route, Table};

/// What one prefix depends on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scope {
    /// The places of its listeners in the configuration.
    pub(super) listeners: Vec<usize>,
    /// The services of the routes that its address serves; `None`: all there
    /// are.
    pub(super) services: Option<Vec<Rc<str>>>,
}

impl Scope {
    /// The listeners of a prefix are those on an address in it, and those on all
    /// addresses of its family. Where there is neither, its traffic comes in some
    /// other way, and all count.
    ///
    /// What its address serves is known of a prefix of one address whose
    /// listeners have one route each. With any other listener it is everything.
    pub(super) fn of(prefix: &IpNet, listeners: &[ListenerConfig], table: &Table) -> Scope {
        let takes = |it: &ListenerConfig| takes_traffic(it, prefix);
        let own: Vec<usize> = places(listeners, takes).collect();
        if own.is_empty() {
            return Scope { listeners: places(listeners, |_| true).collect(), services: None };
        }
        let is_host = prefix.prefix_len() == prefix.max_prefix_len();
        let mut services = BTreeSet::new();
        for listener in own.iter().filter_map(|&place| listeners.get(place)) {
            let local = SocketAddr::new(prefix.addr(), listener.address.port());
            let route = match listener.protocol {
                _ if !is_host => return Scope { listeners: own, services: None },
                Protocol::Tcp => table.lookup_address(local),
                Protocol::Udp { .. } => table.lookup_udp(local),
                Protocol::TcpSni { .. } | Protocol::TcpDynamic => {
                    return Scope { listeners: own, services: None };
                }
            };
            // Thousands of targets of one service follow one another.
            let mut last = None;
            for name in route.into_iter().flat_map(Route::targets).map(|it| &it.service) {
                if last.replace(name) != Some(name) {
                    services.insert(name);
                }
            }
        }
        let services = services.into_iter().map(Rc::clone).collect();
        Scope { listeners: own, services: Some(services) }
    }
}

fn places(
    listeners: &[ListenerConfig],
    is_one: impl Fn(&ListenerConfig) -> bool,
) -> impl Iterator<Item = usize> {
    (0..).zip(listeners).filter(move |(_, it)| is_one(it)).map(|(place, _)| place)
}

fn takes_traffic(listener: &ListenerConfig, prefix: &IpNet) -> bool {
    match listener.address.ip() {
        IpAddr::V4(address) if address.is_unspecified() => prefix.addr().is_ipv4(),
        IpAddr::V6(address) if address.is_unspecified() => {
            listener.dual_stack || prefix.addr().is_ipv6()
        }
        address => prefix.contains(&address.to_canonical()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config;
    use crate::registry::static_routes;

    fn listeners(text: &str) -> Vec<ListenerConfig> {
        let read = |_: &str| Err(std::io::Error::from(std::io::ErrorKind::NotFound));
        let loaded = config::load(&[format!("-proxy.addr={text}")], &[], &read).unwrap();
        loaded.config.proxy.listeners
    }

    fn scope(prefix: &str, addresses: &str, routes: &str) -> (Vec<usize>, Option<Vec<String>>) {
        let table = static_routes::load(routes).table;
        let scope = Scope::of(&prefix.parse().unwrap(), &listeners(addresses), &table);
        let names = |services: Vec<Rc<str>>| services.iter().map(|it| it.to_string()).collect();
        (scope.listeners, scope.services.map(names))
    }

    fn services(names: &[&str]) -> Option<Vec<String>> {
        Some(names.iter().map(|name| name.to_string()).collect())
    }

    const ROUTES: &str = "route add web :80 tcp://192.0.2.1:8080\n\
        route add vip 198.51.100.1:80 tcp://192.0.2.2:8080\n\
        route add api :443 tcp://192.0.2.3:8443\n\
        route add dns :53 udp://192.0.2.4:53\n\
        route add sni name.example/ tcp://192.0.2.5:443";

    #[test]
    fn a_listener_on_all_addresses_serves_each_prefix_of_its_family() {
        let both = ":80;proto=tcp";
        assert_eq!(scope("198.51.100.2/32", both, ROUTES), (vec![0], services(&["web"])));
        assert_eq!(scope("2001:db8::1/128", both, ROUTES), (vec![0], services(&["web"])));
        let ipv4 = "0.0.0.0:80;proto=tcp,[::]:443;proto=tcp";
        assert_eq!(scope("198.51.100.2/32", ipv4, ROUTES), (vec![0], services(&["web"])));
        assert_eq!(scope("2001:db8::1/128", ipv4, ROUTES), (vec![1], services(&["api"])));
    }

    #[test]
    fn the_route_of_its_own_address_goes_before() {
        assert_eq!(
            scope("198.51.100.1/32", ":80;proto=tcp", ROUTES),
            (vec![0], services(&["vip"]))
        );
        let several =
            ":80;proto=tcp,198.51.100.1:443;proto=tcp,:53;proto=udp,10.0.0.1:443;proto=tcp";
        let all = services(&["api", "dns", "vip"]);
        assert_eq!(scope("198.51.100.1/32", several, ROUTES), (vec![0, 1, 2], all));
    }

    #[test]
    fn without_a_route_nothing_serves_it() {
        assert_eq!(scope("198.51.100.1/32", ":81;proto=tcp", ROUTES), (vec![0], services(&[])));
    }

    #[test]
    fn where_the_address_does_not_say_it_all_it_depends_on_everything() {
        let name = "198.51.100.1:80;proto=tcp,198.51.100.1:443;proto=tcp+sni";
        assert_eq!(scope("198.51.100.1/32", name, ROUTES), (vec![0, 1], None));
        assert_eq!(scope("198.51.100.0/24", ":80;proto=tcp", ROUTES), (vec![0], None));
        let elsewhere = "127.0.0.1:80;proto=tcp,127.0.0.1:443;proto=tcp";
        assert_eq!(scope("198.51.100.1/32", elsewhere, ROUTES), (vec![0, 1], None));
        assert_eq!(scope("198.51.100.1/32", "", ROUTES), (vec![], None));
    }
}
