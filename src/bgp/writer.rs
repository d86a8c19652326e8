//! Sends one neighbour the difference between what it should have and what it
//! was sent.
//!
//! There are no commands such as "announce" or "withdraw": a key is *dirty*
//! when its path may have changed, and when its turn comes, what should be is
//! compared with what was sent. So pending changes of one key collapse, and a
//! new session, a route refresh and a changed path are one code path.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::rc::Rc;

use super::export::Exporter;
use super::message::attribute::Attributes;
use super::message::prefix::{Family, FamilySet};
use super::message::route_refresh::{RouteRefresh, subtype};
use super::message::update::{EncodeOptions, encode_announce, encode_end_of_rib, encode_withdraw};
use super::negotiation::Negotiated;
use super::rib::Key;
use super::rib::originated::Originated;

/// Most keys that one call looks at, so that no call is long; about as many as
/// one message of the usual length holds.
const BATCH: usize = 1024;
/// Most different attributes that one call looks at; they cost more than keys.
const GROUPS: usize = 256;
/// How much is done in one round, in keys that are looked at: some 0.6 µs each.
const ROUND: usize = BATCH;
/// What a message costs beside its keys, in keys.
const MESSAGE: usize = 4;

/// The adj-RIB-out of one established session, and what is still due.
#[derive(Clone, Debug)]
pub struct Writer {
    exporter: Exporter,
    negotiated: Negotiated,
    sent: BTreeMap<Key, Sent>,
    dirty: BTreeSet<Key>,
    /// Dirty keys that were compared already, until one more becomes dirty.
    groups: VecDeque<Group>,
    walk: Option<Walk>,
    /// Refreshes that were asked for during the walk and follow it.
    asked: FamilySet,
    /// Whether announcements wait (RFC 4271 §9.2.1.1), and those that do.
    holding: bool,
    held: BTreeSet<Key>,
    /// Something was announced since this was last asked.
    announced: bool,
    /// See [`Writer::take_moved`].
    moved: Vec<(Key, bool)>,
    /// What was done in this round, in keys.
    done: usize,
}

/// Keys whose difference is the same.
#[derive(Clone, Debug)]
struct Group {
    family: Family,
    /// What they should have; `None`: nothing.
    attributes: Option<Rc<Attributes>>,
    keys: Vec<Key>,
}

/// What the neighbour has for one key.
#[derive(Clone, Debug)]
struct Sent {
    attributes: Rc<Attributes>,
    /// The neighbour asked for it again: it counts as different from whatever
    /// is desired, and still has to be withdrawn when nothing is.
    again: bool,
}

/// A full walk over the table, as far as it got. The default one has yet to
/// begin, and promises nothing.
#[derive(Clone, Debug, Default)]
struct Walk {
    /// The last key that was looked at.
    after: Option<Key>,
    /// Whether the whole table was looked at.
    whole: bool,
    /// The families that are sent again even if nothing changed.
    again: FamilySet,
    /// The families whose refresh has still to be marked as begun, and as ended
    /// (RFC 7313 §4).
    begin: FamilySet,
    end: FamilySet,
    /// The families whose End-of-RIB follows the walk (RFC 4724 §2).
    end_of_rib: FamilySet,
}

impl Writer {
    /// A writer for a session that has just come up: everything is due, and
    /// then an End-of-RIB for each family.
    pub fn new(exporter: Exporter, negotiated: Negotiated) -> Writer {
        let walk = Walk { end_of_rib: negotiated.families, ..Walk::default() };
        Writer {
            exporter,
            negotiated,
            sent: BTreeMap::new(),
            dirty: BTreeSet::new(),
            groups: VecDeque::new(),
            walk: Some(walk),
            asked: FamilySet::EMPTY,
            holding: false,
            held: BTreeSet::new(),
            announced: false,
            moved: Vec::new(),
            done: 0,
        }
    }

    /// What the export depends on.
    pub fn exporter(&self) -> &Exporter {
        &self.exporter
    }

