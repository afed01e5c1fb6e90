//! The machinery that gives the tests their servers: every way to come by one, and that nothing is left of it.
#![allow(clippy::disallowed_methods, reason = "waits for processes to end")]

use std::io::{BufRead, BufReader, Read};
use std::net::TcpStream;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use conformance_tests::{Server, Software, Way};
use libtest_mimic::{Arguments, Trial};

const ALL: [Software; 3] = [Software::Redis, Software::Postgres, Software::Etcd];

fn main() -> ExitCode {
    let mut trials = vec![
        trial(
            "an_address_in_the_environment_is_taken_as_it_is",
            an_address_in_the_environment_is_taken_as_it_is,
        ),
        trial(
            "no_server_is_a_loud_failure_that_says_what_is_missing",
            no_server_is_a_loud_failure_that_says_what_is_missing,
        ),
        trial("a_pgbouncer_stands_before_a_postgres", a_pgbouncer_stands_before_a_postgres),
        trial("members_of_a_cluster_can_do_without_one", members_of_a_cluster_can_do_without_one),
    ];
    for software in ALL {
        for way in [Way::Container, Way::Program] {
            trials.push(one(software, way, "is_gone_with_its_server", is_gone_with_its_server));
            trials.push(one(software, way, "is_gone_after_a_kill", is_gone_after_a_kill));
        }
        trials.push(one(software, Way::Program, "starts_again_where_it_was", starts_again_where_it_was));
        trials.push(one(
            software,
            Way::Program,
            "that_started_again_is_gone_after_a_kill",
            that_started_again_is_gone_after_a_kill,
        ));
    }
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A trial of one software in one way; ignored where there is no engine for containers.
fn one(software: Software, way: Way, name: &str, test: fn(Software, Way, &str)) -> Trial {
    let name = format!("{software:?}::{way:?}::{name}");
    let ignored = way == Way::Container && !engine();
    let shown = if ignored { format!("{name} [no Docker engine answers]") } else { name.clone() };
    Trial::test(shown, move || {
        test(software, way, &name);
        Ok(())
    })
    .with_ignored_flag(ignored)
}

fn trial(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

fn engine() -> bool {
    let docker = Command::new("docker").arg("info").stdout(Stdio::null()).stderr(Stdio::null()).status();
    docker.is_ok_and(|status| status.success())
}

/// Whether something listens there.
fn listens(url: &str) -> bool {
    let place = url.rsplit(['/', '@']).find(|part| part.contains(':')).expect("an address has a port");
    TcpStream::connect(place).is_ok()
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

fn is_gone_with_its_server(software: Software, way: Way, _: &str) {
    let server = Server::by(way, software);
    let url = server.url().to_owned();
    assert!(listens(&url));
    drop(server);
    assert!(!listens(&url));
}

fn starts_again_where_it_was(software: Software, _: Way, _: &str) {
    let mut server = Server::with(software, &[]);
    let url = server.url().to_owned();
    server.kill();
    assert!(!listens(&url));
    server.restart();
    assert!(listens(&url));
    server.restart();
    assert!(listens(&url));
    server.pause();
    server.resume();
    assert!(listens(&url));
    drop(server);
    assert!(!listens(&url));
}

fn is_gone_after_a_kill(software: Software, way: Way, test: &str) {
    match is_alone() {
        true => hold(&Server::by(way, software)),
        false => leaves_nothing_when_killed(test),
    }
}

fn that_started_again_is_gone_after_a_kill(software: Software, _: Way, test: &str) {
    if !is_alone() {
        return leaves_nothing_when_killed(test);
    }
    let mut server = Server::with(software, &[]);
    server.restart();
    hold(&server);
}

/// Runs this test alone in a process of its own, so that it can be killed or have an environment of its own.
fn run_alone(test: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().expect("this program has a path"));
    command
        .args(["--exact", test, "--nocapture"])
        .env("ALONE", "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    command
}

fn is_alone() -> bool {
    std::env::var_os("ALONE").is_some()
}

/// Says where a server is, and keeps it until this process is killed.
fn hold(server: &Server) {
    println!("url {}", server.url());
    let _ = std::io::stdin().read(&mut [0]);
}

fn leaves_nothing_when_killed(test: &str) {
    let mut child = run_alone(test).spawn().expect("this program starts again");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let said =
        output.lines().map_while(Result::ok).find_map(|line| line.strip_prefix("url ").map(str::to_owned));
    let url = said.expect("the process says where its server is");
    assert!(listens(&url));
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    eventually("the server is gone", || !listens(&url));
}

fn a_pgbouncer_stands_before_a_postgres() {
    let behind = Server::with(Software::Postgres, &[]);
    let before = Server::pgbouncer(&behind, &[]);
    assert_ne!(before.port(), behind.port());
    let url = before.url().to_owned();
    drop(before);
    assert!(!listens(&url));
}

fn members_of_a_cluster_can_do_without_one() {
    let [mut one, two, three] = Server::etcd_cluster();
    one.kill();
    assert!(!listens(one.url()));
    assert!(listens(two.url()) && listens(three.url()));
    // It answers when it is in touch with the others.
    one.restart();
    assert!(listens(one.url()));
}

fn an_address_in_the_environment_is_taken_as_it_is() {
    if is_alone() {
        ALL.iter().for_each(|software| println!("url {}", Server::of(*software).url()));
        return;
    }
    let mut command = run_alone("an_address_in_the_environment_is_taken_as_it_is");
    for name in ["REDIS", "POSTGRES", "ETCD"] {
        command.env(format!("LOCK_TEST_{name}_URL"), format!("{name}://example:1"));
    }
    let output = command.output().expect("it runs");
    for name in ["REDIS", "POSTGRES", "ETCD"] {
        let said = format!("url {name}://example:1");
        assert!(String::from_utf8_lossy(&output.stdout).contains(&said), "{output:?}");
    }
}

fn no_server_is_a_loud_failure_that_says_what_is_missing() {
    const TEST: &str = "no_server_is_a_loud_failure_that_says_what_is_missing";
    if is_alone() {
        Server::of(Software::Redis);
        return;
    }
    let mut command = run_alone(TEST);
    command.env_remove("LOCK_TEST_REDIS_URL").env("DOCKER_HOST", "tcp://127.0.0.1:1").env("PATH", "/nowhere");
    let output = command.stderr(Stdio::piped()).output().expect("it runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success());
    for part in ["LOCK_TEST_REDIS_URL is not set", "no container of", "apt-get install redis-server"] {
        assert!(said.contains(part), "{part:?} is missing in {said}");
    }
}
