//! A burgee whose configuration is a file that can change.

use std::fs;
use std::path::PathBuf;

use super::program::{Burgee, Log};

/// A properties file, replaced as a whole each time, as editors do it.
pub struct File(pub PathBuf);

impl File {
    pub fn new(name: &str, text: &str) -> File {
        let directory = std::env::temp_dir().join(format!("burgee-{}-{name}", std::process::id()));
        fs::create_dir_all(&directory).expect("a directory");
        let file = File(directory.join("burgee.properties"));
        file.write(text);
        file
    }

    pub fn path(&self) -> &str {
        self.0.to_str().expect("a plain name")
    }

    pub fn write(&self, text: &str) {
        let new = self.0.with_extension("new");
        fs::write(&new, text).expect("written");
        fs::rename(new, &self.0).expect("replaced");
    }
}

impl Drop for File {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(self.0.parent().expect("its directory"));
    }
}

/// A burgee with its file and its log.
pub struct Running {
    pub file: File,
    pub burgee: Burgee,
    pub log: Log,
}

impl Running {
    /// Starts it, and waits until it has its routes.
    pub fn start(name: &str, text: &str) -> Running {
        let file = File::new(name, text);
        let mut burgee = Burgee::start(&["-cfg".to_owned(), file.path().to_owned()]);
        let mut log = burgee.log();
        log.until("route event=loaded");
        Running { file, burgee, log }
    }

    /// Reloads with this file, which has other routes, and waits until these are
    /// in force; returns the last line that is said of the reload.
    pub fn reroute(&mut self, text: &str) -> String {
        let line = self.reload(text);
        self.log.until("route event=loaded");
        line
    }

    /// Reloads with this file; returns the last line that is said of it.
    pub fn reload(&mut self, text: &str) -> String {
        self.file.write(text);
        self.burgee.signal("HUP");
        loop {
            let line = self.log.until("reload event=");
            if line.contains("event=done") || line.contains("event=refused") {
                return line;
            }
        }
    }
}
