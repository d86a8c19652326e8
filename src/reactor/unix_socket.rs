//! A stream socket that listens at a path, for commands on this host.

use std::fs::{self, Permissions};
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use mio::event::Source;
use mio::net::{UnixListener, UnixStream};
use mio::{Interest, Registry};
use socket2::{Domain, SockAddr, Socket, Type};

use super::lock_file::{LockFile, named};

/// Who may connect: the owner and the group of the process.
const MODE: u32 = 0o660;
/// Most connections that wait to be accepted.
const BACKLOG: i32 = 128;

/// The listener. When it is dropped its path is gone, if it is still its own.
#[derive(Debug)]
pub struct UnixSocket {
    listener: UnixListener,
    path: PathBuf,
    identity: Identity,
    _lock: LockFile,
}

/// Which file it is: device and inode.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Identity(u64, u64);

impl Identity {
    fn of(path: &Path) -> io::Result<Identity> {
        fs::symlink_metadata(path).map(|data| Identity(data.dev(), data.ino()))
    }
}

impl UnixSocket {
    /// Listens at `path`, with the permissions 0660; its directory is made if
    /// only that is missing. A socket that a process left behind when it died is
    /// replaced, one that somebody listens on and a file of another kind never.
    ///
    /// # Errors
    /// WouldBlock or AddrInUse, with a text, if another process has it; others
    /// name what could not be done.
    pub fn bind(path: &Path) -> io::Result<UnixSocket> {
        // Two that start at once would each take the other's socket for one
        // that was left behind, between its bind and its listen.
        let lock = LockFile::take(path)?;
        let address =
            SockAddr::unix(path).map_err(|error| named("cannot listen at", path, &error))?;
        let bound = || -> io::Result<Socket> {
            let socket = Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None)?;
            socket.bind(&address)?;
            Ok(socket)
        };
        let socket = match bound() {
            Err(error) if error.kind() == io::ErrorKind::AddrInUse => {
                remove_stale(path)?;
                bound()
            }
            other => other,
        };
        let socket = socket.map_err(|error| named("cannot listen at", path, &error))?;
        // Nobody can connect before it listens, and then the permissions hold.
        let identity = Identity::of(path)
            .and_then(|identity| {
                fs::set_permissions(path, Permissions::from_mode(MODE))?;
                socket.listen(BACKLOG)?;
                Ok(identity)
            })
            .map_err(|error| named("cannot listen at", path, &error))?;
        let listener = std::os::unix::net::UnixListener::from(OwnedFd::from(socket));
        Ok(UnixSocket {
            listener: UnixListener::from_std(listener),
            path: path.to_owned(),
            identity,
            _lock: lock,
        })
    }

    /// The next connection that waits; it does not block either.
    ///
    /// # Errors
    /// Those of accept4(2); WouldBlock when none waits.
    pub fn accept(&self) -> io::Result<UnixStream> {
        self.listener.accept().map(|(stream, _)| stream)
    }

    /// Where it listens.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for UnixSocket {
    fn drop(&mut self) {
        if Identity::of(&self.path).is_ok_and(|found| found == self.identity) {
            let _ = fs::remove_file(&self.path);
        }
    }
}

/// Removes a socket that nobody listens on.
fn remove_stale(path: &Path) -> io::Result<()> {
    let in_use = |what: &str| {
        let text = format!("cannot listen at {}: {what}", path.display());
        io::Error::new(io::ErrorKind::AddrInUse, text)
    };
    let data = fs::symlink_metadata(path).map_err(|error| named("cannot look at", path, &error))?;
    if !data.file_type().is_socket() {
        return Err(in_use("a file that is no socket is in the way"));
    }
    match UnixStream::connect(path) {
        Err(error) if error.kind() == io::ErrorKind::ConnectionRefused => {}
        // A full queue is a sign of life as well.
        Ok(_) => return Err(in_use("another instance listens there")),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
            return Err(in_use("another instance listens there"));
        }
        Err(error) => return Err(named("cannot tell who listens at", path, &error)),
    }
    fs::remove_file(path).map_err(|error| named("cannot replace", path, &error))
}