    /// Exports otherwise from now on: everything is compared again with what
    /// was sent, and only what differs is sent.
    pub fn set_exporter(&mut self, exporter: Exporter) {
        if self.exporter == exporter {
            return;
        }
        self.exporter = exporter;
        self.groups.clear();
        match &mut self.walk {
            Some(walk) => (walk.after, walk.whole) = (None, false),
            None => self.walk = Some(Walk::default()),
        }
    }

    /// Begins another round: see [`Writer::is_spent`].
    pub fn begin_round(&mut self) {
        self.done = 0;
    }

    /// Whether enough was done in this round, some 1 ms of work; what is left is
    /// for the next.
    pub fn is_spent(&self) -> bool {
        self.done >= ROUND
    }

    fn note(&mut self, keys: usize) {
        self.done = self.done.saturating_add(keys);
    }

    /// Lets announcements wait, or go. Withdrawals never wait, and neither does
    /// what the neighbour was promised in full.
    pub fn hold(&mut self, holding: bool) {
        self.holding = holding;
        if !holding && !self.held.is_empty() {
            self.dirty.append(&mut self.held);
            self.groups.clear();
        }
    }

    /// Whether anything was announced since the last call.
    pub fn take_announced(&mut self) -> bool {
        std::mem::take(&mut self.announced)
    }

    /// The path of `key` may have changed.
    pub fn mark(&mut self, key: Key) {
        if self.negotiated.families.contains(key.family()) {
            self.held.remove(&key);
            self.dirty.insert(key);
            self.groups.clear();
        }
    }

    /// The neighbour asked for `family` again in full (RFC 2918 §4). A walk
    /// under way is finished first, so that no refresh is marked as begun before
    /// the End-of-RIB of the first walk (RFC 7313 §4).
    pub fn refresh(&mut self, family: Family) {
        self.asked.insert(family);
        self.walk_again();
    }

    fn walk_again(&mut self) {
        if self.walk.is_some() || self.asked.is_empty() {
            return;
        }
        let again = std::mem::take(&mut self.asked);
        let marked = if self.negotiated.enhanced_refresh { again } else { FamilySet::EMPTY };
        self.walk = Some(Walk { again, begin: marked, end: marked, ..Walk::default() });
    }

    /// Appends at most one message for the most urgent difference, or none if
    /// that much work was to be done for it; returns whether another call may find
    /// more. Withdrawals go first.
    pub fn next_message(&mut self, table: &Originated, out: &mut Vec<u8>) -> bool {
        if self.dirty.is_empty() {
            return self.advance_walk(table, out);
        }
        if self.groups.is_empty() {
            self.group_batch(table);
            if self.is_spent() {
                return self.is_due(table);
            }
        }
        if let Some(mut group) = self.groups.pop_front() {
            let keys = group.keys.len();
            match &group.attributes {
                None => self.withdraw(group.family, &mut group.keys, out),
                Some(wanted) => self.announce(group.family, wanted, &mut group.keys, out),
            }
            self.note(keys.saturating_sub(group.keys.len()).saturating_add(MESSAGE));
            if !group.keys.is_empty() {
                self.groups.push_front(group);
            }
        }
        self.is_due(table)
    }

    /// Compares a batch of dirty keys with what was sent, and groups those that
    /// differ by what they have in common.
    fn group_batch(&mut self, table: &Originated) {
        let batch: Vec<Key> = self.dirty.iter().take(BATCH).copied().collect();
        let mut groups: BTreeMap<(Option<Rc<Attributes>>, Family), Vec<Key>> = BTreeMap::new();
        for key in batch {
            if groups.len() >= GROUPS {
                break;
            }
            self.note(1);
            let wanted = self.desired(table, &key);
            let settled = match (&wanted, self.sent.get(&key)) {
                (None, None) => true,
                (Some(wanted), Some(sent)) => !sent.again && *sent.attributes == *wanted,
                (None, Some(_)) | (Some(_), None) => false,
            };
            if settled {
                self.dirty.remove(&key);
            } else if self.holding && wanted.is_some() && !self.is_promised() {
                self.dirty.remove(&key);
                self.held.insert(key);
            } else {
                groups.entry((wanted.map(Rc::new), key.family())).or_default().push(key);
            }
        }
        // No attributes sort before any, so withdrawals come first.
        self.groups = groups
            .into_iter()
            .map(|((attributes, family), keys)| Group { family, attributes, keys })
            .collect();
    }

