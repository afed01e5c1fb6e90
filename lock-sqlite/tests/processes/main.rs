//! Several processes on one file: counting, dying, and being refused. The test program started again is the other
//! process.

#![allow(clippy::disallowed_methods, reason = "a test starts processes and threads, and waits for them")]

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};

mod child;
mod counting;
mod dying;
mod permission;
mod roles;

fn main() -> ExitCode {
    if let Some(role) = child::role() {
        roles::play(&role);
        return ExitCode::SUCCESS;
    }
    let tests: [(&str, fn()); 7] = [
        ("counting::no_update_is_lost_between_processes", counting::no_update_is_lost_between_processes),
        ("counting::a_ring_arrives_at_another_process", counting::a_ring_arrives_at_another_process),
        (
            "dying::a_killed_process_corrupts_and_blocks_nothing",
            dying::a_killed_process_corrupts_and_blocks_nothing,
        ),
        ("dying::the_pipe_of_a_killed_process_is_swept", dying::the_pipe_of_a_killed_process_is_swept),
        ("permission::a_read_only_file_is_refused", permission::a_read_only_file_is_refused),
        ("permission::a_read_only_directory_is_refused", permission::a_read_only_directory_is_refused),
        ("permission::a_hidden_directory_is_refused", permission::a_hidden_directory_is_refused),
    ];
    let trial = |(name, test): (&str, fn())| {
        Trial::test(name, move || {
            test();
            Ok(())
        })
    };
    libtest_mimic::run(&Arguments::from_args(), tests.map(trial).into()).exit_code()
}
