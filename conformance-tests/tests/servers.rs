//! The machinery that gives the tests their servers: every way to come by one, and that nothing is left of it.
#![allow(clippy::disallowed_methods, reason = "waits for processes to end")]

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use conformance_tests::{Server, Way};
use libtest_mimic::{Arguments, Trial};

fn main() -> ExitCode {
    let docker = Command::new("docker").arg("info").stdout(Stdio::null()).stderr(Stdio::null()).status();
    let engine = docker.is_ok_and(|status| status.success());
    let contained = |name: &str, test: fn()| match engine {
        true => trial(name, test),
        false => trial(&format!("{name} [no Docker engine answers]"), test).with_ignored_flag(true),
    };
    let trials = vec![
        contained("a_container_is_gone_with_its_server", a_container_is_gone_with_its_server),
        contained("a_container_is_gone_after_a_kill", a_container_is_gone_after_a_kill),
        trial("a_program_is_gone_after_a_kill", a_program_is_gone_after_a_kill),
        trial("a_program_is_gone_with_its_server", a_program_is_gone_with_its_server),
        trial(
            "a_program_that_was_killed_starts_again_where_it_was",
            a_program_that_was_killed_starts_again_where_it_was,
        ),
        trial(
            "a_program_that_started_again_is_gone_after_a_kill",
            a_program_that_started_again_is_gone_after_a_kill,
        ),
        trial(
            "an_address_in_the_environment_is_taken_as_it_is",
            an_address_in_the_environment_is_taken_as_it_is,
        ),
        trial(
            "no_server_is_a_loud_failure_that_says_what_is_missing",
            no_server_is_a_loud_failure_that_says_what_is_missing,
        ),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn trial(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}

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

fn a_container_is_gone_after_a_kill() {
    if is_alone() {
        return hold(Way::Container);
    }
    is_gone_after_a_kill("a_container_is_gone_after_a_kill");
}

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

fn a_program_is_gone_with_its_server() {
    let server = Server::redis_by(Way::Program);
    let url = server.url().to_owned();
    assert!(answers(&url));
    drop(server);
    assert!(!answers(&url));
}

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

fn an_address_in_the_environment_is_taken_as_it_is() {
    if is_alone() {
        println!("url {}", Server::redis().url());
        return;
    }
    let mut command = run_alone("an_address_in_the_environment_is_taken_as_it_is");
    let output = command.env("LOCK_TEST_REDIS_URL", "redis://example:1").output().expect("it runs");
    assert!(String::from_utf8_lossy(&output.stdout).contains("url redis://example:1"), "{output:?}");
}

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
