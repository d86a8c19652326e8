//! `burgee explain PREFIX`: from the facts to the decision, and to what each
//! neighbour was sent.

use super::page::{Style, Table, Tone, cell, count, countdown, duration, plain, write_line};
use super::status::{service_row, tone};
use crate::admin::view::{
    AddressView, AnnouncementState, AnnouncementView, PathView, SentView, SessionState,
};

/// Whether the prefix is announced, and not in a lesser state.
pub(super) fn is_good(view: &AnnouncementView) -> bool {
    view.state == AnnouncementState::Announced
}

/// The whole page.
pub(super) fn page(view: &AnnouncementView, style: Style) -> String {
    // Who asks why wants all of it.
    let style = Style { wide: true, ..style };
    let mut out = String::new();
    let words = [
        cell(&view.prefix, Tone::Heading),
        cell(view.state.name(), tone(view.state)),
        plain(format!("for {}", duration(view.since_ms))),
    ];
    write_line(&words, style, &mut out);
    let mut why = Table::default();
    why.row(false, vec![plain("why"), plain(&view.reason)]);
    why.row(false, vec![plain("next"), plain(next(view))]);
    why.row(false, vec![plain("changes"), plain(changes(view))]);
    let is_missing = view.address.problem.is_some();
    why.row(is_missing, vec![plain("address"), plain(address(&view.address))]);
    why.write(style, &mut out);
    conditions(view, style, &mut out);
    if !view.services.is_empty() {
        title("SERVICES", style, &mut out);
        let mut table = Table::default();
        for service in &view.services {
            table.row(service.healthy < service.total, service_row(service));
        }
        table.write(style, &mut out);
    }
    peers(view, style, &mut out);
    out
}

fn title(title: &str, style: Style, out: &mut String) {
    out.push('\n');
    write_line(&[cell(title, Tone::Heading)], style, out);
}

fn next(view: &AnnouncementView) -> String {
    match &view.next {
        Some(next) => {
            let (state, left) = (next.state.name(), countdown(next.in_ms));
            format!("{state} in {left} ({}), if nothing else changes", next.why)
        }
        None if is_good(view) => "it stays so while all conditions hold".to_owned(),
        None => "it stays so until a condition changes".to_owned(),
    }
}

fn changes(view: &AnnouncementView) -> String {
    let changes = count(view.changes, "change", "changes");
    let penalty = view.penalty;
    match view.suppressed_for_ms {
        Some(left) => {
            format!("{changes}, penalty {penalty}: suppressed for {}", countdown(left))
        }
        None => format!("{changes}, penalty {penalty}"),
    }
}

fn address(address: &AddressView) -> String {
    if let Some(problem) = &address.problem {
        return problem.clone();
    }
    let interface = address.interface.as_deref().unwrap_or("an interface");
    match (address.needed, address.on_host, address.by.as_deref()) {
        (false, ..) => "no single address, so none is needed on this host".to_owned(),
        (true, true, Some("burgee")) => format!("on {interface}, put there by burgee"),
        (true, true, _) => format!("on {interface}"),
        (true, false, _) => "not on this host".to_owned(),
    }
}

fn conditions(view: &AnnouncementView, style: Style, out: &mut String) {
    title("CONDITIONS", style, out);
    let mut table = Table::default();
    for condition in &view.conditions {
        let verdict = match condition.ok {
            true => plain("ok"),
            false => cell("no", Tone::Problem),
        };
        table.row(!condition.ok, vec![verdict, plain(&condition.name), plain(&condition.text)]);
    }
    table.write(style, out);
}

fn peers(view: &AnnouncementView, style: Style, out: &mut String) {
    title("NEIGHBOURS", style, out);
    let mut table = Table::default();
    for peer in &view.peers {
        let SentView { name, state, sent, why_not } = peer;
        let is_wanting = sent.is_none() && view.state != AnnouncementState::Withdrawn;
        let what = match (sent, why_not) {
            (Some(path), _) => path_text(path),
            (None, Some(why)) => format!("nothing: {why}"),
            (None, None) => "nothing".to_owned(),
        };
        let tone = match state {
            SessionState::Established => Tone::Plain,
            _ => Tone::Problem,
        };
        table.row(is_wanting, vec![plain(name), cell(state.name(), tone), plain(what)]);
    }
    if view.peers.is_empty() {
        table.row(true, vec![plain("there is none")]);
    }
    table.write(style, out);
}

fn path_text(path: &PathView) -> String {
    let mut parts = vec![match path.as_path.as_str() {
        "" => "AS_PATH empty".to_owned(),
        as_path => format!("AS_PATH {as_path}"),
    }];
    parts.push(format!("next hop {}", path.next_hop));
    if path.origin != "igp" && !path.origin.is_empty() {
        parts.push(format!("origin {}", path.origin));
    }
    if let Some(med) = path.med {
        parts.push(format!("MED {med}"));
    }
    if let Some(local_pref) = path.local_pref {
        parts.push(format!("LOCAL_PREF {local_pref}"));
    }
    let communities: Vec<&str> = [&path.communities, &path.large_communities]
        .into_iter()
        .flatten()
        .map(String::as_str)
        .collect();
    if !communities.is_empty() {
        parts.push(format!("communities {}", communities.join(" ")));
    }
    parts.join(", ")
}
