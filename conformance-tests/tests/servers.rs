//! The machinery that gives the tests their servers: every way to come by one, and that nothing is left of it.
#![allow(clippy::disallowed_methods, reason = "waits for processes to end")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use conformance_tests::{Server, Way};

/// Whether a Redis answers.
fn answers(url: &str) -> bool {
    let ping = || -> std::io::Result<bool> {
        let mut stream = TcpStream::connect(url.trim_start_matches("redis://"))?;
        stream.write_all(b"PING\r\n")?;
        let mut answer = [0; 5];
        stream.read_exact(&mut answer)?;
        Ok(&answer == b"+PONG")
    };
    ping().unwrap_or(false)
}

fn eventually(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < Duration::from_secs(30), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn a_container_is_gone_with_its_server() {
    let server = Server::redis_by(Way::Container);
    let url = server.url().to_owned();
    assert!(answers(&url));
    drop(server);
    assert!(!answers(&url));
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

/// What a process says that holds a server until it is killed.
fn hold(way: Way) {
    let server = Server::redis_by(way);
    println!("url {}", server.url());
    let _ = std::io::stdin().read(&mut [0]);
}

#[test]
fn a_container_is_gone_after_a_kill() {
    if is_alone() {
        return hold(Way::Container);
    }
    is_gone_after_a_kill("a_container_is_gone_after_a_kill");
}

#[test]
fn a_program_is_gone_after_a_kill() {
    if is_alone() {
        return hold(Way::Program);
    }
    is_gone_after_a_kill("a_program_is_gone_after_a_kill");
}

fn is_gone_after_a_kill(test: &str) {
    let mut child = run_alone(test).spawn().expect("this program starts again");
    let output = BufReader::new(child.stdout.take().expect("piped"));
    let said =
        output.lines().map_while(Result::ok).find_map(|line| line.strip_prefix("url ").map(str::to_owned));
    let url = said.expect("the process says where its server is");
    assert!(answers(&url));
    child.kill().expect("it can be killed");
    child.wait().expect("it ends");
    eventually("the server is gone", || !answers(&url));
}

#[test]
fn a_program_is_gone_with_its_server() {
    let server = Server::redis_by(Way::Program);
    let url = server.url().to_owned();
    assert!(answers(&url));
    drop(server);
    assert!(!answers(&url));
}

#[test]
fn a_program_that_was_killed_starts_again_where_it_was() {
    let mut server = Server::redis_with(&["--appendonly", "yes"]);
    let url = server.url().to_owned();
    server.kill();
    assert!(!answers(&url));
    server.restart();
    assert!(answers(&url));
    server.restart();
    assert!(answers(&url));
    server.pause();
    server.resume();
    assert!(answers(&url));
    drop(server);
    assert!(!answers(&url));
}

#[test]
fn a_program_that_started_again_is_gone_after_a_kill() {
    const TEST: &str = "a_program_that_started_again_is_gone_after_a_kill";
    if is_alone() {
        let mut server = Server::redis_with(&[]);
        server.restart();
        println!("url {}", server.url());
        let _ = std::io::stdin().read(&mut [0]);
        return;
    }
    is_gone_after_a_kill(TEST);
}

#[test]
fn an_address_in_the_environment_is_taken_as_it_is() {
    if is_alone() {
        println!("url {}", Server::redis().url());
        return;
    }
    let mut command = run_alone("an_address_in_the_environment_is_taken_as_it_is");
    let output = command.env("LOCK_TEST_REDIS_URL", "redis://example:1").output().expect("it runs");
    assert!(String::from_utf8_lossy(&output.stdout).contains("url redis://example:1"), "{output:?}");
}

#[test]
fn no_server_is_a_loud_failure_that_says_what_is_missing() {
    const TEST: &str = "no_server_is_a_loud_failure_that_says_what_is_missing";
    if is_alone() {
        Server::redis();
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
