//! The pool, cached statements and the one error type of this crate.

use std::sync::Arc;
use std::time::Duration;

use chrono::{DateTime, Utc};
use deadpool::managed::{PoolError, QueueMode, Timeouts};
use diesel::deserialize::QueryableByName;
use diesel::pg::Pg;
use diesel::query_builder::{AstPass, Query, QueryFragment, QueryId};
use diesel::result::{DatabaseErrorKind, Error as DieselError, QueryResult};
use diesel::sql_types;
use diesel_async::pooled_connection::deadpool::{Object, Pool};
use diesel_async::pooled_connection::{AsyncDieselConnectionManager, ManagerConfig, RecyclingMethod};
use diesel_async::{AsyncPgConnection, RunQueryDsl};
use futures_util::FutureExt;
use serde_json::Value;
use uuid::Uuid;

use crate::batch::Batches;
use crate::calls::AcceptedRow;
use crate::lease::LeaseRow;

/// Why a statement did not give its answer. Code branches on the variant, people read the message.
#[derive(Debug, Clone, thiserror::Error)]
pub enum StoreError {
    /// No connection, no answer in time, or the server refused to work now. Nothing was written, or
    /// (`outcome_unknown`) perhaps everything: re-read before repeating.
    #[error("Postgres did not answer: {message}")]
    Unavailable { message: String, outcome_unknown: bool },
    /// A constraint refused the row.
    #[error("Postgres refused the row: constraint {constraint}")]
    Constraint { constraint: String },
    /// The statement and the row do not fit this program: a bug, or a schema it does not know.
    #[error("failed to read a row: {message}")]
    Row { message: String },
    /// The schema is not one this program can work with.
    #[error("{message}")]
    Schema { message: String },
}

impl StoreError {
    /// Waiting and repeating can help.
    pub fn is_unavailable(&self) -> bool {
        matches!(self, Self::Unavailable { .. })
    }

    /// The statement was sent and its answer was lost: perhaps it was, or will be, carried out.
    pub fn outcome_is_unknown(&self) -> bool {
        matches!(self, Self::Unavailable { outcome_unknown: true, .. })
    }

    /// The server refused the whole statement, so that it may be cut up and sent again.
    pub(crate) fn wrote_nothing(&self) -> bool {
        matches!(self, Self::Constraint { .. } | Self::Unavailable { outcome_unknown: false, .. })
    }

    pub(crate) fn stopping() -> Self {
        Self::Unavailable { message: "this program is stopping".to_owned(), outcome_unknown: true }
    }

    pub(crate) fn row(message: impl Into<String>) -> Self {
        Self::Row { message: message.into() }
    }

    fn unavailable(message: impl Into<String>) -> Self {
        Self::Unavailable { message: message.into(), outcome_unknown: false }
    }
}

impl From<DieselError> for StoreError {
    fn from(error: DieselError) -> Self {
        match error {
            DieselError::DatabaseError(kind, info) => match kind {
                DatabaseErrorKind::UniqueViolation
                | DatabaseErrorKind::ForeignKeyViolation
                | DatabaseErrorKind::CheckViolation
                | DatabaseErrorKind::NotNullViolation
                | DatabaseErrorKind::ExclusionViolation => {
                    Self::Constraint { constraint: info.constraint_name().unwrap_or("unnamed").to_owned() }
                }
                // The driver lost the connection somewhere between sending and reading.
                DatabaseErrorKind::UnableToSendCommand | DatabaseErrorKind::ClosedConnection => {
                    Self::Unavailable { message: info.message().to_owned(), outcome_unknown: true }
                }
                // Lock timeout, deadlock, shutdown, disk full, read-only: the server said no, and
                // said so before committing.
                _ => Self::unavailable(info.message()),
            },
            DieselError::BrokenTransactionManager => Self::unavailable("the connection broke"),
            other => Self::row(other.to_string()),
        }
    }
}

/// How to reach Postgres and how long to wait for it.
#[derive(Clone)]
pub struct StoreSettings {
    /// `postgres://…`; holds a password, so this type is not `Debug`.
    pub url: String,
    pub application_name: String,
    pub pool_size: usize,
    /// For a free connection.
    pub pool_wait: Duration,
    pub connect_timeout: Duration,
    pub statement_timeout: Duration,
    /// An operator's open transaction makes a worker retry instead of hanging.
    pub lock_timeout: Option<Duration>,
    /// Least time between two statements of one kind of step; see [`Batches::new`].
    pub step_pace: Duration,
}

impl std::fmt::Debug for StoreSettings {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoreSettings").field("pool_size", &self.pool_size).finish_non_exhaustive()
    }
}

