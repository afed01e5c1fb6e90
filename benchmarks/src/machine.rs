//! What it was measured on, and with what.

use std::fs;
use std::process::Command;
use std::thread::available_parallelism;

use serde::{Deserialize, Serialize};

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    processor: String,
    cores: usize,
    memory_gib: u64,
    system: String,
    compiler: String,
    /// Of this project.
    commit: String,
}

impl Machine {
    /// This one.
    pub(crate) fn here() -> Self {
        let field = |file: &str, name: &str| {
            let text = fs::read_to_string(file).unwrap_or_default();
            let value = text.lines().find_map(|line| line.strip_prefix(name).map(str::to_owned));
            value.unwrap_or_default().trim_matches([' ', '\t', ':', '=', '"']).to_owned()
        };
        let kibibytes = field("/proc/meminfo", "MemTotal").trim_end_matches(" kB").parse().unwrap_or(0_u64);
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let changed = !said("git", &["status", "--porcelain", "--untracked-files=no"]).is_empty();
        let commit = said("git", &["rev-parse", "--short", "HEAD"]);
        Self {
            processor: field("/proc/cpuinfo", "model name"),
            cores: available_parallelism().map_or(0, usize::from),
            memory_gib: kibibytes.div_ceil(1 << 20),
            system: format!("{}, Linux {}", field("/etc/os-release", "PRETTY_NAME"), kernel.trim()),
            compiler: said("rustc", &["--version"]),
            commit: if changed { format!("{commit}, changed") } else { commit },
        }
    }

    pub(crate) fn describe(&self) -> String {
        let Self { processor, cores, memory_gib, system, compiler, commit } = self;
        format!("{processor}, {cores} cores, {memory_gib} GiB; {system}; {compiler}; commit {commit}")
    }
}

fn said(program: &str, arguments: &[&str]) -> String {
    let output = Command::new(program).args(arguments).output().map(|output| output.stdout);
    String::from_utf8_lossy(&output.unwrap_or_default()).trim().to_owned()
}

/// The versions of crates, as the lock file has them.
pub(crate) fn crates(names: &[&str]) -> Vec<String> {
    let blocks = include_str!("../Cargo.lock").split("[[package]]");
    let field = |block: &str, name: &str| -> Option<String> {
        let line = block.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(" = "));
        Some(line?.trim_matches('"').to_owned())
    };
    let versions = blocks.filter_map(|block| Some((field(block, "name")?, field(block, "version")?)));
    let named = versions.filter(|(name, _)| names.contains(&&**name));
    named.map(|(name, version)| format!("{name} {version}")).collect()
}
