//! A script for many claims, each of which has an answer of its own.

use lock_core::{Error, ErrorKind, Result};
use redis::{Cmd, Script, Value};

use crate::error::explain;
use crate::link::Link;
use crate::words::Words;

/// What a script is told of one claim.
pub(crate) struct Part {
    /// The names of its queues, and then its text.
    pub(crate) words: Words,
    /// Whether its rings must be heard on the connection.
    pub(crate) listens: bool,
}

impl Part {
    fn queues(&self) -> usize {
        self.words.len() - 1
    }
}

/// A script, and what may be done with it.
#[derive(Clone)]
pub(crate) struct Step {
    script: &'static Script,
    /// What it touches once, whatever the claims.
    common: Option<String>,
    /// Whether it gives claims time. It may run again then, and replicas must have what it gave.
    gives: bool,
}

impl Step {
    /// One that gives claims time, and says so by a number greater than zero.
    pub(crate) fn giving(script: &'static Script) -> Self {
        Self { script, common: None, gives: true }
    }

    /// One that takes claims away. A second run would say of what the first one removed that it was lost.
    pub(crate) fn taking(script: &'static Script) -> Self {
        Self { script, common: None, gives: false }
    }

    pub(crate) fn with(self, common: String) -> Self {
        Self { common: Some(common), ..self }
    }

    /// Runs the script, and answers for each claim, in order.
    pub(crate) async fn run(&self, link: &Link, parts: &[Part]) -> Vec<Result<Value>> {
        match self.answers(link, parts).await {
            Ok(answers) if answers.len() == parts.len() => answers,
            Ok(_) => vec![Err(strange()); parts.len()],
            Err(error) => vec![Err(error); parts.len()],
        }
    }

    async fn answers(&self, link: &Link, parts: &[Part]) -> Result<Vec<Result<Value>>> {
        let listens = parts.iter().any(|part| part.listens);
        let (answer, line) = link.run(self.script, &self.call(parts), listens, self.gives).await?;
        let Value::Array(answers) = answer else { return Err(strange()) };
        let given = |answer: &Value| self.gives && matches!(answer, Value::Int(1..));
        let replicated = match answers.iter().any(given) {
            true => link.replicated(line).await,
            false => Ok(()),
        };
        let each = |answer| match answer {
            Value::ServerError(error) => Err(explain(error.into())),
            answer if given(&answer) => replicated.clone().map(|()| answer),
            answer => Ok(answer),
        };
        Ok(answers.into_iter().map(each).collect())
    }

    fn call(&self, parts: &[Part]) -> Cmd {
        let common = self.common.as_deref();
        let queues = parts.iter().map(Part::queues).sum::<usize>();
        let mut call = Cmd::with_capacity(2 * parts.len() + 8, 256 * parts.len() + 128);
        call.arg("EVALSHA").arg(self.script.get_hash()).arg(queues + common.iter().count());
        let names = parts.iter().flat_map(|part| part.words.iter().take(part.queues()));
        names.chain(common).for_each(|name| {
            call.arg(name);
        });
        call.arg(counts(parts));
        parts.iter().flat_map(|part| part.words.iter().skip(part.queues())).for_each(|text| {
            call.arg(text);
        });
        call
    }
}

/// How many queues each has, unless it is one each.
fn counts(parts: &[Part]) -> String {
    if parts.iter().all(|part| part.queues() == 1) {
        return String::new();
    }
    parts.iter().map(|part| part.queues().to_string() + " ").collect()
}

pub(crate) fn strange() -> Error {
    Error::new(ErrorKind::Backend, "the server answered what no script of this library does")
}