/// The pace of accepted uploads: a client waits for its 202.
const ACCEPT_PACE: Duration = Duration::from_millis(5);

/// A pooled connection.
pub(crate) type Conn = Object<AsyncPgConnection>;

/// The pool and its deadlines. Cheap to clone.
#[derive(Clone)]
pub(crate) struct Connections {
    pool: Pool<AsyncPgConnection>,
    settings: Arc<StoreSettings>,
    /// Slightly longer than the server's own limit: only a dead network reaches it, beats excepted.
    client_deadline: Duration,
    /// Rows are found by key only.
    by_key: bool,
}

/// Everything this program knows about Postgres. Cheap to clone.
#[derive(Clone)]
pub struct Store {
    pub(crate) connections: Connections,
    /// Steps of workers.
    pub(crate) steps: Batches<LeaseRow>,
    /// Accepted uploads.
    pub(crate) accepts: Batches<AcceptedRow>,
    /// Says that this process lives.
    pub(crate) beats: Connections,
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").finish_non_exhaustive()
    }
}

impl Store {
    /// Prepares a pool; connects on first use, so that a program starts while Postgres is away.
    pub fn new(settings: &StoreSettings) -> Result<Self, StoreError> {
        let connections = Connections::new(settings)?;
        let by_key = connections.by_key()?;
        let (steps, accepts) =
            (Batches::new(by_key.clone(), settings.step_pace), Batches::new(by_key, ACCEPT_PACE));
        let beats = connections.one()?;
        Ok(Self { connections, steps, accepts, beats })
    }

    /// A connection of the pool.
    pub(crate) async fn conn(&self) -> Result<Conn, StoreError> {
        self.connections.get().await
    }

    /// Runs one statement and reads its rows: one round trip, one transaction.
    pub(crate) async fn rows<T>(&self, statement: Statement) -> Result<Vec<T>, StoreError>
    where
        T: QueryableByName<Pg> + Send + 'static,
    {
        self.connections.rows(statement).await
    }

    /// The first row, if any.
    pub(crate) async fn row<T>(&self, statement: Statement) -> Result<Option<T>, StoreError>
    where
        T: QueryableByName<Pg> + Send + 'static,
    {
        Ok(self.rows(statement).await?.into_iter().next())
    }

    /// Runs one statement for its effect; gives the number of rows it returned or touched.
    pub(crate) async fn execute(&self, statement: Statement) -> Result<usize, StoreError> {
        self.connections.effect(statement).await
    }

    /// Answers whether Postgres works at all.
    pub async fn ping(&self) -> Result<(), StoreError> {
        self.execute(Statement::new("select 1")).await.map(|_| ())
    }
}

impl Connections {
    fn new(settings: &StoreSettings) -> Result<Self, StoreError> {
        Self::sized(Arc::new(settings.clone()), settings.pool_size, false)
    }

    /// The same database over one connection, apart from the pool.
    pub(crate) fn one(&self) -> Result<Self, StoreError> {
        Self::sized(self.settings.clone(), 1, self.by_key)
    }

    /// The same, where neither a connection nor an answer is awaited longer than so. The server may still be at it
    /// afterwards.
    pub(crate) fn within(&self, patience: Duration) -> Self {
        Self { client_deadline: patience.min(self.client_deadline), ..self.clone() }
    }

    /// A few connections for steps of workers.
    fn by_key(&self) -> Result<Self, StoreError> {
        Self::sized(self.settings.clone(), 2, true)
    }

    fn sized(settings: Arc<StoreSettings>, size: usize, by_key: bool) -> Result<Self, StoreError> {
        let config = connection_config(&settings, by_key)?;
        let mut manager = ManagerConfig::default();
        manager.recycling_method = RecyclingMethod::Fast;
        manager.custom_setup = Box::new(move |_url| establish(config.clone()).boxed());
        let manager = AsyncDieselConnectionManager::new_with_config(String::new(), manager);
        let pool = Pool::builder(manager)
            .max_size(size)
            // The connection used last has the warmest caches, at both ends.
            .queue_mode(QueueMode::Lifo)
            .runtime(deadpool::Runtime::Tokio1)
            .build()
            .map_err(|e| StoreError::unavailable(e.to_string()))?;
        let client_deadline = settings.statement_timeout + Duration::from_secs(2);
        Ok(Self { pool, settings, client_deadline, by_key })
    }