    /// Whether the neighbour waits for the end of a walk.
    fn is_promised(&self) -> bool {
        let promises = |walk: &Walk| [walk.again, walk.end, walk.end_of_rib];
        self.walk.as_ref().is_some_and(|walk| promises(walk).iter().any(|set| !set.is_empty()))
    }

    /// Whether anything is still to be sent that need not wait for `table` to
    /// become complete.
    pub fn is_due(&self, table: &Originated) -> bool {
        let held = |walk: &Walk| walk.whole && !table.is_complete();
        !self.dirty.is_empty() || self.walk.as_ref().is_some_and(|walk| !held(walk))
    }

    /// What the neighbour was sent and has not been told to forget.
    pub fn sent(&self) -> impl Iterator<Item = (&Key, &Attributes)> {
        self.sent.iter().map(|(key, sent)| (key, &*sent.attributes))
    }

    /// What the neighbour was sent of one key and has not been told to forget.
    pub fn sent_of(&self, key: &Key) -> Option<&Attributes> {
        self.sent.get(key).map(|sent| &*sent.attributes)
    }

    /// The keys that the neighbour has since the last call, with `true`, and
    /// those that it has no more.
    pub fn take_moved(&mut self) -> Vec<(Key, bool)> {
        std::mem::take(&mut self.moved)
    }

    /// How many keys the neighbour was sent and has not been told to forget.
    pub fn sent_count(&self) -> usize {
        self.sent.len()
    }

    fn desired(&self, table: &Originated, key: &Key) -> Option<Attributes> {
        let (_, path) = table.best(key)?;
        self.exporter.attributes(&key.prefix, path)
    }

    /// Withdraws as many of `keys` as one message holds, and takes them out.
    fn withdraw(&mut self, family: Family, keys: &mut Vec<Key>, out: &mut Vec<u8>) {
        let prefixes = on_the_wire(keys);
        let fitted = encode_withdraw(out, family, &prefixes, &self.options(family));
        for key in keys.drain(..fitted.max(1).min(prefixes.len())) {
            self.dirty.remove(&key);
            if self.sent.remove(&key).is_some() {
                self.moved.push((key, false));
            }
        }
    }

    /// Announces as many of `keys` as one message holds, and takes them out.
    fn announce(
        &mut self,
        family: Family,
        attributes: &Rc<Attributes>,
        keys: &mut Vec<Key>,
        out: &mut Vec<u8>,
    ) {
        let prefixes = on_the_wire(keys);
        let fitted = encode_announce(out, family, attributes, &prefixes, &self.options(family));
        self.announced |= fitted > 0;
        if fitted == 0 {
            // Attributes that leave no room for the prefix are not sent, and
            // what was sent before them is no longer true.
            let mut first: Vec<Key> = keys.drain(..keys.len().min(1)).collect();
            if first.iter().any(|key| self.sent.contains_key(key)) {
                self.withdraw(family, &mut first, out);
            }
            first.iter().for_each(|key| {
                self.dirty.remove(key);
            });
        }
        for key in keys.drain(..fitted.min(keys.len())) {
            self.dirty.remove(&key);
            let sent = Sent { attributes: Rc::clone(attributes), again: false };
            if self.sent.insert(key, sent).is_none() {
                self.moved.push((key, true));
            }
        }
    }

    fn options(&self, family: Family) -> EncodeOptions {
        EncodeOptions {
            four_octet_as: self.negotiated.four_octet_as,
            add_path: self.negotiated.add_path_sent.contains(family),
            max_length: self.negotiated.longest_sent,
        }
    }

