//! Code blocks and commands at run time: the statistics that assertions read, and settings that take effect from now on.

use super::calls::Socket;
use super::commands;
use super::expression::{self, Outcome, Variables};
use super::run::Runner;
use super::script::{CodeBlock, Command};
use super::settings;
use super::verdict::Stop;
use crate::tcp::TcpId;
use crate::tcp::state::State;

impl Runner<'_> {
    /// Runs a block against a snapshot of the connection under test.
    pub(super) fn code(&mut self, block: &CodeBlock) -> Result<(), Stop> {
        let given = self.snapshot();
        match expression::run(block, &given, &mut self.variables) {
            Outcome::Held => Ok(()),
            Outcome::Failed { line, expression, values } => {
                let values = values.iter().map(|(name, value)| format!("{name} = {value}"));
                Err(Stop::fail(format!("does not hold: {expression}")).at(line).with(values))
            }
            Outcome::Unknown { line, name } => Err(Stop::skip(format!("`{name}` is not known")).at(line)),
            Outcome::Error(error) => {
                Err(Stop::fail(format!("in the code block: {}", error.reason)).at(error.line))
            }
        }
    }

    fn snapshot(&mut self) -> Variables {
        let now = self.host.now();
        let statistics = self.connection().and_then(|id| self.host.stack().tcp().statistics(id, now).ok());
        match statistics {
            Some(statistics) => {
                let value = |value: u64| i64::try_from(value).unwrap_or(i64::MAX);
                statistics.named().map(|(name, number)| (name.to_owned(), value(number))).into()
            }
            // What has no control block has a state at least.
            None => [("tcpi_state".to_owned(), state_number(self.standing().state))].into(),
        }
    }

    /// The connection under test: by its ends, or where it is over by its descriptor.
    fn connection(&mut self) -> Option<TcpId> {
        let index = self.records.current_index()?;
        let record = self.records.get(index)?;
        let (local, remote) = (record.local, record.remote);
        let by_descriptor = self.descriptors.values().rev().find_map(|descriptor| match descriptor.socket {
            Socket::Connection(id) if descriptor.record == index => Some(id),
            _ => None,
        });
        let open = self.host.stack().tcp().id_of(local, remote);
        // What is half open has no control block, and an older connection of the same ends does not speak for it.
        let half_open = open.is_none() && self.standing().state == State::SynReceived;
        open.or(by_descriptor.filter(|_| !half_open))
    }

    /// Follows a command as far as it is known. Nothing is executed.
    pub(super) fn command(&mut self, command: &Command) -> Result<(), Stop> {
        for setting in commands::settings(&command.text) {
            settings::apply(&setting, &mut self.config)
                .map_err(|reason| Stop::skip(reason).at(command.line))?;
        }
        self.host.stack().tcp().set_config(self.config.clone());
        Ok(())
    }
}

/// Linux's number of a state without a control block.
const fn state_number(state: State) -> i64 {
    match state {
        State::SynReceived => 3,
        State::TimeWait => 6,
        State::Listen => 10,
        _ => 7,
    }
}
