//! `/api/config`: the settings in force in the shape of fabio's answer, whose
//! names are those of its Go structures and whose durations are nanoseconds.
//!
//! What fabio has and burgee does not act on is left out, for it is not in
//! force. What fabio does not have is under `Burgee`, by key and as text.

use serde_json::{Map, Value as Json, json};

use crate::config::{InForce, Value};

/// Where a key of fabio is in its answer; the parts of a path are nested.
const PLACES: [(&str, &str); 61] = [
    ("log.access.format", "Log.AccessFormat"),
    ("log.access.target", "Log.AccessTarget"),
    ("log.level", "Log.Level"),
    ("log.routes.format", "Log.RoutesFormat"),
    ("bgp.asn", "BGP.Asn"),
    ("bgp.enabled", "BGP.BGPEnabled"),
    ("bgp.enablegrpc", "BGP.EnableGRPC"),
    ("bgp.gobgpdcfgfile", "BGP.GOBGPDCfgFile"),
    ("bgp.grpclistenaddress", "BGP.GRPCListenAddress"),
    ("bgp.listenaddresses", "BGP.ListenAddresses"),
    ("bgp.listenport", "BGP.ListenPort"),
    ("bgp.nexthop", "BGP.NextHop"),
    ("bgp.routerid", "BGP.RouterID"),
    ("ui.access", "UI.Access"),
    ("ui.color", "UI.Color"),
    ("ui.path", "UI.Path"),
    ("ui.title", "UI.Title"),
    ("registry.backend", "Registry.Backend"),
    ("registry.retry", "Registry.Retry"),
    ("registry.timeout", "Registry.Timeout"),
    ("registry.static.noroutehtml", "Registry.Static.NoRouteHTML"),
    ("registry.static.routes", "Registry.Static.Routes"),
    ("registry.file.noroutehtmlpath", "Registry.File.NoRouteHTMLPath"),
    ("registry.file.path", "Registry.File.RoutesPath"),
    ("registry.consul.addr", "Registry.Consul.Addr"),
    ("registry.consul.kvpath", "Registry.Consul.KVPath"),
    ("registry.consul.pollinterval", "Registry.Consul.PollInterval"),
    ("registry.consul.tagprefix", "Registry.Consul.TagPrefix"),
    ("registry.consul.token", "Registry.Consul.Token"),
    ("proxy.deregistergraceperiod", "Proxy.DeregisterGracePeriod"),
    ("proxy.dialtimeout", "Proxy.DialTimeout"),
    ("proxy.flushinterval", "Proxy.FlushInterval"),
    ("proxy.globalflushinterval", "Proxy.GlobalFlushInterval"),
    ("proxy.grpcmaxrxmsgsize", "Proxy.GRPCMaxRxMsgSize"),
    ("proxy.grpcmaxtxmsgsize", "Proxy.GRPCMaxTxMsgSize"),
    ("proxy.grpcshutdowntimeout", "Proxy.GRPCGShutdownTimeout"),
    ("proxy.gzip.contenttype", "Proxy.GZIPContentTypes"),
    ("proxy.header.clientip", "Proxy.ClientIPHeader"),
    ("proxy.header.requestid", "Proxy.RequestID"),
    ("proxy.header.sts.maxage", "Proxy.STSHeader.MaxAge"),
    ("proxy.header.sts.preload", "Proxy.STSHeader.Preload"),
    ("proxy.header.sts.subdomains", "Proxy.STSHeader.Subdomains"),
    ("proxy.header.tls", "Proxy.TLSHeader"),
    ("proxy.header.tls.value", "Proxy.TLSHeaderValue"),
    ("proxy.idleconntimeout", "Proxy.IdleConnTimeout"),
    ("proxy.keepalivetimeout", "Proxy.KeepAliveTimeout"),
    ("proxy.localip", "Proxy.LocalIP"),
    ("proxy.matcher", "Proxy.Matcher"),
    ("proxy.maxconn", "Proxy.MaxConn"),
    ("proxy.noroutestatus", "Proxy.NoRouteStatus"),
    ("proxy.responseheadertimeout", "Proxy.ResponseHeaderTimeout"),
    ("proxy.shutdownwait", "Proxy.ShutdownWait"),
    ("proxy.strategy", "Proxy.Strategy"),
    ("metrics.interval", "Metrics.Interval"),
    ("metrics.prefix", "Metrics.Prefix"),
    ("metrics.prometheus.buckets", "Metrics.Prometheus.Buckets"),
    ("metrics.prometheus.path", "Metrics.Prometheus.Path"),
    ("metrics.prometheus.subsystem", "Metrics.Prometheus.Subsystem"),
    ("metrics.target", "Metrics.Target"),
    ("glob.cache.size", "GlobCacheSize"),
    ("glob.matching.disabled", "GlobMatchingDisabled"),
];

