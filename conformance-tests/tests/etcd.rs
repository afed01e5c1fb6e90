//! The conformance run of the store in etcd.

use std::net::Ipv4Addr;
use std::process::ExitCode;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use conformance_tests::{Line, Proxy, Server, Software, Subject, Users};
use etcd_client::{Client, ConnectOptions, Permission, PermissionType};
use lock_core::{Backend, Result};
use lock_etcd::Etcd;
use tokio::sync::OnceCell;

/// States of a socket in `/proc/net/tcp`.
const ESTABLISHED: &str = "01";
const CLOSE_WAIT: &str = "08";

/// A server, and its address: alone in a process that did not start it.
struct InEtcd {
    url: String,
    _server: Option<Server>,
}

impl InEtcd {
    fn on(server: Server) -> Self {
        Self { url: server.url().to_owned(), _server: Some(server) }
    }
}

/// The users of a case, on a server of their own that is started for the first of them, and root's client of it.
#[derive(Default)]
struct Roles(OnceCell<(Server, Client)>);

impl Roles {
    async fn server(&self) -> &(Server, Client) {
        let start = async || {
            // Checking a password takes no more time than it must.
            let server = Server::with(Software::Etcd, &["--bcrypt-cost=4"]);
            let root = secured(&server).await.expect("a new server");
            (server, root)
        };
        self.0.get_or_init(start).await
    }
}

/// Has a server ask who comes in, and answers root's client.
async fn secured(server: &Server) -> std::result::Result<Client, etcd_client::Error> {
    let url = server.url().replace("etcd://", "http://");
    let mut auth = Client::connect([&url], None).await?.auth_client();
    auth.user_add("root", "secret", None).await?;
    auth.role_add("root").await?;
    auth.user_grant_role("root", "root").await?;
    auth.role_add("app").await?;
    // What the README says that a user needs, for a role that all users have.
    let needed = Permission::new(PermissionType::Readwrite, "lock/").with_range_end("lock0");
    auth.role_grant_permission("app", needed).await?;
    auth.auth_enable().await?;
    let options = ConnectOptions::new().with_user("root", "secret").with_auto_token_refresh(true);
    Client::connect([&url], Some(options)).await
}

#[async_trait]
impl Users for Roles {
    async fn address(&self, name: &str) -> String {
        let (server, root) = self.server().await;
        let mut auth = root.auth_client();
        auth.user_add(name, "secret", None).await.expect("a new user");
        auth.user_grant_role(name, "app").await.expect("a role for it");
        server.url().replace("etcd://", &format!("etcd://{name}:secret@"))
    }
}

#[async_trait]
impl Subject for InEtcd {
    fn name(&self) -> &str {
        "etcd"
    }

    fn ttl(&self) -> Duration {
        // The store has none shorter than two seconds.
        Duration::from_secs(3)
    }

    async fn client(&self) -> Result<Arc<dyn Backend>> {
        Ok(Arc::new(Etcd::connect(&self.url).await?))
    }

    async fn cuttable(&self) -> Result<Option<(Arc<dyn Backend>, Arc<dyn Line>)>> {
        let proxy = Proxy::to(&self.url).await;
        Ok(Some((Arc::new(Etcd::connect(proxy.url()).await?), Arc::new(proxy))))
    }

    async fn alone(&self) -> Result<Option<Arc<dyn Subject>>> {
        Ok(Some(Arc::new(Self::on(Server::with(Software::Etcd, &[])))))
    }

    /// By what the kernel says of its port, for etcd itself does not tell.
    async fn connections(&self) -> Result<Option<usize>> {
        let sockets = std::fs::read_to_string("/proc/net/tcp").expect("Linux has it");
        let (_, port) = self.url.rsplit_once(':').expect("an address with a port");
        let (here, port) = (Ipv4Addr::LOCALHOST, port.parse::<u16>().expect("a number"));
        let end = format!("{:08X}:{port:04X}", u32::from_ne_bytes(here.octets()));
        let open = |line: &&str| {
            let words: Vec<_> = line.split_whitespace().collect();
            // Those on which it listens, and those that have ended on its side, are in other states.
            words[1] == end && [ESTABLISHED, CLOSE_WAIT].contains(&words[3])
        };
        Ok(Some(sockets.lines().skip(1).filter(open).count()))
    }

    fn users(&self) -> Option<Box<dyn Users>> {
        Some(Box::new(Roles::default()))
    }

    fn address(&self) -> Option<String> {
        Some(self.url.clone())
    }
}

fn start(address: Option<String>) -> InEtcd {
    if let Some(url) = address {
        return InEtcd { url, _server: None };
    }
    InEtcd::on(Server::of(Software::Etcd))
}

fn main() -> ExitCode {
    conformance_tests::main(start)
}