    pub(crate) async fn get(&self) -> Result<Conn, StoreError> {
        let least = |limit: Duration| Some(limit.min(self.client_deadline));
        let timeouts = Timeouts {
            wait: least(self.settings.pool_wait),
            create: least(self.settings.connect_timeout),
            recycle: least(self.settings.connect_timeout),
        };
        self.pool.timeout_get(&timeouts).await.map_err(|e| match e {
            PoolError::Timeout(kind) => StoreError::unavailable(format!("no connection in time ({kind:?})")),
            PoolError::Backend(error) => StoreError::unavailable(error.to_string()),
            other => StoreError::unavailable(other.to_string()),
        })
    }

    pub(crate) async fn rows<T>(&self, statement: Statement) -> Result<Vec<T>, StoreError>
    where
        T: QueryableByName<Pg> + Send + 'static,
    {
        self.run(async move |conn| statement.load::<T>(conn).await).await
    }

    pub(crate) async fn effect(&self, statement: Statement) -> Result<usize, StoreError> {
        self.run(async move |conn| statement.execute(conn).await).await
    }

    async fn run<R>(
        &self,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> QueryResult<R>,
    ) -> Result<R, StoreError> {
        self.run_on(self.get().await?, work).await
    }

    /// For its effect, on a connection of this pool or another.
    pub(crate) async fn effect_on(&self, conn: Conn, statement: Statement) -> Result<usize, StoreError> {
        self.run_on(conn, async move |conn| statement.execute(conn).await).await
    }

    async fn run_on<R>(
        &self,
        mut conn: Conn,
        work: impl AsyncFnOnce(&mut AsyncPgConnection) -> QueryResult<R>,
    ) -> Result<R, StoreError> {
        match tokio::time::timeout(self.client_deadline, work(&mut conn)).await {
            Ok(result) => Ok(result?),
            Err(_elapsed) => {
                // The dropped query may still commit, and the connection is in an unknown state.
                drop(Object::take(conn));
                Err(StoreError::Unavailable {
                    message: "no answer within the deadline".to_owned(),
                    outcome_unknown: true,
                })
            }
        }
    }
}

fn connection_config(settings: &StoreSettings, by_key: bool) -> Result<tokio_postgres::Config, StoreError> {
    let mut config: tokio_postgres::Config = settings
        .url
        .parse()
        .map_err(|e| StoreError::unavailable(format!("DATABASE_URL cannot be read: {e}")))?;
    config
        .application_name(&settings.application_name)
        .connect_timeout(settings.connect_timeout)
        .keepalives_idle(Duration::from_secs(15))
        .keepalives_interval(Duration::from_secs(5))
        .tcp_user_timeout(settings.statement_timeout + Duration::from_secs(5));
    let mut options = config.get_options().unwrap_or_default().to_owned();
    options.push_str(&format!(" -c statement_timeout={}", settings.statement_timeout.as_millis()));
    // Every statement finds its rows by key: the plan is the same whatever the values are.
    options.push_str(" -c plan_cache_mode=force_generic_plan");
    if by_key {
        // A plan made while the tables are empty would read them whole, and be kept.
        options.push_str(" -c enable_seqscan=off -c enable_hashjoin=off -c enable_mergejoin=off");
    }
    if let Some(limit) = settings.lock_timeout {
        options.push_str(&format!(" -c lock_timeout={}", limit.as_millis()));
    }
    config.options(&options);
    Ok(config)
}

async fn establish(config: tokio_postgres::Config) -> diesel::ConnectionResult<AsyncPgConnection> {
    let (client, connection) = config
        .connect(tokio_postgres::NoTls)
        .await
        .map_err(|e| diesel::ConnectionError::BadConnection(error_chain(&e)))?;
    AsyncPgConnection::try_from_client_and_connection(client, connection).await
}

/// tokio-postgres hides the server's words in the source.
fn error_chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut next = error.source();
    while let Some(source) = next {
        text.push_str(": ");
        text.push_str(&source.to_string());
        next = source.source();
    }
    text
}

/// A statement written by hand that is prepared once per connection.
///
/// diesel's `sql_query` prepares anew on every use, a second round trip that would double the cost of a
/// claim. Here the text, which already holds the placeholders `$1…$n`, is the cache key.
#[derive(Debug, Clone)]
pub(crate) struct Statement {
    sql: Text,
    binds: Vec<Bind>,
}

#[derive(Debug, Clone)]
enum Text {
    Fixed(&'static str),
    Made(Arc<str>),
}

impl Statement {
    pub(crate) fn new(sql: &'static str) -> Self {
        Self { sql: Text::Fixed(sql), binds: Vec::new() }
    }

