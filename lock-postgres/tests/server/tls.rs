//! A server that shows a certificate.

use conformance_tests::{Certificate, Server, Software};
use lock_core::{ErrorKind, Locker};
use lock_postgres::Postgres;

use crate::help::{LONG, number, queued, within};

/// Takes a lock and waits for one, so that there is every kind of connection: none of them is in the clear.
async fn locks_work_encrypted(url: &str, beside: &str) {
    let [one, two] = [within(Postgres::connect(url)).await, within(Postgres::connect(url)).await]
        .map(|store| Locker::new(store.expect("the certificate is known")).with_ttl(LONG));
    let held = within(one.lock("a").acquire()).await.expect("granted");
    let waiter = tokio::spawn(two.lock("a").acquire());
    queued(beside, "a", 2).await;
    let connections = async |encrypted: bool| {
        let count = "SELECT count(*) FROM pg_stat_activity JOIN pg_stat_ssl USING (pid)
            WHERE application_name = 'lock-postgres' AND ssl =";
        number(beside, &format!("{count} {encrypted}")).await
    };
    assert_eq!(connections(false).await, 0);
    assert!(connections(true).await >= 4, "for requests, for the keeper, for rings");
    within(held.release()).await.expect("it was held");
    let next = within(waiter).await.expect("no panic").expect("granted");
    within(next.release()).await.expect("it was held");
}

#[tokio::test(flavor = "multi_thread")]
async fn tls_wants_a_certificate_that_is_known_where_that_is_asked_for() {
    let (ours, theirs) = (Certificate::new(), Certificate::new());
    let words = [
        "ssl=on",
        &format!("ssl_cert_file={}", ours.certificate()),
        &format!("ssl_key_file={}", ours.key()),
        // The second is not in the certificate.
        "listen_addresses=127.0.0.1,127.0.0.2",
    ];
    let server = Server::with(Software::Postgres, &words.map(|word| ["-c", word]).concat());
    let with = |host: &str, asked: &str| {
        let url = server.url().replace("127.0.0.1", host);
        let (ours, theirs) = (ours.authority(), theirs.authority());
        format!("{url}?{}", asked.replace("OURS", &ours).replace("THEIRS", &theirs))
    };
    for (host, asked) in [
        ("127.0.0.1", "sslmode=verify-full"),
        ("127.0.0.1", "sslmode=verify-full&sslrootcert=THEIRS"),
        ("127.0.0.1", "sslmode=verify-ca&sslrootcert=THEIRS"),
        ("127.0.0.2", "sslmode=verify-full&sslrootcert=OURS"),
    ] {
        let error = within(Postgres::connect(with(host, asked))).await.expect_err(asked);
        assert_eq!(error.kind(), ErrorKind::Unavailable, "{asked}: {error:?}");
        assert!(error.to_string().contains("certificate"), "{asked}: {error}");
    }
    let beside = with("127.0.0.1", "sslmode=disable");
    for (host, asked) in [
        ("127.0.0.1", "sslmode=verify-full&sslrootcert=OURS"),
        ("127.0.0.2", "sslmode=verify-ca&sslrootcert=OURS"),
        ("127.0.0.2", "sslmode=require"),
        // Nothing is asked for: it is encrypted if the server can.
        ("127.0.0.1", ""),
    ] {
        locks_work_encrypted(&with(host, asked), &beside).await;
    }
}
