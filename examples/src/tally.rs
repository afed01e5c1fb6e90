//! What is heard of the workers of a run, from their start to their end.

use std::collections::BTreeMap;
use std::io::IsTerminal as _;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::logging;
use crate::workers::{Crew, FAILED, Heard};

/// How often the workers have said each of their words.
#[derive(Debug)]
pub struct Tally {
    words: BTreeMap<String, usize>,
    /// Workers that did not end as they should, and how.
    pub casualties: Vec<String>,
    /// How long they took.
    pub took: Duration,
    progress: ProgressBar,
    done: &'static [&'static str],
}

impl Tally {
    /// One that shows how many of `all` have been done: so often one of the words `done` is to be heard. `what` they are.
    pub fn new(all: usize, what: &str, done: &'static [&'static str]) -> Self {
        let shown = std::io::stderr().is_terminal() && !logging::asked_for();
        let target = if shown { ProgressDrawTarget::stderr() } else { ProgressDrawTarget::hidden() };
        let style = ProgressStyle::with_template("{elapsed:>3} {bar:40} {human_pos}/{human_len} {msg}");
        let progress = ProgressBar::with_draw_target(Some(all as u64), target)
            .with_style(style.expect("the template is well formed"))
            .with_message(what.to_owned());
        Self { words: BTreeMap::new(), casualties: Vec::new(), took: Duration::ZERO, progress, done }
    }

    /// Starts the workers, each with a name and its arguments, and listens until all have ended: true, or until
    /// `interrupted` completes. None of them runs any more then.
    ///
    /// # Errors
    ///
    /// One did not start.
    pub async fn listen(
        &mut self,
        jobs: impl IntoIterator<Item = (String, Vec<String>)>,
        env: &[(&'static str, String)],
        interrupted: impl Future<Output = ()>,
    ) -> Result<bool> {
        let begun = Instant::now();
        let mut crew = Crew::start(jobs, env)?;
        let heard = tokio::select! {
            heard = self.hear_all(&mut crew) => heard.map(|()| true),
            () = interrupted => Ok(false),
        };
        crew.stop().await;
        self.progress.finish_and_clear();
        self.took = begun.elapsed();
        heard
    }

    async fn hear_all(&mut self, crew: &mut Crew) -> Result<()> {
        crew.go().await.context("the workers did not start")?;
        while let Some((name, heard)) = crew.next().await {
            match heard {
                Heard::Line(word) => self.hear(word),
                Heard::Ended(status) if status.success() => {}
                Heard::Ended(status) => self.casualties.push(format!("{name} ended with {status}")),
            }
        }
        Ok(())
    }

    fn hear(&mut self, word: String) {
        if self.done.contains(&&*word) {
            self.progress.inc(1);
        }
        *self.words.entry(word).or_default() += 1;
    }

    /// How often a word was heard.
    pub fn of(&self, word: &str) -> usize {
        self.words.get(word).copied().unwrap_or_default()
    }

    /// How often something failed, a worker among them.
    pub fn errors(&self) -> usize {
        self.of(FAILED) + self.casualties.len()
    }
}
