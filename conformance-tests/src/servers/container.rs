//! A server in a container, through testcontainers.

use std::env;

use testcontainers::core::{IntoContainerPort, Mount, WaitFor};
use testcontainers::runners::SyncRunner;
use testcontainers::{GenericImage, ImageExt};

use super::leash::Leash;
use super::recipe::Recipe;

/// A running container.
#[derive(Debug)]
pub(super) struct Container {
    pub(super) port: u16,
    pub(super) image: String,
    /// Removes it if this process is killed.
    _leash: Leash,
    _container: testcontainers::Container<GenericImage>,
}

impl Container {
    pub(super) fn start(recipe: &Recipe) -> Result<Self, String> {
        let image = env::var(recipe.variable("IMAGE")).unwrap_or_else(|_| recipe.image.to_owned());
        let (name, tag) = image.rsplit_once(':').unwrap_or((&image, "latest"));
        let failed =
            |error: &dyn std::fmt::Display| format!("no container of {image} can be started: {error}");
        let (command, inside) = recipe.contained;
        let request = GenericImage::new(name, tag)
            .with_exposed_port(inside.tcp())
            .with_wait_for(WaitFor::Nothing)
            // What it keeps, it keeps in memory: the layers of a container are slow to write to.
            .with_mount(Mount::tmpfs_mount("/tmp"))
            .with_cmd(command.iter().copied());
        let container = request.start().map_err(|error| failed(&error))?;
        let leash =
            Leash::new(r#"docker rm -f -v "$1""#, &[container.id()]).map_err(|error| failed(&error))?;
        let port = container.get_host_port_ipv4(inside.tcp()).map_err(|error| failed(&error))?;
        recipe.wait(port, || match container.is_running() {
            Ok(false) => Err(failed(&"it ended at once")),
            _ => Ok(()),
        })?;
        Ok(Self { port, image, _leash: leash, _container: container })
    }
}
