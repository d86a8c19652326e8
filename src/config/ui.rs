//! `ui.*` and `metrics.prometheus.path`: where the admin API is, and who may
//! use it.

use std::net::SocketAddr;

use super::address::Address;
use super::load::ReadFile;
use super::reader::{Item, Reader};
use super::settings::Setting;
use super::templates::ListInterfaces;
use super::{ListenerConfig, Secret, listeners, peers};

/// The admin API: a listener, and a unix socket for the commands.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UiConfig {
    /// `ui.addr`: `None`: there is no listener.
    pub addr: Option<SocketAddr>,
    /// Whether the unspecified address was left out (`:9998`): one dual-stack
    /// socket, as in [`ListenerConfig::dual_stack`].
    pub dual_stack: bool,
    /// Whether somebody set `ui.addr`: then it has to be free.
    pub addr_is_set: bool,
    /// `ui.socket`: `None`: there is no unix socket.
    pub socket: Option<String>,
    /// Whether somebody set `ui.socket`: then it has to be there.
    pub socket_is_set: bool,
    /// `ui.access=ro`: nothing may be changed.
    pub read_only: bool,
    /// `ui.path`: empty, or a path with a `/` before and none behind it.
    pub path: String,
    /// `ui.username`, and `ui.password` or the first line of
    /// `ui.passwordfile`: what clients of the listener have to give.
    pub credentials: Option<(String, Secret)>,
    /// `metrics.prometheus.path`: it begins with a `/`.
    pub metrics_path: String,
}

/// Whether this program has the admin API.
const HAS_API: bool = cfg!(feature = "http");

/// Its keys, and what is in the way without it.
const ADDR: &str = "ui.addr";
const SOCKET: &str = "ui.socket";
const NO_API: &str = "this burgee was built without the feature `http`; set it to nothing";

/// The longest path of a unix socket in Linux: sun_path of unix(7), less the
/// zero at its end.
const LONGEST_SOCKET: usize = 107;

/// The path that is never anything else.
const HEALTH: &str = "/health";

/// Reads all keys. `proxy` are the listeners for clients.
pub(super) fn read(
    reader: &mut Reader<'_>,
    proxy: &[ListenerConfig],
    read_file: ReadFile<'_>,
    interfaces: ListInterfaces<'_>,
) -> UiConfig {
    let address = address(reader, proxy, interfaces);
    let read_only = reader.parse("ui.access", |text| match text {
        "rw" => Ok(false),
        "ro" => Ok(true),
        _ => Err("expected rw or ro".to_owned()),
    });
    let path = reader.parse("ui.path", prefix).unwrap_or_default();
    let config = UiConfig {
        addr: address.as_ref().map(|address| address.address),
        dual_stack: address.is_some_and(|address| address.dual_stack),
        addr_is_set: is_set(reader, ADDR),
        socket: reader.parse(SOCKET, socket).flatten().filter(|_| HAS_API),
        socket_is_set: is_set(reader, SOCKET),
        read_only: read_only.unwrap_or(true),
        metrics_path: metrics_path(reader, &path),
        path,
        credentials: credentials(reader, read_file),
    };
    refuse_without_api(reader);
    warn_of_strangers(&config, reader);
    config
}

fn is_set(reader: &mut Reader<'_>, key: &str) -> bool {
    reader.setting(key).is_some_and(Setting::is_set)
}

/// The one listener.
fn address(
    reader: &mut Reader<'_>,
    proxy: &[ListenerConfig],
    interfaces: ListInterfaces<'_>,
) -> Option<Address> {
    let (setting, maps) = reader.maps(ADDR)?;
    let [map] = maps.as_slice() else {
        if !maps.is_empty() {
            reader.fail(setting, "expected one listener");
        }
        return None;
    };
    let written = map.get("").or(map.get("addr")).unwrap_or_default();
    let item = Item::new(setting, format!("listener {written}"), map);
    item.check_keys(reader.report);
    check_protocol(&item, reader);
    let address = listeners::address(&item, written, interfaces, reader)?;
    match proxy.iter().find(|listener| listeners::takes(listener, &address)) {
        None => Some(address).filter(|_| HAS_API || setting.is_set()),
        Some(other) => {
            let other = listeners::print(other);
            let what = format!("it takes the same connections as listener {other} of proxy.addr");
            match setting.is_set() {
                true => item.fail(reader.report, &what),
                false => item.warn(reader.report, &format!("{what}, so that there is no listener")),
            }
            None
        }
    }
}

fn check_protocol(item: &Item<'_>, reader: &mut Reader<'_>) {
    match item.get("proto") {
        None | Some("http") => {}
        Some(protocol @ "https") => {
            let what = "TLS for the API is not supported yet; expected http";
            item.fail_value(reader.report, "proto", protocol, what);
        }
        Some(other) => item.fail_value(reader.report, "proto", other, "expected http"),
    }
}