    pub(crate) fn of_text(sql: Arc<str>) -> Self {
        Self { sql: Text::Made(sql), binds: Vec::new() }
    }

    /// Adds the next placeholder's value.
    pub(crate) fn bind(mut self, value: impl Into<Bind>) -> Self {
        self.binds.push(value.into());
        self
    }
}

impl QueryFragment<Pg> for Statement {
    fn walk_ast<'b>(&'b self, mut out: AstPass<'_, 'b, Pg>) -> QueryResult<()> {
        out.push_sql(match &self.sql {
            Text::Fixed(sql) => sql,
            Text::Made(sql) => sql,
        });
        for bind in &self.binds {
            bind.push(&mut out)?;
        }
        Ok(())
    }
}

impl QueryId for Statement {
    type QueryId = ();
    const HAS_STATIC_QUERY_ID: bool = false;
}

impl Query for Statement {
    type SqlType = sql_types::Untyped;
}

macro_rules! binds {
    ($($variant:ident($rust:ty) => $sql:ty),+ $(,)?) => {
        /// A value of a placeholder, with the SQL type it is sent as.
        #[derive(Debug, Clone)]
        pub(crate) enum Bind { $($variant($rust)),+ }

        impl Bind {
            fn push<'b>(&'b self, out: &mut AstPass<'_, 'b, Pg>) -> QueryResult<()> {
                match self { $(Self::$variant(value) => out.push_bind_param_value_only::<$sql, $rust>(value)),+ }
            }
        }

        $(impl From<$rust> for Bind {
            fn from(value: $rust) -> Self { Self::$variant(value) }
        })+
    };
}
binds! {
    Uuid(Option<Uuid>) => sql_types::Nullable<sql_types::Uuid>,
    Text(Option<String>) => sql_types::Nullable<sql_types::Text>,
    Int(Option<i32>) => sql_types::Nullable<sql_types::Integer>,
    BigInt(Option<i64>) => sql_types::Nullable<sql_types::BigInt>,
    Double(Option<f64>) => sql_types::Nullable<sql_types::Double>,
    Bool(bool) => sql_types::Bool,
    Bytes(Option<Vec<u8>>) => sql_types::Nullable<sql_types::Binary>,
    Json(Option<Value>) => sql_types::Nullable<sql_types::Jsonb>,
    Time(Option<DateTime<Utc>>) => sql_types::Nullable<sql_types::Timestamptz>,
    Uuids(Vec<Uuid>) => sql_types::Array<sql_types::Uuid>,
    Texts(Vec<String>) => sql_types::Array<sql_types::Text>,
    Ints(Vec<i32>) => sql_types::Array<sql_types::Integer>,
    BigInts(Vec<i64>) => sql_types::Array<sql_types::BigInt>,
    Floats(Vec<f32>) => sql_types::Array<sql_types::Float>,
}

macro_rules! bind_plain {
    ($($plain:ty => |$value:ident| $bind:expr),+ $(,)?) => {
        $(impl From<$plain> for Bind {
            fn from($value: $plain) -> Self { $bind }
        })+
    };
}
bind_plain! {
    Uuid => |v| Self::Uuid(Some(v)),
    String => |v| Self::Text(Some(v)),
    &str => |v| Self::Text(Some(v.to_owned())),
    i32 => |v| Self::Int(Some(v)),
    i64 => |v| Self::BigInt(Some(v)),
    f64 => |v| Self::Double(Some(v)),
    Vec<u8> => |v| Self::Bytes(Some(v)),
    Value => |v| Self::Json(Some(v)),
    DateTime<Utc> => |v| Self::Time(Some(v)),
    scryon_domain::ids::CallId => |v| Self::Uuid(Some(v.0)),
    scryon_domain::ids::UserId => |v| Self::Uuid(Some(v.0)),
    scryon_domain::ids::LeaseToken => |v| Self::Uuid(Some(v.0)),
    scryon_domain::ids::HintId => |v| Self::Uuid(Some(v.0)),
    scryon_domain::ids::JobId => |v| Self::Uuid(Some(v.0)),
    &scryon_domain::ids::TenantId => |v| Self::Text(Some(v.0.clone())),
    Duration => |v| Self::Double(Some(v.as_secs_f64())),
}

impl From<Option<scryon_domain::ids::JobId>> for Bind {
    fn from(value: Option<scryon_domain::ids::JobId>) -> Self {
        Self::Uuid(value.map(|id| id.0))
    }
}
impl From<Option<&str>> for Bind {
    fn from(value: Option<&str>) -> Self {
        Self::Text(value.map(str::to_owned))
    }
}