    fn advance_walk(&mut self, table: &Originated, out: &mut Vec<u8>) -> bool {
        let Some(mut walk) = self.walk.take() else { return false };
        if let Some(family) = walk.begin.iter().next() {
            walk.begin.remove(family);
            RouteRefresh::marker(family, subtype::BEGIN).encode(out);
        } else if walk.whole {
            return self.end_walk(walk, table, out);
        } else {
            self.walk_on(&mut walk, table);
        }
        self.walk = Some(walk);
        true
    }

    /// Marks the next keys of the table as dirty.
    fn walk_on(&mut self, walk: &mut Walk, table: &Originated) {
        for _ in 0..BATCH {
            let Some(key) = table.next_key(walk.after) else {
                walk.whole = true;
                return;
            };
            walk.after = Some(key);
            self.note(1);
            if walk.again.contains(key.family())
                && let Some(sent) = self.sent.get_mut(&key)
            {
                sent.again = true;
            }
            self.mark(key);
        }
    }

    /// Ends a walk whose keys are all sent: one End-of-RIB or one end of a
    /// refresh a call. They wait while the table is not complete: a neighbour
    /// that kept our routes over a restart drops those that did not come before
    /// the End-of-RIB (RFC 4724 §4.2).
    fn end_walk(&mut self, mut walk: Walk, table: &Originated, out: &mut Vec<u8>) -> bool {
        if !table.is_complete() {
            self.walk = Some(walk);
            return false;
        }
        if let Some(family) = walk.end_of_rib.iter().next() {
            walk.end_of_rib.remove(family);
            encode_end_of_rib(out, family);
        } else if let Some(family) = walk.end.iter().next() {
            walk.end.remove(family);
            RouteRefresh::marker(family, subtype::END).encode(out);
        }
        if walk.end_of_rib.is_empty() && walk.end.is_empty() {
            self.walk_again();
        } else {
            self.walk = Some(walk);
        }
        self.walk.is_some()
    }
}

/// Prefixes with their path identifiers on the wire, none of which is 0: some
/// speakers take that for none.
fn on_the_wire(keys: &[Key]) -> Vec<(u32, ipnet::IpNet)> {
    keys.iter().map(|key| (key.path_id.saturating_add(1), key.prefix)).collect()
}

#[cfg(test)]
mod tests {
    use ipnet::IpNet;

    use super::*;
    use crate::bgp::export::{NextHops, Overrides};
    use crate::bgp::message::header::{self, MessageType};
    use crate::bgp::message::update::{Context, parse};
    use crate::bgp::negotiation::{Terms, negotiate};
    use crate::bgp::offer::{AddPath, Offer};
    use crate::bgp::rib::originated::{Deprefer, Owner, Path};
    use crate::bgp::testing::terms;

    fn net(text: &str) -> IpNet {
        text.parse().expect("a prefix")
    }

    fn writer() -> Writer {
        writer_with(&terms(65000, 65001, [10, 0, 0, 2]))
    }

    /// A writer for a neighbour with these terms.
    fn writer_with(theirs: &Terms) -> Writer {
        let ours = Terms { offer: theirs.offer.clone(), ..terms(65001, 65000, [10, 0, 0, 1]) };
        let negotiated = negotiate(&ours, &theirs.open()).expect("agreed");
        let exporter = Exporter {
            asn: 65001,
            ibgp: false,
            next_hops: NextHops { ipv4: None, ipv6: Some("2001:db8::1".parse().expect("v6")) },
            local: "10.0.0.1".parse().expect("v4"),
            name: "tor1".into(),
            overrides: Overrides::default(),
            extended_next_hop: false,
            role: None,
        };
        Writer::new(exporter, negotiated)
    }

