//! The targets of all routes, in fabio's words.

use crate::admin::Slice;
use crate::admin::view::RouteView;
use crate::route::listing::Order;
use crate::route::{Route, Source, Table, Target};

/// See [`crate::admin::House::routes`].
pub(super) fn views(table: &Table, from: u64, most: usize) -> Slice<RouteView> {
    let show = |route: &Route, target: &Target| Some(view(route, target));
    let (items, next) = table.list(Order::Hosts, from, most, show);
    Slice { items, next }
}

/// See [`crate::admin::House::route_commands`].
pub(super) fn commands(table: &Table, from: u64, most: usize) -> Slice<String> {
    let show = |route: &Route, target: &Target| {
        (target.slots > 0).then(|| route.command(target).to_string())
    };
    let (items, next) = table.list(Order::Sorted, from, most, show);
    Slice { items, next }
}

fn view(route: &Route, target: &Target) -> RouteView {
    let source = route.source();
    let (host, path) = source.host_and_path();
    // As the source is written: the scheme of the target says the rest.
    let path = if matches!(source, Source::UdpAddress(_)) { "/" } else { path };
    RouteView {
        service: target.service.to_string(),
        host: host.to_string(),
        path: path.to_owned(),
        src: source.to_string(),
        dst: target.destination.to_string(),
        opts: target.options.to_string(),
        cmd: "route add".to_owned(),
        tags: target.tags.clone(),
        weight: target.share,
        ..RouteView::default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::registry::static_routes;

    const ROUTES: &str = "route add web www.test/a http://192.0.2.1:80/ weight 0.25 \
        tags \"a,b\" opts \"strip=/a proto=tcp x\"\n\
        route add web www.test/a http://192.0.2.2:80/?t=1\n\
        route add dns :53 udp://192.0.2.3:53\n\
        route add dns 198.51.100.1:53 udp://192.0.2.3:53\n\
        route add api :443 tcp://192.0.2.4:443 weight 1\n\
        route add api :443 tcp://192.0.2.5:443";

    #[test]
    fn every_field_is_fabios() {
        let table = static_routes::load(ROUTES).table;
        let all = views(&table, 0, 100);
        assert_eq!(all.next, None);
        let short: Vec<_> = all.items.iter().map(|it| (&*it.src, &*it.host, &*it.path)).collect();
        let expected = [
            ("198.51.100.1:53/", "198.51.100.1:53", "/"),
            (":443", ":443", ""),
            (":443", ":443", ""),
            (":53/udp", ":53", "/udp"),
            ("www.test/a", "www.test", "/a"),
            ("www.test/a", "www.test", "/a"),
        ];
        assert_eq!(short, expected);
        let web = RouteView {
            service: "web".into(),
            host: "www.test".into(),
            path: "/a".into(),
            src: "www.test/a".into(),
            dst: "http://192.0.2.1:80/".into(),
            opts: "proto=tcp strip=/a x=".into(),
            cmd: "route add".into(),
            tags: vec!["a".into(), "b".into()],
            weight: 0.25,
            rate1: 0.0,
            pct99: 0.0,
        };
        assert_eq!(all.items[4], web);
        let other = &all.items[5];
        assert_eq!((other.weight, &*other.dst), (0.75, "http://192.0.2.2:80/?t=1"));
        assert!(other.tags.is_empty() && other.opts.is_empty());
        assert_eq!(all.items[2].weight, 0.0, "told, though it gets nothing");
    }

    #[test]
    fn the_commands_make_the_same_table() {
        let table = static_routes::load(ROUTES).table;
        let (mut text, mut next) = (String::new(), Some(0));
        while let Some(from) = next {
            let slice = commands(&table, from, 2);
            text += &slice.items.concat();
            next = slice.next;
        }
        assert_eq!(text, table.to_string());
        assert_eq!(text.lines().count(), 5, "one gets no traffic");
        assert_eq!(static_routes::load(&text).table.to_string(), text);
    }
}
