//! A server that shows a certificate, and wants to see one.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::process::Command;

use conformance_tests::{Server, Software};
use etcd_client::{Certificate, Identity, TlsOptions};
use lock_core::{ErrorKind, Locker};
use lock_etcd::{Etcd, Options};

use crate::help::{LONG, within};

/// An authority, and a certificate that it signed for servers on this machine and their clients.
fn certify(directory: &Path, name: &str) {
    let openssl = |words: &str| {
        let output = Command::new("openssl").args(words.split(' ')).current_dir(directory).output();
        let output = output.expect("openssl is there; apt-get install openssl");
        assert!(output.status.success(), "openssl {words}: {output:?}");
    };
    let key = "-newkey rsa:2048 -nodes";
    openssl(&format!("req -x509 {key} -keyout {name}-ca.key -out {name}-ca.pem -days 2 -subj /CN={name}"));
    openssl(&format!("req {key} -keyout {name}.key -out {name}.csr -subj /CN=localhost"));
    fs::write(directory.join("names"), "subjectAltName=DNS:localhost,IP:127.0.0.1").expect("a file");
    openssl(&format!(
        "x509 -req -in {name}.csr -CA {name}-ca.pem -CAkey {name}-ca.key -CAcreateserial -days 2 -extfile names -out {name}.pem"
    ));
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_wants_a_certificate_that_is_known_on_either_side() {
    let directory = tempfile::tempdir().expect("a directory");
    let path = |name: &str| directory.path().join(name).display().to_string();
    certify(directory.path(), "ours");
    certify(directory.path(), "theirs");
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = port.expect("a free port").port();
    let _server = Server::with(
        Software::Etcd,
        &[
            &format!("--listen-client-urls=https://127.0.0.1:{port}"),
            &format!("--advertise-client-urls=https://127.0.0.1:{port}"),
            // Where one may ask without a certificate whether it is there.
            "--listen-metrics-urls=http://127.0.0.1:{port}",
            &format!("--cert-file={}", path("ours.pem")),
            &format!("--key-file={}", path("ours.key")),
            &format!("--trusted-ca-file={}", path("ours-ca.pem")),
            "--client-cert-auth",
        ],
    );
    let read = |name: &str| fs::read(path(name)).expect("just written");
    let authority = |name: &str| TlsOptions::new().ca_certificate(Certificate::from_pem(read(name)));
    let identity =
        |name: &str| Identity::from_pem(read(&format!("{name}.pem")), read(&format!("{name}.key")));
    let url = format!("etcds://localhost:{port}/tls");
    let refused = async |tls: Option<TlsOptions>| {
        let options = tls.map_or_else(Options::default, |tls| Options::default().tls(tls));
        let error = within(options.connect(&url)).await.expect_err("it must not connect");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    };
    // Neither authority is one of Mozilla's.
    refused(None).await;
    refused(Some(authority("theirs-ca.pem").identity(identity("ours")))).await;
    refused(Some(authority("ours-ca.pem"))).await;
    refused(Some(authority("ours-ca.pem").identity(identity("theirs")))).await;
    let plain = within(Etcd::connect(url.replace("etcds://", "etcd://"))).await.expect_err("it wants TLS");
    assert_eq!(plain.kind(), ErrorKind::Unavailable);

    let known = authority("ours-ca.pem").identity(identity("ours"));
    let store = within(Options::default().tls(known).connect(&url)).await.expect("both are known");
    let guard = within(Locker::new(store).with_ttl(LONG).lock("a").acquire()).await.expect("granted");
    within(guard.release()).await.expect("it was held");
}