/// The keys of fabio whose values are maps, and where they are.
const MAPS: [(&str, &str); 4] = [
    ("proxy.addr", "Listen"),
    ("ui.addr", "UI.Listen"),
    ("bgp.anycastaddresses", "BGP.AnycastAddresses"),
    ("bgp.peers", "BGP.Peers"),
];

/// Whole settings as JSON, without any secret.
pub(super) fn tree(settings: &[InForce]) -> Json {
    let mut root = Json::Object(Map::new());
    let mut own = Map::new();
    for InForce { key, text, value } in settings {
        let of = |(known, _): &&(&str, &str)| known == key;
        let place = PLACES.iter().find(of).or_else(|| MAPS.iter().find(of));
        match place {
            Some((key, place)) => insert(&mut root, place, fabio(key, value)),
            None => drop(own.insert((*key).to_owned(), without_url_secrets(text).into())),
        }
    }
    insert(&mut root, "Burgee", Json::Object(own));
    root
}

fn insert(root: &mut Json, place: &str, value: Json) {
    let mut node = root;
    for part in place.split('.') {
        let Json::Object(fields) = node else { return };
        node = fields.entry(part).or_insert_with(|| Json::Object(Map::new()));
    }
    *node = value;
}

fn fabio(key: &str, value: &Value) -> Json {
    let Value::Maps(maps) = value else { return plain(value) };
    match key {
        "proxy.addr" => maps.iter().map(|map| listener(map)).collect(),
        "ui.addr" => maps.first().map_or(Json::Null, |map| listener(map)),
        "bgp.peers" => maps.iter().map(|map| peer(map)).collect(),
        // Of a map that fabio has as a text there is its first value.
        _ => maps.iter().map(|map| field(map, "", "".into())).collect(),
    }
}

fn plain(value: &Value) -> Json {
    match value {
        Value::Text(text) => without_url_secrets(text).into(),
        Value::Boolean(value) => (*value).into(),
        Value::Integer(value) => (*value).into(),
        Value::Duration(value) => i64::try_from(value.as_nanos()).unwrap_or(i64::MAX).into(),
        Value::List(texts) => texts.iter().map(|text| without_url_secrets(text)).collect(),
        Value::Maps(_) => Json::Null,
    }
}

fn field(map: &[(String, Value)], key: &str, default: Json) -> Json {
    let found = map.iter().find(|(known, _)| known == key);
    found.map_or(default, |(_, value)| plain(value))
}

fn listener(map: &[(String, Value)]) -> Json {
    json!({
        "Addr": field(map, "", field(map, "addr", "".into())),
        "Proto": field(map, "proto", "http".into()),
        "ReadTimeout": field(map, "rt", 0.into()),
        "WriteTimeout": field(map, "wt", 0.into()),
        "ProxyProto": field(map, "pxyproto", false.into()),
        "ProxyHeaderTimeout": field(map, "pxytimeout", 0.into()),
        "Refresh": field(map, "refresh", 0.into()),
    })
}

fn peer(map: &[(String, Value)]) -> Json {
    json!({
        "NeighborAddress": field(map, "address", "".into()),
        "NeighborPort": field(map, "port", 0.into()),
        "Asn": field(map, "asn", 0.into()),
        "MultiHop": field(map, "multihop", false.into()),
        "MultiHopLength": field(map, "multihoplength", 2.into()),
        "Password": field(map, "password", "".into()),
    })
}

