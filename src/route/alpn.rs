//! `alpn=`: targets for the protocols that a client offers.

use super::table::{Route, Target};

/// Which of a route's targets are for a client, by the protocols that its
/// ClientHello offers (RFC 7301 §3.1).
#[derive(Clone, Copy, Debug)]
pub struct AlpnChoice<'o> {
    offered: &'o [Vec<u8>],
    /// There is a target for one of these protocols, so that the others are
    /// none for this client.
    is_special: bool,
}

impl Route {
    /// What a client that offers these protocols may be given: the targets
    /// whose `alpn=` names one of them; when the route has no such target with
    /// a share of its traffic, those without `alpn=`.
    ///
    /// Whether a target is healthy makes no difference here: who asks for a
    /// protocol does not get a target of another one because of a failure.
    pub fn alpn_choice<'o>(&self, offered: &'o [Vec<u8>]) -> AlpnChoice<'o> {
        let is_for = |target: &Target| target.slots > 0 && speaks(target, offered);
        AlpnChoice { offered, is_special: self.has_alpn() && self.targets().iter().any(is_for) }
    }
}

impl AlpnChoice<'_> {
    /// Whether the client may be given this target of the route.
    pub fn admits(&self, target: &Target) -> bool {
        if self.is_special { speaks(target, self.offered) } else { target.options.alpn.is_empty() }
    }
}

/// Protocol names are compared octet by octet (RFC 7301 §3.1).
fn speaks(target: &Target, offered: &[Vec<u8>]) -> bool {
    target.options.alpn.iter().any(|own| offered.iter().any(|other| **own == **other))
}

#[cfg(test)]
mod tests {
    use crate::route::builder::build_text;
    use crate::route::pick::{Ask, Picker, Strategy};

    /// A route of targets with these tails; the port is the place, from 1.
    fn table(tails: &[&str]) -> crate::route::Table {
        let line = |(port, tail): (usize, &&str)| {
            format!("route add a x.com/ tcp://192.0.2.1:{port} {tail}\n")
        };
        let text: String = (1..).zip(tails).map(line).collect();
        let built = build_text(text.as_bytes());
        assert_eq!((built.errors, built.warnings), (vec![], vec![]));
        built.table
    }

    fn offer(names: &[&str]) -> Vec<Vec<u8>> {
        names.iter().map(|name| name.as_bytes().to_vec()).collect()
    }

    /// The ports of the targets that a client with this offer may be given.
    fn admitted(tails: &[&str], offered: &[&str]) -> Vec<u16> {
        let table = table(tails);
        let route = table.lookup_name("x.com").unwrap();
        let offered = offer(offered);
        let choice = route.alpn_choice(&offered);
        let admitted = route.targets().iter().filter(|target| choice.admits(target));
        admitted.filter_map(|target| Some(target.address()?.port())).collect()
    }

    #[test]
    fn targets_for_an_offered_protocol_go_before_those_for_everybody() {
        let tails = ["opts \"alpn=h2\"", "", "opts \"alpn=acme-tls/1,h2\"", ""];
        assert_eq!(admitted(&tails, &["h2", "http/1.1"]), [1, 3]);
        assert_eq!(admitted(&tails, &["http/1.1", "acme-tls/1"]), [3]);
        assert_eq!(admitted(&tails, &["http/1.1"]), [2, 4]);
        assert_eq!(admitted(&tails, &["H2"]), [2, 4], "octets have no case");
        assert_eq!(admitted(&tails, &[]), [2, 4]);
        assert_eq!(admitted(&["", ""], &["h2"]), [1, 2]);
        assert_eq!(admitted(&["opts \"alpn=h2\""], &["http/1.1"]), [0; 0]);
    }

    #[test]
    fn a_target_without_a_share_keeps_nobody_from_the_others() {
        assert_eq!(admitted(&["weight 1", "opts \"alpn=h2\""], &["h2"]), [1]);
        assert_eq!(admitted(&["weight 0.5", "opts \"alpn=h2\""], &["h2"]), [2]);
    }

    #[test]
    fn what_a_protocol_leaves_goes_to_the_others_by_weight() {
        let tails = [
            "weight 0.2",
            "weight 0.5 opts \"alpn=h2\"",
            "weight 0.2",
            "weight 0.1 opts \"alpn=h2\"",
        ];
        let table = table(&tails);
        let route = table.lookup_name("x.com").unwrap();
        for (offered, expected) in [(["h2"], [0, 5_000, 0, 1_000]), (["h3"], [3_000, 0, 3_000, 0])]
        {
            let offered = offer(&offered);
            let choice = route.alpn_choice(&offered);
            let ask = Ask {
                client: [192, 0, 2, 9].into(),
                fit: &|target| choice.admits(target),
                load: &|_| 0,
            };
            let mut picker = Picker::new(Strategy::Random, 7);
            let mut counts = [0_usize; 4];
            for _ in 0..6_000 {
                let target = picker.pick(route, &ask).unwrap();
                counts[usize::from(target.address().unwrap().port()) - 1] += 1;
            }
            let is_near =
                |(&got, &want): (&usize, &usize)| got.abs_diff(want) < 150 * want.min(1) + 1;
            assert!(counts.iter().zip(&expected).all(is_near), "{counts:?}");
        }
    }
}