    /// Everything that is due, as lines a reader can follow.
    fn drain(writer: &mut Writer, table: &Originated) -> Vec<String> {
        let context = Context {
            four_octet_as: true,
            ibgp: false,
            families: Family::ALL.into_iter().collect(),
            add_path: writer.negotiated.add_path_sent,
            extended_next_hop: FamilySet::default(),
        };
        let mut lines = Vec::new();
        loop {
            let mut out = Vec::new();
            let more = writer.next_message(table, &mut out);
            let longest = writer.negotiated.longest_sent;
            assert!(out.len() <= longest);
            if let Some(frame) = header::next_frame(&out, longest).expect("well-formed") {
                assert_eq!(frame.length, out.len(), "one message a call");
                if frame.kind == MessageType::RouteRefresh {
                    let mark = RouteRefresh::parse(frame.body, true).expect("well-formed");
                    let family = mark.family().expect("known");
                    lines.push(format!("mark {} {family}", mark.subtype));
                    continue;
                }
                let update = parse(frame.body, &context).expect("well-formed");
                lines.extend(update.is_end_of_rib().map(|family| format!("eor {family}")));
                lines.extend(update.withdrawn().map(|(_, _, prefix)| format!("- {prefix}")));
                lines.extend(update.announced().map(|(_, _, prefix)| format!("+ {prefix}")));
            }
            if !more {
                return lines;
            }
        }
    }

    #[test]
    fn a_new_session_gets_everything_and_then_an_end_of_rib_a_family() {
        let mut table = Originated::default();
        for text in ["192.0.2.1/32", "192.0.2.2/32", "2001:db8::1/128"] {
            table.insert(net(text), Owner::Announcer, Path::default());
        }
        let mut writer = writer();
        assert_eq!(
            drain(&mut writer, &table),
            [
                "+ 192.0.2.1/32",
                "+ 192.0.2.2/32",
                "+ 2001:db8::1/128",
                "eor ipv4-unicast",
                "eor ipv6-unicast"
            ]
        );
        assert!(!writer.is_due(&table));
        assert!(drain(&mut writer, &table).is_empty());
    }

    #[test]
    fn pending_changes_of_one_key_collapse_and_withdrawals_go_first() {
        let mut table = Originated::default();
        let mut writer = writer();
        table.insert(net("192.0.2.9/32"), Owner::Announcer, Path::default());
        drain(&mut writer, &table);
        let (old, new) = (net("192.0.2.9/32"), net("192.0.2.1/32"));
        table.remove(old, Owner::Announcer);
        table.insert(new, Owner::Announcer, Path::default());
        for key in [Key::new(old), Key::new(new), Key::new(old)] {
            writer.mark(key);
        }
        assert_eq!(drain(&mut writer, &table), ["- 192.0.2.9/32", "+ 192.0.2.1/32"]);
        // Gone and back before its turn came: nothing to say.
        writer.mark(Key::new(new));
        assert!(drain(&mut writer, &table).is_empty());
    }

    /// The route is never away: what is only less preferred is told by one
    /// UPDATE that replaces the one before (RFC 4271 §3.1), and so is its return.
    #[test]
    fn a_path_that_becomes_less_preferred_is_replaced_and_not_withdrawn() {
        let mut table = Originated::default();
        let prefix = net("192.0.2.1/32");
        table.insert(prefix, Owner::Announcer, Path::default());
        let mut writer = writer();
        drain(&mut writer, &table);
        let key = Key::new(prefix);
        let in_path = |writer: &Writer| writer.sent_of(&key).map(|sent| sent.as_path.length());
        assert_eq!((in_path(&writer), writer.sent_count()), (Some(1), 1));
        for (deprefer, length) in [(Some(Deprefer::default()), 4), (None, 1)] {
            let path = Path { deprefer, ..Path::default() };
            assert!(table.insert(prefix, Owner::Announcer, path));
            writer.mark(key);
            assert_eq!(drain(&mut writer, &table), ["+ 192.0.2.1/32"]);
            assert_eq!((in_path(&writer), writer.sent_count()), (Some(length), 1));
        }
        table.remove(prefix, Owner::Announcer);
        writer.mark(key);
        assert_eq!(drain(&mut writer, &table), ["- 192.0.2.1/32"]);
        assert_eq!((in_path(&writer), writer.sent_count()), (None, 0));
    }

