//! A certificate for servers on this machine, signed by an authority of its own.

use std::fs;
use std::os::unix::fs::chown;
use std::path::Path;
use std::process::Command;

use super::program::NOBODY;

/// The files of a certificate for `localhost` and `127.0.0.1`, and of the authority that signed it: for a server, or for a
/// client who has to show one. Gone when it is dropped.
///
/// ```no_run
/// use conformance_tests::{Certificate, Server, Software};
/// let ours = Certificate::new();
/// let words = [format!("ssl_cert_file={}", ours.certificate()), format!("ssl_key_file={}", ours.key())];
/// let server = Server::with(Software::Postgres, &["-c", "ssl=on", "-c", &words[0], "-c", &words[1]]);
/// ```
#[derive(Debug)]
pub struct Certificate(tempfile::TempDir);

impl Certificate {
    /// A new one, of an authority that nobody knows yet.
    ///
    /// # Panics
    ///
    /// When the program `openssl` does not make it.
    ///
    /// ```no_run
    /// let (ours, theirs) = (conformance_tests::Certificate::new(), conformance_tests::Certificate::new());
    /// ```
    #[expect(clippy::new_without_default, reason = "each is another one")]
    pub fn new() -> Self {
        let made = Self(tempfile::tempdir().expect("a temporary directory"));
        let key = "-newkey rsa:2048 -nodes";
        made.openssl(&format!(
            "req -x509 {key} -keyout authority.key -out authority.pem -days 2 -subj /CN=test"
        ));
        made.openssl(&format!("req {key} -keyout key.pem -out request.pem -subj /CN=localhost"));
        let names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
        fs::write(made.0.path().join("names"), names).expect("a file in a directory of ours");
        let signed = "-CA authority.pem -CAkey authority.key -CAcreateserial -days 2 -extfile names";
        made.openssl(&format!("x509 -req -in request.pem {signed} -out certificate.pem"));
        // A server that refuses to be root reads it, too, and some want that nobody else can. If we are not root, it is ours.
        for path in [made.0.path(), Path::new(&made.key())] {
            let _ = chown(path, Some(NOBODY), Some(NOBODY));
        }
        made
    }

    fn openssl(&self, words: &str) {
        let output = Command::new("openssl").args(words.split(' ')).current_dir(&self.0).output();
        let output = output.expect("openssl is there; apt-get install openssl");
        assert!(output.status.success(), "openssl {words}: {output:?}");
    }

    /// The path of the authority's own certificate.
    ///
    /// ```no_run
    /// let authority = conformance_tests::Certificate::new().authority();
    /// ```
    pub fn authority(&self) -> String {
        self.path("authority.pem")
    }

    /// The path of the certificate.
    ///
    /// ```no_run
    /// let certificate = conformance_tests::Certificate::new().certificate();
    /// ```
    pub fn certificate(&self) -> String {
        self.path("certificate.pem")
    }

    /// The path of its private key.
    ///
    /// ```no_run
    /// let key = conformance_tests::Certificate::new().key();
    /// ```
    pub fn key(&self) -> String {
        self.path("key.pem")
    }

    fn path(&self, name: &str) -> String {
        self.0.path().join(name).display().to_string()
    }
}
