//! A server that shows a certificate, and wants to see one.

use std::fs;
use std::net::TcpListener;

use conformance_tests::{Certificate, Server, Software};
use etcd_client::{Identity, TlsOptions};
use lock_core::{ErrorKind, Locker};
use lock_etcd::{Etcd, Options};

use crate::help::{LONG, within};

#[tokio::test(flavor = "multi_thread")]
async fn tls_wants_a_certificate_that_is_known_on_either_side() {
    let (ours, theirs) = (Certificate::new(), Certificate::new());
    let port = TcpListener::bind("127.0.0.1:0").and_then(|listener| listener.local_addr());
    let port = port.expect("a free port").port();
    let _server = Server::with(
        Software::Etcd,
        &[
            &format!("--listen-client-urls=https://127.0.0.1:{port}"),
            &format!("--advertise-client-urls=https://127.0.0.1:{port}"),
            // Where one may ask without a certificate whether it is there.
            "--listen-metrics-urls=http://127.0.0.1:{port}",
            &format!("--cert-file={}", ours.certificate()),
            &format!("--key-file={}", ours.key()),
            &format!("--trusted-ca-file={}", ours.authority()),
            "--client-cert-auth",
        ],
    );
    let read = |path: String| fs::read(path).expect("just written");
    let authority = |of: &Certificate| {
        TlsOptions::new().ca_certificate(etcd_client::Certificate::from_pem(read(of.authority())))
    };
    let identity = |of: &Certificate| Identity::from_pem(read(of.certificate()), read(of.key()));
    let url = format!("etcds://localhost:{port}/tls");
    let refused = async |tls: Option<TlsOptions>| {
        let options = tls.map_or_else(Options::default, |tls| Options::default().tls(tls));
        let error = within(options.connect(&url)).await.expect_err("it must not connect");
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{error:?}");
    };
    // Neither authority is one of Mozilla's.
    refused(None).await;
    refused(Some(authority(&theirs).identity(identity(&ours)))).await;
    refused(Some(authority(&ours))).await;
    refused(Some(authority(&ours).identity(identity(&theirs)))).await;
    let plain = within(Etcd::connect(url.replace("etcds://", "etcd://"))).await.expect_err("it wants TLS");
    assert_eq!(plain.kind(), ErrorKind::Unavailable);

    let known = authority(&ours).identity(identity(&ours));
    let store = within(Options::default().tls(known).connect(&url)).await.expect("both are known");
    let guard = within(Locker::new(store).with_ttl(LONG).lock("a").acquire()).await.expect("granted");
    within(guard.release()).await.expect("it was held");
}