    #[test]
    fn a_refresh_sends_a_family_again_and_still_withdraws_what_goes_meanwhile() {
        let mut table = Originated::default();
        let gone = net("192.0.2.1/32");
        for text in ["192.0.2.1/32", "192.0.2.2/32", "2001:db8::1/128"] {
            table.insert(net(text), Owner::Announcer, Path::default());
        }
        let mut writer = writer();
        drain(&mut writer, &table);
        let (begin, end) = ("mark 1 ipv4-unicast", "mark 2 ipv4-unicast");
        writer.refresh(Family::Ipv4Unicast);
        let again = ["+ 192.0.2.1/32", "+ 192.0.2.2/32"];
        assert_eq!(drain(&mut writer, &table), [&[begin], &again[..], &[end]].concat());
        writer.refresh(Family::Ipv4Unicast);
        assert!(writer.next_message(&table, &mut Vec::new()), "the mark");
        assert!(writer.next_message(&table, &mut Vec::new()), "the walk has marked the keys");
        table.remove(gone, Owner::Announcer);
        writer.mark(Key::new(gone));
        assert_eq!(drain(&mut writer, &table), ["- 192.0.2.1/32", "+ 192.0.2.2/32", end]);
    }

    /// RFC 7313 §4: also one that is asked for before the End-of-RIB.
    #[test]
    fn a_refresh_follows_the_walk_under_way() {
        let mut table = Originated::default();
        table.insert(net("192.0.2.1/32"), Owner::Announcer, Path::default());
        let mut writer = writer();
        writer.refresh(Family::Ipv4Unicast);
        assert_eq!(
            drain(&mut writer, &table),
            [
                "+ 192.0.2.1/32",
                "eor ipv4-unicast",
                "eor ipv6-unicast",
                "mark 1 ipv4-unicast",
                "+ 192.0.2.1/32",
                "mark 2 ipv4-unicast"
            ]
        );
    }

    #[test]
    fn no_marks_for_a_neighbour_that_does_not_know_them() {
        let table = Originated::default();
        let mut theirs = terms(65000, 65001, [10, 0, 0, 2]);
        theirs.offer.plain = true;
        let mut writer = writer_with(&theirs);
        drain(&mut writer, &table);
        writer.refresh(Family::Ipv4Unicast);
        assert!(drain(&mut writer, &table).is_empty());
    }

    /// RFC 4271 §9.2.1.1.
    #[test]
    fn announcements_wait_and_withdrawals_do_not() {
        let mut table = Originated::default();
        let (old, new) = (net("192.0.2.1/32"), net("192.0.2.2/32"));
        table.insert(old, Owner::Announcer, Path::default());
        let mut writer = writer();
        drain(&mut writer, &table);
        assert!(writer.take_announced() && !writer.take_announced());
        writer.hold(true);
        table.remove(old, Owner::Announcer);
        table.insert(new, Owner::Announcer, Path::default());
        writer.mark(Key::new(old));
        writer.mark(Key::new(new));
        assert_eq!(drain(&mut writer, &table), ["- 192.0.2.1/32"]);
        assert!(!writer.is_due(&table));
        writer.refresh(Family::Ipv6Unicast);
        assert_eq!(
            drain(&mut writer, &table),
            ["mark 1 ipv6-unicast", "+ 192.0.2.2/32", "mark 2 ipv6-unicast"]
        );
        table.insert(old, Owner::Announcer, Path::default());
        writer.mark(Key::new(old));
        assert!(drain(&mut writer, &table).is_empty());
        writer.hold(false);
        assert_eq!(drain(&mut writer, &table), ["+ 192.0.2.1/32"]);
    }

    #[test]
    fn another_exporter_sends_what_differs_and_nothing_else() {
        let mut table = Originated::default();
        let own = Path { med: Some(7), ..Path::default() };
        table.insert(net("192.0.2.1/32"), Owner::Announcer, Path::default());
        table.insert(net("192.0.2.2/32"), Owner::Announcer, own);
        let audience = Some(["tor1".to_owned()].into());
        let for_one = Path { med: Some(7), audience, ..Path::default() };
        table.insert(net("192.0.2.3/32"), Owner::Announcer, for_one);
        let mut writer = writer();
        drain(&mut writer, &table);
        let mut exporter = writer.exporter().clone();
        writer.set_exporter(exporter.clone());
        assert!(!writer.is_due(&table), "the same again is nothing");
        exporter.overrides.med = Some(7);
        writer.set_exporter(exporter.clone());
        assert_eq!(drain(&mut writer, &table), ["+ 192.0.2.1/32"]);
        exporter.name = "another".to_owned();
        writer.set_exporter(exporter);
        assert_eq!(drain(&mut writer, &table), ["- 192.0.2.3/32"]);
    }

