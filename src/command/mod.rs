//! The commands that ask a running instance: `status`, `explain`, `drain` and
//! `resume`. They talk to its unix socket, say what it answers in a form for people
//! or as JSON, and end with a code for scripts.
//!
//! `client` asks, `status` and `explain` are the pages, `page` is what both are
//! made of.

mod client;
mod explain;
mod page;
#[cfg(test)]
mod situations;
mod status;

use std::io::{IsTerminal, Write};
use std::process::ExitCode;
use std::time::Duration;

use self::client::Failure;
use self::page::Style;
use crate::admin::parse_prefix;
use crate::admin::view::{AnnouncementView, StatusView};
use crate::http::Method;
use crate::reactor::clock;

/// The commands of this room.
pub const NAMES: [&str; 4] = ["status", "explain", "drain", "resume"];

/// Time between two pages of `--watch`.
const INTERVAL: Duration = Duration::from_secs(1);

/// Moves the cursor home and clears what is behind it (ECMA-48).
const CLEAR: &str = "\x1b[H\x1b[J";

/// What all of them can be told, for `--help`.
pub const HELP: &str =
    "  status [--json] [--watch]          neighbours, prefixes with why, services
  explain PREFIX [--json] [--watch]  why a prefix is announced or not, what comes
                                     next, and what each neighbour was sent
  drain [PREFIX]                     withdraw everything, or one prefix; connections
                                     go on
  resume [PREFIX]                    take that back

They ask the running instance at ui.socket of the same configuration (-cfg and
other flags as for run), or at --socket PATH. Exit codes:
  0  as it should be; drain and resume: done
  1  not so. status: /health is red, a session is down, or a prefix is not fully
     announced; explain: its state is not announced; drain and resume: refused
  2  wrong usage, or no such prefix
  3  no instance answers
";

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ending {
    Good = 0,
    Bad = 1,
    Usage = 2,
    Nobody = 3,
}

impl From<Ending> for ExitCode {
    fn from(ending: Ending) -> ExitCode {
        ExitCode::from(ending as u8)
    }
}

/// What was asked for on the command line.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Asked {
    /// As it was written.
    prefix: Option<String>,
    json: bool,
    watch: bool,
    socket: Option<String>,
    /// Flags of the configuration.
    rest: Vec<String>,
}

/// Runs one of [`NAMES`]. `socket` finds the path of the instance's socket in
/// the configuration, given the arguments that are none of ours; an error of it is
/// one of usage.
pub fn run(
    name: &str,
    arguments: &[String],
    socket: impl FnOnce(&[String]) -> Result<String, String>,
) -> ExitCode {
    let found = parse(name, arguments).and_then(|mut asked| {
        let path = match asked.socket.take() {
            Some(path) => path,
            None => socket(&asked.rest)?,
        };
        if path.is_empty() {
            let how = "ui.socket is empty, so that the instance cannot be asked; set it";
            return Err(how.to_owned());
        }
        Ok((path, asked))
    });
    match found {
        Ok((path, asked)) => command(name, &path, &asked).into(),
        Err(problem) => {
            complain(&format!("{name}: {problem}"));
            complain("see burgee --help");
            Ending::Usage.into()
        }
    }
}

fn parse(name: &str, arguments: &[String]) -> Result<Asked, String> {
    let mut asked = Asked::default();
    let mut all = arguments.iter();
    let takes_prefix = name != "status";
    if let Some(first) = arguments.first().filter(|first| !first.starts_with('-')) {
        all.next();
        match parse_prefix(first) {
            _ if !takes_prefix => return Err(format!("it takes no argument, found {first:?}")),
            None => return Err(format!("expected a prefix, as 192.0.2.10/32, found {first:?}")),
            Some(_) => asked.prefix = Some(first.clone()),
        }
    }
    let shows = matches!(name, "status" | "explain");
    while let Some(argument) = all.next() {
        let flag = argument.strip_prefix("--").or_else(|| argument.strip_prefix('-'));
        match flag {
            Some("json") if shows => asked.json = true,
            Some("watch") if shows => asked.watch = true,
            Some("socket") => {
                asked.socket = Some(all.next().ok_or("--socket needs a path")?.clone());
            }
            Some(flag) if flag.starts_with("socket=") => {
                asked.socket = flag.split_once('=').map(|(_, path)| path.to_owned());
            }
            _ => asked.rest.push(argument.clone()),
        }
    }
    match &asked {
        Asked { prefix: None, .. } if name == "explain" => {
            Err("expected a prefix, as 192.0.2.10/32".to_owned())
        }
        Asked { socket: Some(_), rest, .. } if !rest.is_empty() => {
            Err(format!("with --socket there is no use for {:?}", rest.join(" ")))
        }
        _ => Ok(asked),
    }
}

fn command(name: &str, socket: &str, asked: &Asked) -> Ending {
    match name {
        "drain" | "resume" => order(name, socket, asked),
        _ if asked.watch => loop {
            // Until it is interrupted, or nobody reads on.
            let (text, ending) = show(name, socket, asked);
            if ending == Ending::Usage {
                complain(text.trim_end());
                return ending;
            }
            let clear = if std::io::stdout().is_terminal() { CLEAR } else { "" };
            if print(&format!("{clear}{text}")).is_err() {
                return Ending::Good;
            }
            clock::sleep(INTERVAL);
        },
        _ => {
            let (text, ending) = show(name, socket, asked);
            match ending {
                Ending::Good | Ending::Bad => drop(print(&text)),
                Ending::Usage | Ending::Nobody => complain(text.trim_end()),
            }
            ending
        }
    }
}

