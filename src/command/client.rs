//! One question to the instance, over its unix socket. A command may wait for
//! the answer, as the instance must not.

use std::fmt;
use std::io::{self, Read, Write};
use std::os::unix::net::UnixStream;
use std::time::Duration;

use crate::http::{Client, Content, Limits, Method, RequestHead, Response};

/// How long the instance may be silent. It looks at its socket some hundred
/// times a second.
const SILENCE: Duration = Duration::from_secs(5);

/// Most octets of an answer; the longest are some megabytes.
const MAX_BODY: usize = 256 * 1024 * 1024;

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Failure {
    /// There is no socket at the path.
    NotThere,
    /// There is one, and nobody listens on it.
    NobodyListens,
    /// We may not connect to it.
    NotAllowed,
    /// Anything else.
    Other(String),
}

impl fmt::Display for Failure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Failure::NotThere => f.write_str("no such file"),
            Failure::NobodyListens => f.write_str("connection refused"),
            Failure::NotAllowed => f.write_str("permission denied"),
            Failure::Other(text) => f.write_str(text),
        }
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Failure {
        match error.kind() {
            io::ErrorKind::NotFound => Failure::NotThere,
            io::ErrorKind::ConnectionRefused => Failure::NobodyListens,
            io::ErrorKind::PermissionDenied => Failure::NotAllowed,
            io::ErrorKind::WouldBlock => {
                Failure::Other(format!("no answer in {} s", SILENCE.as_secs()))
            }
            _ => Failure::Other(error.to_string()),
        }
    }
}

/// Asks, and waits for the status and the content of the answer.
pub(super) fn ask(path: &str, method: Method, target: &str) -> Result<(u16, Vec<u8>), Failure> {
    let mut stream = UnixStream::connect(path)?;
    stream.set_read_timeout(Some(SILENCE))?;
    stream.set_write_timeout(Some(SILENCE))?;
    let other = |problem: &dyn fmt::Display| Failure::Other(problem.to_string());
    let head = RequestHead::new(method, target, "burgee").map_err(|it| other(&it))?;
    let (mut client, mut request) = (Client::new(Limits::default()), Vec::new());
    client.close_after();
    client.request(&head, Content::Length(0), &mut request).map_err(|it| other(&it))?;
    stream.write_all(&request)?;
    let (mut input, mut place) = (Vec::new(), [0; 16 * 1024]);
    let (mut status, mut body) = (0, Vec::new());
    loop {
        let (done, event) = client.receive(&input);
        match event {
            Some(Response::Head { head, .. }) => status = head.status,
            Some(Response::Body(octets)) => body.extend_from_slice(octets),
            Some(Response::End) => return Ok((status, body)),
            Some(Response::Fault(fault)) => return Err(other(&format!("no HTTP: {fault}"))),
            Some(Response::Interim(_)) => {}
            None if done > 0 => {}
            None => {
                let count = match stream.read(&mut place) {
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
                    read => read?,
                };
                if count == 0 {
                    return match client.end_of_input() {
                        Ok(Some(Response::End)) => Ok((status, body)),
                        _ => Err(other(&"the answer breaks off")),
                    };
                }
                input.extend_from_slice(place.get(..count).unwrap_or_default());
                continue;
            }
        }
        input.drain(..done.min(input.len()));
        if body.len() > MAX_BODY {
            return Err(other(&"the answer does not end"));
        }
    }
}

/// A text of an answer in JSON; of another answer all that it says.
pub(super) fn text_of(body: &[u8], key: &str) -> String {
    let value: Option<serde_json::Value> = serde_json::from_slice(body).ok();
    let text = value.as_ref().and_then(|value| value.get(key)?.as_str());
    text.map_or_else(|| String::from_utf8_lossy(body).trim().to_owned(), str::to_owned)
}

#[cfg(test)]
mod tests {
    use std::os::unix::net::UnixListener;
    use std::path::PathBuf;

    use super::*;

    fn path(name: &str) -> PathBuf {
        std::env::temp_dir().join(format!("burgee-client-{}-{name}", std::process::id()))
    }

    /// Asks somebody who answers with these octets and closes.
    fn answered(name: &str, octets: &[u8]) -> Result<(u16, Vec<u8>), Failure> {
        let path = path(name);
        let listener = UnixListener::bind(&path).unwrap();
        let asked = std::thread::scope(|scope| {
            let asking = scope.spawn(|| ask(path.to_str().unwrap(), Method::Get, "/api/status"));
            let (mut stream, _) = listener.accept().unwrap();
            let mut request = [0; 1024];
            let count = stream.read(&mut request).unwrap();
            let request = std::str::from_utf8(&request[..count]).unwrap();
            assert!(request.starts_with("GET /api/status HTTP/1.1\r\nHost: burgee\r\n"));
            stream.write_all(octets).unwrap();
            drop(stream);
            asking.join().unwrap()
        });
        std::fs::remove_file(&path).unwrap();
        asked
    }

    #[test]
    fn answers_of_every_framing_are_read() {
        let length = b"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\n\r\nno";
        assert_eq!(answered("length", length).unwrap(), (404, b"no".to_vec()));
        let chunked =
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n0\r\n\r\n";
        assert_eq!(answered("chunked", chunked).unwrap(), (200, b"abc".to_vec()));
        let closed = b"HTTP/1.0 200 OK\r\n\r\nabc";
        assert_eq!(answered("closed", closed).unwrap(), (200, b"abc".to_vec()));
    }

    #[test]
    fn who_is_no_burgee_is_told_from_one() {
        let failure = |name, octets: &[u8]| answered(name, octets).unwrap_err().to_string();
        assert_eq!(
            failure("cut", b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nn"),
            "the answer breaks off"
        );
        assert_eq!(failure("nothing", b""), "the answer breaks off");
        assert!(failure("ssh", b"SSH-2.0-x\r\n\r\n").starts_with("no HTTP: "));
    }

    #[test]
    fn nobody_is_told_from_somebody() {
        let path = path("nobody");
        let ask = || ask(path.to_str().unwrap(), Method::Get, "/").unwrap_err();
        assert!(matches!(ask(), Failure::NotThere));
        drop(UnixListener::bind(&path).unwrap());
        assert!(matches!(ask(), Failure::NobodyListens), "left behind");
        std::fs::remove_file(&path).unwrap();
    }

    #[test]
    fn messages_are_taken_out_of_answers() {
        assert_eq!(text_of(b"{\"error\": \"no\"}\n", "error"), "no");
        assert_eq!(text_of(b"{\"other\": 1}", "error"), "{\"other\": 1}");
        assert_eq!(text_of(b"plain\n", "error"), "plain");
    }
}
