//! What the operator writes: configurations and route commands.

use std::collections::BTreeMap;

use burgee::config::{self, LoadError, Loaded};
use burgee::route::{self, Table};

use super::decoders::one_line;
use super::input::Input;

/// The option that is given alone for each first octet; the first is the
/// whole file.
const KEYS: [&str; 12] = [
    "",
    "bgp.peers",
    "bgp.anycastaddresses",
    "proxy.addr",
    "bgp.routerid",
    "bgp.asn",
    "bgp.holdtime",
    "bgp.listenaddresses",
    "health.interval",
    "registry.static.routes",
    "log.level",
    "bgp.nexthop6",
];

/// What else is needed for a configuration with BGP to be valid.
const BGP: [&str; 5] = [
    "-bgp.enabled=true",
    "-bgp.asn=65001",
    "-bgp.routerid=198.51.100.1",
    "-bgp.anycastaddresses=192.0.2.53/32",
    "-bgp.peers=address=198.51.100.2;asn=65000",
];

fn load(arguments: &[String], file: &[u8]) -> Result<Loaded, LoadError> {
    let environment = [("HOME".to_owned(), "/root".to_owned()), ("a".to_owned(), "b".to_owned())];
    let read_file = |path: &str| match path {
        "file" => Ok(file.to_vec()),
        "secret" => Ok(b"s3cret\n".to_vec()),
        _ => Err(std::io::ErrorKind::NotFound.into()),
    };
    config::load(arguments, &environment, &read_file)
}

/// A file, or the value of one flag beside those that it needs.
pub(crate) fn configuration(data: &[u8]) {
    let mut input = Input::new(data);
    let key = KEYS[input.below(KEYS.len())];
    let rest = input.rest();
    let mut arguments = vec!["-cfg".to_owned(), "file".to_owned()];
    let mut file: &[u8] = &[];
    if key.is_empty() {
        file = rest;
    } else {
        let text = String::from_utf8_lossy(rest);
        let others = BGP.iter().filter(|flag| !flag.starts_with(&format!("-{key}=")));
        arguments.extend(others.map(|flag| (*flag).to_owned()));
        arguments.push(format!("-{key}={text}"));
    }
    match load(&arguments, file) {
        Ok(loaded) => {
            loaded.warnings.iter().for_each(|warning| one_line(warning));
            read_back(&loaded);
        }
        Err(error) => {
            assert!(!error.errors.is_empty() && matches!(error.exit_code, 1 | 2));
            error.errors.iter().chain(&error.warnings).for_each(|line| one_line(line));
            routes(error.static_routes.as_bytes());
        }
    }
}

/// What is printed as the configuration in force is the same configuration,
/// but for secrets.
fn read_back(loaded: &Loaded) {
    let printed = loaded.effective.to_string();
    // Secrets are printed as `***`, and `${` as it stands.
    if printed.contains("password") || printed.contains("${") {
        return;
    }
    let arguments = ["-cfg".to_owned(), "file".to_owned()];
    let again = load(&arguments, printed.as_bytes());
    let again = again.unwrap_or_else(|error| panic!("{printed}\n{:?}", error.errors));
    assert_eq!(format!("{:?}", again.config), format!("{:?}", loaded.config), "{printed}");
}

/// Route commands, and the table made of them.
pub(crate) fn routes(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    let parsed = route::parse(&text);
    let lines = text.split('\n').count();
    let mut seen = BTreeMap::new();
    let commands = parsed.commands.iter().map(|(line, _)| (*line, "command"));
    for (line, what) in commands.chain(parsed.errors.iter().map(|error| (error.line, "error"))) {
        assert!((1..=lines).contains(&line), "line {line} of {lines}");
        assert_eq!(seen.insert(line, what), None, "line {line} twice");
    }
    parsed.errors.iter().for_each(|error| one_line(&error.to_string()));
    let table = Table::build(&parsed.commands);
    for route in table.routes() {
        let found = table.lookup(route.source()).map(|found| found.source());
        assert_eq!(found, Some(route.source()));
        let targets = route.targets();
        let shares: f64 = targets.iter().map(|target| target.share).sum();
        assert!(!targets.is_empty() && (shares - 1.0).abs() < 1e-6, "shares of {shares}");
        assert!(targets.iter().all(|target| (0.0..=1.0 + 1e-9).contains(&target.share)));
        let slots: u64 = targets.iter().map(|target| u64::from(target.slots)).sum();
        assert_eq!(slots, route.ring_size() as u64);
        let ring = route.ring();
        assert!(ring.len() == route.ring_size() && ring.iter().all(|&at| at < targets.len()));
        let is_udp = route.source().is_udp();
        let list = if is_udp { table.udp_targets() } else { table.targets() };
        let listed = |index: usize| index < list.len();
        assert!(targets.iter().all(|t| t.address().is_some() || t.index.is_none()));
        assert!(targets.iter().all(|target| target.index.is_none_or(listed)));
    }
    read_back_routes(&table);
    in_slices(data, &table);
}

/// What a table is shown as makes the same table again.
fn read_back_routes(table: &Table) {
    let shown = table.to_string();
    let parsed = route::parse(&shown);
    assert!(parsed.errors.is_empty(), "{shown}\n{:?}", parsed.errors);
    assert_eq!(Table::build(&parsed.commands).to_string(), shown);
}

/// A builder makes the same table of the text, whatever the size of its steps,
/// where that has no lines that only the builder refuses.
fn in_slices(data: &[u8], table: &Table) {
    let is_plain = std::str::from_utf8(data).is_ok() && !data.starts_with(b"\xef\xbb\xbf");
    let mut builder = route::TableBuilder::new(data.into());
    let built = loop {
        if let Some(built) = builder.step(3) {
            break built;
        }
    };
    built.errors.iter().chain(&built.warnings).for_each(|line| one_line(&line.to_string()));
    if is_plain && data.len() <= route::builder::LONGEST_LINE {
        assert_eq!(built.table.to_string(), table.to_string());
    }
}
