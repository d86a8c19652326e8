//! The configuration in force as values, for those who show it.

use std::time::Duration;

use super::options::{Kind, PairSpec, Spec};
use super::{duration, kv_list, values};

/// A setting with the value that is in force.
#[derive(Clone, Debug, PartialEq)]
pub struct InForce {
    /// `proxy.shutdownwait`
    pub key: &'static str,
    /// The value as it would be written in a properties file. Secrets are
    /// `***`.
    pub text: String,
    /// The value itself.
    pub value: Value,
}

/// The value of a setting, by its kind.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// Any text, and what cannot be read as what it should be.
    Text(String),
    /// `true` or `false`
    Boolean(bool),
    /// A number.
    Integer(i64),
    /// A duration.
    Duration(Duration),
    /// Texts.
    List(Vec<String>),
    /// Maps; a value without a key has the empty one.
    Maps(Vec<Vec<(String, Value)>>),
}

impl InForce {
    pub(super) fn new(spec: &'static Spec, text: &str) -> InForce {
        let value = Value::read(spec.kind, spec.pairs, text);
        InForce { key: spec.key, text: text.to_owned(), value }
    }

    /// One whose value is not told as a whole.
    pub(super) fn cut(spec: &'static Spec, text: String) -> InForce {
        InForce { key: spec.key, value: Value::Text(text.clone()), text }
    }
}

impl Value {
    fn read(kind: Kind, pairs: &[PairSpec], text: &str) -> Value {
        let read = match kind {
            Kind::Text => None,
            Kind::Boolean => values::boolean(text).ok().map(Value::Boolean),
            Kind::Integer | Kind::Unsigned => values::integer(text).ok().map(Value::Integer),
            Kind::Duration => duration::parse(text).ok().map(Value::Duration),
            Kind::List => {
                let texts = values::list(text).into_iter().map(str::to_owned);
                Some(Value::List(texts.collect()))
            }
            Kind::KvList => kv_list::parse(text).ok().map(|maps| {
                Value::Maps(maps.iter().map(|map| Value::read_map(pairs, map)).collect())
            }),
        };
        read.unwrap_or_else(|| Value::Text(text.to_owned()))
    }

    fn read_map(pairs: &[PairSpec], map: &kv_list::Map) -> Vec<(String, Value)> {
        let read = |pair: &kv_list::Pair| {
            let spec = pairs.iter().find(|spec| spec.key == pair.key);
            let kind = spec.map_or(Kind::Text, |spec| spec.kind);
            // Numbers in maps are decimal, even if they begin with a zero.
            let value = match values::decimal(&pair.value).map(i64::try_from) {
                Some(Ok(number)) if matches!(kind, Kind::Integer | Kind::Unsigned) => {
                    Value::Integer(number)
                }
                _ => Value::read(kind, &[], &pair.value),
            };
            (pair.key.clone(), value)
        };
        map.pairs.iter().map(read).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::options::{Support, find};
    use crate::config::testing::loaded;

    #[test]
    fn values_are_those_of_their_kinds() {
        let text = |text: &str| Value::Text(text.to_owned());
        let of = |key: &str, text: &str| InForce::new(find(key).unwrap(), text).value;
        assert_eq!(of("proxy.shutdownwait", "1m2s"), Value::Duration(Duration::from_secs(62)));
        assert_eq!(of("bgp.enabled", "T"), Value::Boolean(true));
        assert_eq!(of("bgp.asn", "0x10"), Value::Integer(16));
        assert_eq!(of("bgp.listenport", "-1"), Value::Integer(-1));
        assert_eq!(of("proxy.strategy", "rr"), text("rr"));
        let list = Value::List(vec!["0.0.0.0".into(), "::".into()]);
        assert_eq!(of("bgp.listenaddresses", "0.0.0.0, ::"), list);
        let peer = vec![
            ("address".to_owned(), text("192.0.2.1")),
            ("asn".to_owned(), Value::Integer(64512)),
            ("multihop".to_owned(), Value::Boolean(true)),
            ("later".to_owned(), text("1")),
        ];
        let written = "address=192.0.2.1;asn=064512;multihop=true;later=1";
        assert_eq!(of("bgp.peers", written), Value::Maps(vec![peer]));
        assert_eq!(of("bgp.asn", ""), text(""), "nothing that there is a number for");
    }

    #[test]
    fn the_values_in_force_are_all_there_and_masked() {
        let loaded = loaded(
            "proxy.addr = :80;proto=tcp\nproxy.shutdownwait = 3s\nui.username = a\n\
             ui.password = sesame\n",
        );
        let all: Vec<InForce> = loaded.effective.values().collect();
        let of = |key: &str| all.iter().find(|it| it.key == key).unwrap();
        assert_eq!(of("proxy.shutdownwait").value, Value::Duration(Duration::from_secs(3)));
        assert_eq!(of("ui.password").text, "***");
        assert!(!format!("{all:?}").contains("sesame"));
        let supported = |key: &str| find(key).unwrap().support == Support::Supported;
        assert!(all.iter().all(|it| supported(it.key)));
        assert_eq!(of("bgp.asn").value, Value::Integer(65000), "also what nobody set");
    }
}