    /// What was begun is ended as it was promised, with what holds then; and
    /// nothing else goes before its time.
    #[test]
    fn another_exporter_in_the_middle_of_a_walk_or_of_a_wait() {
        let mut table = Originated::default();
        for (text, community) in [("192.0.2.1/32", 1), ("192.0.2.2/32", 2)] {
            let path = Path { communities: vec![community], ..Path::default() };
            table.insert(net(text), Owner::Announcer, path);
        }
        let mut writer = writer();
        let mut out = Vec::new();
        while out.is_empty() {
            writer.next_message(&table, &mut out);
        }
        let mut exporter = writer.exporter().clone();
        exporter.overrides.med = Some(1);
        writer.set_exporter(exporter.clone());
        let again = ["+ 192.0.2.1/32", "+ 192.0.2.2/32"];
        let ends = ["eor ipv4-unicast", "eor ipv6-unicast"];
        // What waited goes first, and neither is sent as it was before.
        let [one, two] = again;
        assert_eq!(drain(&mut writer, &table), [&[two, one], &ends[..]].concat());
        assert!(writer.sent().all(|(_, attributes)| attributes.med == Some(1)));
        writer.hold(true);
        exporter.overrides.med = Some(2);
        writer.set_exporter(exporter);
        assert!(drain(&mut writer, &table).is_empty());
        writer.hold(false);
        assert_eq!(drain(&mut writer, &table), again);
    }

    /// RFC 4724 §2: an End-of-RIB before that would be a lie.
    #[test]
    fn the_end_of_rib_waits_for_a_complete_table() {
        let mut table = Originated::default();
        table.set_complete(false);
        let mut writer = writer();
        table.insert(net("192.0.2.1/32"), Owner::Announcer, Path::default());
        assert_eq!(drain(&mut writer, &table), ["+ 192.0.2.1/32"]);
        assert!(!writer.is_due(&table), "nothing that could be sent now");
        table.set_complete(true);
        assert!(writer.is_due(&table));
        assert_eq!(drain(&mut writer, &table), ["eor ipv4-unicast", "eor ipv6-unicast"]);
    }

    #[test]
    fn path_identifiers_and_long_messages_where_they_were_agreed_on() {
        let mut table = Originated::default();
        for n in 0..5000_u32 {
            let address = std::net::Ipv4Addr::from(0x0a00_0000 + n);
            table.insert(
                IpNet::from(std::net::IpAddr::from(address)),
                Owner::File,
                Path::default(),
            );
        }
        let mut theirs = terms(65000, 65001, [10, 0, 0, 2]);
        theirs.offer =
            Offer { add_path: AddPath { send: true, receive: true }, ..Offer::default() };
        let mut writer = writer_with(&theirs);
        let mut out = Vec::new();
        while out.is_empty() {
            writer.next_message(&table, &mut out);
        }
        assert!(out.len() > 9 * 1024, "{}", out.len());
        let context = Context {
            four_octet_as: true,
            families: FamilySet::ALL,
            add_path: FamilySet::ALL,
            ..Context::default()
        };
        let frame = header::next_frame(&out, out.len()).expect("sound").expect("whole");
        let update = parse(frame.body, &context).expect("sound");
        assert_eq!(update.announced().next(), Some((Family::Ipv4Unicast, 1, net("10.0.0.0/32"))));
        assert_eq!(update.announced().count(), 1024);
    }

