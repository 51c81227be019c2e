//! Steps of many calls in one statement and one commit. Under load a statement's own cost (round trip,
//! snapshot, commit, a switch between processes) is most of what a step costs, so steps of the same kind that
//! are asked for while one is on its way are sent together as soon as it is back. Nobody waits to be joined:
//! a step that comes alone goes alone.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::sync::{Arc, Mutex, PoisonError};

use diesel::deserialize::QueryableByName;
use diesel::pg::Pg;
use diesel::row::NamedRow;
use diesel::sql_types::Integer;
use tokio::sync::{mpsc, oneshot};
use uuid::Uuid;

use crate::db::{Connections, Statement, StoreError};

/// How many steps one statement can have: each number is a statement of its own to prepare, and what its
/// steps lock is held until the last one is done.
const SIZES: [usize; 5] = [1, 2, 4, 8, 16];
const TOGETHER: usize = SIZES[SIZES.len() - 1];

/// A function of the database that does one step of one call, with its placeholders: `name`, `arguments`.
/// The functions lock the call row first and give any number of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Step {
    pub name: &'static str,
    pub arguments: usize,
}

impl Step {
    /// `select` of this step for `count` calls; `n` tells whose a row is.
    fn sql(self, count: usize) -> String {
        let mut sql = String::new();
        for n in 0..count {
            let open = if n == 0 { "" } else { " union all " };
            // Writing to a string cannot fail.
            let _ = write!(sql, "{open}select {n} as n, s{n}.* from {}(", self.name);
            for argument in 1..=self.arguments {
                let comma = if argument == 1 { "" } else { ", " };
                let _ = write!(sql, "{comma}${}", n * self.arguments + argument);
            }
            let _ = write!(sql, ") s{n}");
        }
        sql
    }
}

/// A row and the place of its step in the statement.
struct Placed<T> {
    n: i32,
    row: T,
}

impl<T: QueryableByName<Pg>> QueryableByName<Pg> for Placed<T> {
    fn build<'a>(row: &impl NamedRow<'a, Pg>) -> diesel::deserialize::Result<Self> {
        Ok(Self { n: NamedRow::get::<Integer, i32>(row, "n")?, row: T::build(row)? })
    }
}

struct Asked<T> {
    call: Uuid,
    statement: Statement,
    answer: oneshot::Sender<Result<Vec<T>, StoreError>>,
}

/// One queue for each step, each with one statement on its way.
pub(crate) struct Batches<T> {
    connections: Connections,
    lanes: Arc<Mutex<HashMap<Step, mpsc::UnboundedSender<Asked<T>>>>>,
}

impl<T> Clone for Batches<T> {
    fn clone(&self) -> Self {
        Self { connections: self.connections.clone(), lanes: self.lanes.clone() }
    }
}

impl<T: QueryableByName<Pg> + Send + 'static> Batches<T> {
    pub(crate) fn new(connections: Connections) -> Self {
        Self { connections, lanes: Arc::default() }
    }

    /// Does one step of one call; `statement` holds its arguments.
    pub(crate) async fn rows(
        &self,
        step: Step,
        call: Uuid,
        statement: Statement,
    ) -> Result<Vec<T>, StoreError> {
        let (answer, answered) = oneshot::channel();
        if self.lane(step)?.send(Asked { call, statement, answer }).is_err() {
            return Err(StoreError::stopping());
        }
        answered.await.unwrap_or_else(|_gone| Err(StoreError::stopping()))
    }

    fn lane(&self, step: Step) -> Result<mpsc::UnboundedSender<Asked<T>>, StoreError> {
        let mut lanes = self.lanes.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(lane) = lanes.get(&step) {
            return Ok(lane.clone());
        }
        let (lane, receiver) = mpsc::unbounded_channel();
        // A connection of its own has few plans to keep, and all of them warm.
        tokio::spawn(serve(self.connections.one()?, self.connections.clone(), step, receiver));
        lanes.insert(step, lane.clone());
        Ok(lane)
    }
}

/// Ends with the store that asks.
async fn serve<T: QueryableByName<Pg> + Send + 'static>(
    own: Connections,
    others: Connections,
    step: Step,
    mut asked: mpsc::UnboundedReceiver<Asked<T>>,
) {
    let texts = SIZES.map(|count| (count, Arc::<str>::from(step.sql(count))));
    let mut waiting = Vec::with_capacity(TOGETHER);
    while asked.recv_many(&mut waiting, TOGETHER).await > 0 {
        while !waiting.is_empty() {
            let fits = texts.iter().rfind(|(count, _)| *count <= waiting.len());
            let Some((count, text)) = fits else { break };
            let mut together: Vec<_> = waiting.drain(..count).collect();
            // Everybody locks calls in this order, so that no two statements wait for each other.
            together.sort_unstable_by_key(|a| a.call);
            if let Some(refused) = run(&own, text, together).await {
                retry_apart(&others, &texts[0].1, refused);
            }
            // Whoever came meanwhile.
            while waiting.len() < TOGETHER
                && let Ok(one) = asked.try_recv()
            {
                waiting.push(one);
            }
        }
    }
}

/// Gives the steps back where the server refused all of them because of one.
async fn run<T: QueryableByName<Pg> + Send + 'static>(
    connections: &Connections,
    text: &Arc<str>,
    asked: Vec<Asked<T>>,
) -> Option<Vec<Asked<T>>> {
    let mut statement = Statement::of_text(text.clone());
    for one in &asked {
        statement.append(&one.statement);
    }
    match connections.rows::<Placed<T>>(statement).await {
        Ok(rows) => {
            let mut answers: Vec<Vec<T>> = asked.iter().map(|_| Vec::new()).collect();
            for placed in rows {
                if let Some(answer) = usize::try_from(placed.n).ok().and_then(|n| answers.get_mut(n)) {
                    answer.push(placed.row);
                }
            }
            for (one, answer) in asked.into_iter().zip(answers) {
                let _asker_gone = one.answer.send(Ok(answer));
            }
            None
        }
        Err(error) if asked.len() > 1 && error.wrote_nothing() => Some(asked),
        Err(error) => {
            for one in asked {
                let _asker_gone = one.answer.send(Err(error.clone()));
            }
            None
        }
    }
}

/// One call's trouble (a lock that an operator holds, a row that is refused) is nobody else's.
fn retry_apart<T: QueryableByName<Pg> + Send + 'static>(
    connections: &Connections,
    text: &Arc<str>,
    asked: Vec<Asked<T>>,
) {
    for one in asked {
        let (connections, text) = (connections.clone(), text.clone());
        tokio::spawn(async move {
            let again = run(&connections, &text, vec![one]).await;
            debug_assert!(again.is_none(), "a step alone is answered");
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_step_of_a_statement_has_its_own_placeholders() {
        let step = Step { name: "stage_end", arguments: 2 };
        assert_eq!(step.sql(1), "select 0 as n, s0.* from stage_end($1, $2) s0");
        assert_eq!(
            step.sql(2),
            "select 0 as n, s0.* from stage_end($1, $2) s0 union all select 1 as n, s1.* from stage_end($3, $4) s1"
        );
    }
}