impl Source for UnixSocket {
    fn register(&mut self, registry: &Registry, token: mio::Token, i: Interest) -> io::Result<()> {
        self.listener.register(registry, token, i)
    }

    fn reregister(
        &mut self,
        registry: &Registry,
        token: mio::Token,
        i: Interest,
    ) -> io::Result<()> {
        self.listener.reregister(registry, token, i)
    }

    fn deregister(&mut self, registry: &Registry) -> io::Result<()> {
        self.listener.deregister(registry)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reactor::testing::Folder;
    use std::io::{Read, Write};
    use std::os::unix::net as unix;

    impl Folder {
        fn path(&self) -> PathBuf {
            self.0.join("control.sock")
        }
    }

    #[test]
    fn it_is_there_while_it_listens() {
        let folder = Folder::new("unix");
        let path = folder.path();
        let socket = UnixSocket::bind(&path).unwrap();
        let mode = fs::metadata(&path).unwrap().permissions().mode();
        assert_eq!((mode & 0o777, socket.path()), (0o660, path.as_path()));
        assert_eq!(socket.accept().unwrap_err().kind(), io::ErrorKind::WouldBlock);
        let mut client = unix::UnixStream::connect(&path).unwrap();
        client.write_all(b"hello").unwrap();
        let mut accepted = socket.accept().unwrap();
        let mut buffer = [0; 16];
        assert_eq!(accepted.read(&mut buffer).unwrap(), 5);
        let error = accepted.read(&mut buffer).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock, "it does not block");
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn one_that_was_left_behind_is_replaced_and_a_live_one_never() {
        let folder = Folder::new("unix-stale");
        let path = folder.path();
        fs::create_dir(&folder.0).unwrap();
        let other = unix::UnixListener::bind(&path).unwrap();
        let text = |result: io::Result<UnixSocket>| {
            let error = result.unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::AddrInUse, "{error}");
            error.to_string()
        };
        assert!(text(UnixSocket::bind(&path)).contains("another instance listens there"));
        // Even if its queue is full.
        let fill = || Socket::new(Domain::UNIX, Type::STREAM.nonblocking(), None).unwrap();
        let address = SockAddr::unix(&path).unwrap();
        let mut waiting = Vec::new();
        loop {
            let client = fill();
            match client.connect(&address) {
                Ok(()) => waiting.push(client),
                Err(error) => break assert_eq!(error.kind(), io::ErrorKind::WouldBlock),
            }
        }
        assert!(text(UnixSocket::bind(&path)).contains("another instance listens there"));
        drop((waiting, other));
        assert!(path.exists(), "the file stays when its process dies");
        let socket = UnixSocket::bind(&path).unwrap();
        let error = UnixSocket::bind(&path).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::WouldBlock);
        assert!(error.to_string().contains("another instance"), "{error}");
        unix::UnixStream::connect(&path).unwrap();
        drop(socket);
    }

    #[test]
    fn what_is_not_its_own_stays() {
        let folder = Folder::new("unix-other");
        let path = folder.path();
        fs::create_dir(&folder.0).unwrap();
        fs::write(&path, "notes").unwrap();
        let error = UnixSocket::bind(&path).unwrap_err().to_string();
        assert!(error.contains("no socket is in the way"), "{error}");
        assert_eq!(fs::read(&path).unwrap(), b"notes");
        fs::remove_file(&path).unwrap();
        // Somebody removed it and put another one there.
        let socket = UnixSocket::bind(&path).unwrap();
        fs::remove_file(&path).unwrap();
        let _other = unix::UnixListener::bind(&path).unwrap();
        drop(socket);
        assert!(path.exists());
        let long = folder.0.join("x".repeat(120));
        let error = UnixSocket::bind(&long).unwrap_err().to_string();
        assert!(error.contains("cannot listen at") && error.contains("SUN_LEN"), "{error}");
    }
}