fn socket(text: &str) -> Result<Option<String>, String> {
    match text {
        "" => Ok(None),
        path if path.len() > LONGEST_SOCKET => {
            Err(format!("expected a path of at most {LONGEST_SOCKET} octets"))
        }
        path if path.contains('\0') => Err("expected a path".to_owned()),
        path => Ok(Some(path.to_owned())),
    }
}

/// As fabio does: a `/` in front, and none behind.
fn prefix(text: &str) -> Result<String, String> {
    check_path(text)?;
    let path = text.trim_end_matches('/');
    Ok(match path {
        "" => String::new(),
        path if path.starts_with('/') => path.to_owned(),
        path => format!("/{path}"),
    })
}

/// RFC 3986 §3.3: a path ends where a query begins, and has no blanks.
fn check_path(text: &str) -> Result<(), String> {
    match text.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'?' | b'#')) {
        true => Ok(()),
        false => Err("expected a path, without blanks, ? and #".to_owned()),
    }
}

fn metrics_path(reader: &mut Reader<'_>, prefix: &str) -> String {
    let parse = |text: &str| {
        check_path(text)?;
        if !text.starts_with('/') {
            return Err("expected a path that begins with /".to_owned());
        }
        let api = text.strip_prefix(prefix).is_some_and(|rest| rest.starts_with("/api/"));
        match api || text == HEALTH {
            true => Err("expected another path; this one has a meaning of its own".to_owned()),
            false => Ok(text.to_owned()),
        }
    };
    reader.parse("metrics.prometheus.path", parse).unwrap_or_default()
}

/// `ui.username` and one of the two ways to write its password.
fn credentials(reader: &mut Reader<'_>, read_file: ReadFile<'_>) -> Option<(String, Secret)> {
    let name = reader.parse("ui.username", user_name)?;
    let password = password(reader, read_file);
    let has_password = ["ui.password", "ui.passwordfile"]
        .iter()
        .any(|key| reader.setting(key).is_some_and(|setting| !setting.value.is_empty()));
    match (name.is_empty(), has_password) {
        (true, false) => None,
        (false, true) => password.map(|password| (name, password)),
        (true, true) => fail(reader, "ui.username", "there is a password, and no user of it"),
        (false, false) => fail(
            reader,
            "ui.username",
            "the user has no password; set ui.password or ui.passwordfile",
        ),
    }
}

fn password(reader: &mut Reader<'_>, read_file: ReadFile<'_>) -> Option<Secret> {
    let text = reader.parse("ui.password", check_text)?;
    let path = reader.text("ui.passwordfile");
    let password = match (text.is_empty(), path.is_empty()) {
        (true, true) => return None,
        (false, true) => text.to_owned(),
        (true, false) => reader.parse("ui.passwordfile", |path| {
            let content = peers::password_from_file(path, read_file)?;
            let line = content.lines().next().unwrap_or_default();
            match line {
                "" => Err("the first line of the file is empty".to_owned()),
                line => check_text(line).map(str::to_owned),
            }
        })?,
        (false, false) => {
            return fail(reader, "ui.passwordfile", "ui.password is set too; remove one");
        }
    };
    Some(Secret::new(password))
}

/// RFC 7617 §2: the name ends at a colon.
fn user_name(text: &str) -> Result<String, String> {
    match check_text(text)?.contains(':') {
        true => Err("expected a name without a colon".to_owned()),
        false => Ok(text.to_owned()),
    }
}

/// RFC 7617 §2: neither name nor password has control characters.
fn check_text(text: &str) -> Result<&str, String> {
    match text.contains(char::is_control) {
        true => Err("expected a text without control characters".to_owned()),
        false => Ok(text),
    }
}

fn fail<T>(reader: &mut Reader<'_>, key: &str, what: &str) -> Option<T> {
    reader.parse(key, |_| Err::<T, String>(what.to_owned()))
}

/// What was asked for and this program cannot give.
fn refuse_without_api(reader: &mut Reader<'_>) {
    for key in [ADDR, SOCKET].into_iter().filter(|_| !HAS_API) {
        if let Some(setting) = reader.setting(key)
            && setting.is_set()
            && !setting.value.is_empty()
        {
            reader.fail(setting, NO_API);
        }
    }
}

/// An API that anybody can reach, and with which anybody can stop the service.
fn warn_of_strangers(config: &UiConfig, reader: &mut Reader<'_>) {
    let Some(setting) = reader.setting(ADDR) else { return };
    let Some(addr) = config.addr else {
        if config.credentials.is_some()
            && let Some(setting) = reader.setting("ui.username")
        {
            reader.warn(setting, "it has no effect, as ui.addr is empty");
        }
        return;
    };
    if !addr.ip().is_loopback() && config.credentials.is_none() && !config.read_only {
        let what = "whoever reaches this address can drain this instance; set ui.username and \
                    ui.password, or ui.access=ro, or an address of 127.0.0.0/8";
        reader.warn(setting, what);
    }
}