/// A text in which the user part and the values of the query of each URL are
/// masked: that is where tokens are kept that nobody called a secret.
fn without_url_secrets(text: &str) -> String {
    let mut pieces = text.split("://");
    let mut masked = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        masked.push_str("://");
        let end = piece.find(|c: char| c.is_whitespace() || matches!(c, '"' | '\'' | '\\' | ','));
        let (url, rest) = piece.split_at_checked(end.unwrap_or(piece.len())).unwrap_or((piece, ""));
        let (place, query) = url.split_once('?').map_or((url, None), |(a, b)| (a, Some(b)));
        let (authority, path) =
            place.find('/').and_then(|at| place.split_at_checked(at)).unwrap_or((place, ""));
        match authority.rsplit_once('@') {
            Some((_, host)) => masked.push_str(&format!("***@{host}")),
            None => masked.push_str(authority),
        }
        masked.push_str(path);
        if let Some(query) = query {
            let pairs = query.split('&').map(|pair| match pair.split_once('=') {
                Some((name, _)) => format!("{name}=***"),
                None => "***".to_owned(),
            });
            masked.push('?');
            masked.push_str(&pairs.collect::<Vec<String>>().join("&"));
        }
        masked.push_str(rest);
    }
    masked
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::config::options::{Support, all, find};

    #[test]
    fn tokens_in_urls_are_masked() {
        for (text, masked) in [
            ("", ""),
            ("http", "http"),
            ("http://a/b", "http://a/b"),
            ("http://u:p@a:1/b@c?t=s&u", "http://***@a:1/b@c?t=***&***"),
            ("add a b http://x?t=1 opts \"a=b\"", "add a b http://x?t=*** opts \"a=b\""),
            ("a://b?c=d,e://f@g\\nh", "a://b?c=***,e://***@g\\nh"),
            ("p@q://r@s@t", "p@q://***@t"),
        ] {
            assert_eq!(without_url_secrets(text), masked, "{text}");
        }
    }

    #[test]
    fn the_shape_is_fabios() {
        let set = |key, value| InForce { key, text: format!("text of {key}"), value };
        let text = |text: &str| Value::Text(text.to_owned());
        let listener = vec![
            (String::new(), text(":80")),
            ("proto".to_owned(), text("tcp")),
            ("rt".to_owned(), Value::Duration(Duration::from_millis(1))),
        ];
        let peer = vec![
            ("address".to_owned(), text("192.0.2.1")),
            ("asn".to_owned(), Value::Integer(64512)),
            ("password".to_owned(), text("***")),
        ];
        let settings = [
            set("proxy.addr", Value::Maps(vec![listener])),
            set("proxy.shutdownwait", Value::Duration(Duration::from_secs(3))),
            set("proxy.header.sts.maxage", Value::Integer(7)),
            set("bgp.enabled", Value::Boolean(true)),
            set("bgp.listenaddresses", Value::List(vec!["0.0.0.0".into()])),
            set("bgp.peers", Value::Maps(vec![peer])),
            set("bgp.anycastaddresses", Value::Maps(vec![vec![(String::new(), text("a/1"))]])),
            set("bgp.vip", text("lo")),
            InForce { key: "health.check", text: "http://u@h?p=q".into(), value: text("") },
        ];
        let expected = json!({
            "Listen": [{
                "Addr": ":80", "Proto": "tcp", "ReadTimeout": 1_000_000, "WriteTimeout": 0,
                "ProxyProto": false, "ProxyHeaderTimeout": 0, "Refresh": 0,
            }],
            "Proxy": { "ShutdownWait": 3_000_000_000_u64, "STSHeader": { "MaxAge": 7 } },
            "BGP": {
                "BGPEnabled": true,
                "ListenAddresses": ["0.0.0.0"],
                "Peers": [{
                    "NeighborAddress": "192.0.2.1", "NeighborPort": 0, "Asn": 64512,
                    "MultiHop": false, "MultiHopLength": 2, "Password": "***",
                }],
                "AnycastAddresses": ["a/1"],
            },
            "Burgee": { "bgp.vip": "text of bgp.vip", "health.check": "http://***@h?p=***" },
        });
        assert_eq!(tree(&settings), expected);
    }

    /// What fabio has must not be told as if it had not.
    #[test]
    fn every_key_of_fabio_that_has_an_effect_has_its_place() {
        let known = |key| PLACES.iter().chain(&MAPS).any(|(known, _)| *known == key);
        for spec in all() {
            let is_supported = spec.support == Support::Supported;
            // Only defaults of listeners, so fabio has them nowhere else.
            let is_default = matches!(spec.key, "proxy.readtimeout" | "proxy.writetimeout");
            if is_supported && !spec.new && !is_default {
                assert!(known(spec.key), "{} has no place", spec.key);
            }
            if spec.new {
                assert!(!known(spec.key), "{} is not fabio's", spec.key);
            }
        }
        for (key, _) in PLACES.iter().chain(&MAPS) {
            assert!(find(key).is_some(), "there is no {key}");
        }
    }
}