    /// What cannot be announced any more must not stay with the neighbour as
    /// it was before.
    #[test]
    fn attributes_that_no_message_can_hold_withdraw_what_was_sent() {
        let mut table = Originated::default();
        let (grown, other) = (net("192.0.2.1/32"), net("2001:db8::1/128"));
        for prefix in [grown, other] {
            table.insert(prefix, Owner::Announcer, Path::default());
        }
        let mut writer = writer();
        drain(&mut writer, &table);
        let huge = Path { communities: (0..20000).collect(), ..Path::default() };
        for prefix in [grown, other] {
            table.insert(prefix, Owner::Announcer, huge.clone());
            writer.mark(Key::new(prefix));
        }
        assert_eq!(drain(&mut writer, &table), ["- 192.0.2.1/32", "- 2001:db8::1/128"]);
        assert_eq!(writer.sent().count(), 0);
        writer.mark(Key::new(grown));
        assert!(drain(&mut writer, &table).is_empty(), "nor is it withdrawn again");
    }

    /// A path of its own for each prefix: a message a prefix, and no look at
    /// all the others for each.
    #[test]
    fn each_change_is_looked_at_once() {
        let mut table = Originated::default();
        for n in 0..1000_u32 {
            let address = std::net::Ipv4Addr::from(0x0a00_0000 + n);
            let path = Path { med: Some(n), ..Path::default() };
            table.insert(IpNet::from(std::net::IpAddr::from(address)), Owner::File, path);
        }
        let mut writer = writer();
        let mut out = Vec::new();
        while out.is_empty() {
            writer.next_message(&table, &mut out);
        }
        assert_eq!(writer.groups.len(), GROUPS - 1, "the comparison is kept for the next messages");
        assert_eq!(drain(&mut writer, &table).len(), 1001);
    }

    /// Whether paths are alike or differ, and although the walk, the comparison
    /// and the messages all cost something.
    #[test]
    fn a_round_does_a_bounded_part() {
        for alike in [true, false] {
            let mut table = Originated::default();
            for n in 0..5000_u32 {
                let address = std::net::Ipv4Addr::from(0x0a00_0000 + n);
                let path = Path { med: (!alike).then_some(n), ..Path::default() };
                table.insert(IpNet::from(std::net::IpAddr::from(address)), Owner::File, path);
            }
            let mut writer = writer();
            let mut rounds = 0;
            while writer.is_due(&table) {
                writer.begin_round();
                let mut out = Vec::new();
                while !writer.is_spent() && writer.next_message(&table, &mut out) {}
                assert!(writer.done <= ROUND + BATCH + MESSAGE, "{} keys", writer.done);
                rounds += 1;
            }
            // Each key is walked over, compared and sent.
            assert!((8..50).contains(&rounds), "{rounds} rounds");
            assert_eq!(writer.sent().count(), 5000);
        }
    }

    #[test]
    fn a_change_while_messages_wait_is_seen_before_they_go() {
        let mut table = Originated::default();
        let mut writer = writer();
        for n in 0..3_u8 {
            let path = Path { med: Some(n.into()), ..Path::default() };
            table.insert(net(&format!("192.0.2.{n}/32")), Owner::File, path);
        }
        let mut out = Vec::new();
        while out.is_empty() {
            writer.next_message(&table, &mut out);
        }
        for gone in ["192.0.2.0/32", "192.0.2.2/32"] {
            table.remove(net(gone), Owner::File);
            writer.mark(Key::new(net(gone)));
        }
        let lines = drain(&mut writer, &table);
        assert_eq!(
            lines,
            ["- 192.0.2.0/32", "+ 192.0.2.1/32", "eor ipv4-unicast", "eor ipv6-unicast"]
        );
    }

    #[test]
    fn many_prefixes_fill_messages_and_all_arrive() {
        let mut table = Originated::default();
        for n in 0..5000_u32 {
            let address = std::net::Ipv4Addr::from(0x0a00_0000 + n);
            let prefix = IpNet::new(address.into(), 32).expect("a prefix");
            table.insert(prefix, Owner::Announcer, Path::default());
        }
        let mut writer = writer();
        let lines = drain(&mut writer, &table);
        assert_eq!(lines.len(), 5002);
        assert_eq!(writer.sent().count(), 5000);
    }
}