/// One page, and what it means.
fn show(name: &str, socket: &str, asked: &Asked) -> (String, Ending) {
    let target = match &asked.prefix {
        Some(prefix) => format!("/api/announcements/{prefix}"),
        None => "/api/status".to_owned(),
    };
    let target = if asked.json { format!("{target}?pretty") } else { target };
    let answer = match client::ask(socket, Method::Get, &target) {
        Ok((200, body)) => body,
        Ok((status, body)) => return refused(name, status, &body),
        Err(failure) => return (nobody(socket, &failure), Ending::Nobody),
    };
    let style =
        Style::of_terminal(std::io::stdout().is_terminal(), &|name| std::env::var(name).ok());
    let ending = |is_good| if is_good { Ending::Good } else { Ending::Bad };
    let shown = match asked.prefix {
        None => serde_json::from_slice(&answer).map(|status: StatusView| {
            (status::page(&status, style), ending(status::is_good(&status)))
        }),
        Some(_) => serde_json::from_slice(&answer).map(|view: AnnouncementView| {
            (explain::page(&view, style), ending(explain::is_good(&view)))
        }),
    };
    match shown {
        Ok((_, ending)) if asked.json => (String::from_utf8_lossy(&answer).into_owned(), ending),
        Ok(shown) => shown,
        Err(error) => {
            let text = format!("{name}: what answers at {socket} is no burgee: {error}\n");
            (text, Ending::Nobody)
        }
    }
}

fn order(name: &str, socket: &str, asked: &Asked) -> Ending {
    let target = match &asked.prefix {
        Some(prefix) => format!("/api/{name}/{prefix}"),
        None => format!("/api/{name}"),
    };
    match client::ask(socket, Method::Post, &target) {
        Ok((200, body)) => {
            let message = client::text_of(&body, "message");
            let _ = print(&format!("{message}\n"));
            Ending::Good
        }
        Ok((status, body)) => {
            let (text, ending) = refused(name, status, &body);
            complain(text.trim_end());
            ending
        }
        Err(failure) => {
            complain(nobody(socket, &failure).trim_end());
            Ending::Nobody
        }
    }
}

fn refused(name: &str, status: u16, body: &[u8]) -> (String, Ending) {
    let ending = if status == 404 { Ending::Usage } else { Ending::Bad };
    (format!("{name}: {}\n", client::text_of(body, "error")), ending)
}

/// Which socket was tried, and what to do about it.
fn nobody(socket: &str, failure: &Failure) -> String {
    let advice = match failure {
        Failure::NotThere => {
            "nothing is there: burgee does not run, or has another ui.socket; give the \
             configuration that it runs with (-cfg FILE), or --socket PATH"
        }
        Failure::NobodyListens => "the burgee that made this socket is gone; start it again",
        Failure::NotAllowed => "run this as root, or as the user or the group that burgee runs as",
        Failure::Other(_) => "it may be busy or no burgee; its log says more",
    };
    format!("no instance answers at {socket}: {failure}; {advice}\n")
}

fn print(text: &str) -> std::io::Result<()> {
    let mut out = std::io::stdout();
    out.write_all(text.as_bytes())?;
    out.flush()
}

fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "error: {text}");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> Result<Asked, String> {
        let mut words = line.split(' ').map(str::to_owned);
        let name = words.next().unwrap();
        parse(&name, &words.filter(|word| !word.is_empty()).collect::<Vec<String>>())
    }

    #[test]
    fn arguments_are_ours_or_the_configurations() {
        let texts = |texts: &[&str]| texts.iter().map(|text| (*text).to_owned()).collect();
        let none = Asked::default();
        assert_eq!(parsed("status").unwrap(), none);
        let asked = Asked { json: true, watch: true, ..none.clone() };
        assert_eq!(parsed("status --json -watch").unwrap(), asked);
        let rest = texts(&["-cfg", "/etc/burgee", "-bgp.enabled"]);
        let asked = Asked { json: true, rest, ..none.clone() };
        assert_eq!(parsed("status -cfg /etc/burgee --json -bgp.enabled").unwrap(), asked);
        for line in ["explain 192.0.2.10/32 --socket /s", "explain 192.0.2.10/32 -socket=/s"] {
            let (prefix, socket) = (Some("192.0.2.10/32".to_owned()), Some("/s".to_owned()));
            assert_eq!(parsed(line).unwrap(), Asked { prefix, socket, ..none.clone() });
        }
        assert_eq!(parsed("drain").unwrap(), none);
        let prefix = Some("2001:db8::1".to_owned());
        assert_eq!(parsed("resume 2001:db8::1").unwrap(), Asked { prefix, ..none.clone() });
        let asked = Asked { rest: texts(&["--json"]), ..none };
        assert_eq!(parsed("drain --json").unwrap(), asked, "no flag of this command");
    }

    #[test]
    fn wrong_usage_says_what_was_expected() {
        for (line, what) in [
            ("status web", "it takes no argument, found \"web\""),
            ("explain", "expected a prefix, as 192.0.2.10/32"),
            ("explain web", "expected a prefix, as 192.0.2.10/32, found \"web\""),
            ("explain --json 192.0.2.1", "expected a prefix, as 192.0.2.10/32"),
            ("drain everything", "expected a prefix, as 192.0.2.10/32, found \"everything\""),
            ("status --socket", "--socket needs a path"),
            ("status --socket /s --jsn", "with --socket there is no use for \"--jsn\""),
        ] {
            assert_eq!(parsed(line).unwrap_err(), what, "{line}");
        }
    }

    #[test]
    fn help_fits_a_terminal_and_names_all_commands() {
        assert!(HELP.lines().all(|line| line.len() <= 85), "{HELP}");
        let has = |name: &&str| HELP.lines().any(|line| line.starts_with(&format!("  {name} ")));
        assert!(NAMES.iter().all(has), "{HELP}");
    }
}
