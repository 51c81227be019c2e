//! The test's own schema, and plain SQL as an operator types it.

use scryon_store::{Store, StoreSettings};
use std::time::Duration;
use tokio_postgres::types::ToSql;
use tokio_postgres::{Client, NoTls, Row};
use uuid::Uuid;

use crate::proxy::Proxy;
use crate::wait::promptly;

/// A schema of its own.
pub struct Database {
    /// Connects into the schema.
    pub url: String,
    pub schema: String,
}

impl Database {
    /// Makes a schema and brings it up to date.
    ///
    /// # Panics
    /// When Postgres does not let us in.
    pub async fn create(server_url: &str) -> Self {
        let schema = format!("t_{}", Uuid::new_v4().simple());
        let url = format!("{server_url}?options=-csearch_path%3D{schema}");
        let admin = connect(server_url).await;
        admin.batch_execute(&format!("create schema {schema}")).await.expect("a schema can be created");
        let database = Self { url, schema };
        database.store().migrate().await.expect("migrations apply");
        database
    }

    /// The same schema in a fresh database of its own on the same server, empty as yet.
    ///
    /// # Panics
    /// When no database can be made.
    pub async fn fresh_beside(&self) -> Self {
        let name = format!("d_{}", Uuid::new_v4().simple());
        self.client()
            .await
            .batch_execute(&format!("create database {name}"))
            .await
            .expect("a database can be made");
        let (server, options) = self.url.split_once('?').expect("a test's address names its schema");
        let (server, _database) = server.rsplit_once('/').expect("an address names its database");
        Self { url: format!("{server}/{name}?{options}"), schema: self.schema.clone() }
    }

    /// Deletes a database that [`Self::fresh_beside`] made; `beside` is on the same server.
    ///
    /// # Panics
    /// When it cannot be deleted.
    pub async fn drop_database(self, server_url: &str) {
        let path = self.url.split('?').next().unwrap_or_default();
        let name = path.rsplit('/').next().unwrap_or_default();
        let drop = format!("drop database {name} with (force)");
        connect(server_url).await.batch_execute(&drop).await.expect("the database can be dropped");
    }

    /// A store of its own on this schema.
    pub fn store(&self) -> Store {
        Self::store_at(self.url.clone())
    }

    /// The same by way of a proxy.
    pub fn store_through(&self, wire: &Proxy) -> Store {
        Self::store_at(wire.url(&self.url))
    }

    fn store_at(url: String) -> Store {
        Store::new(&StoreSettings {
            url,
            application_name: "test".to_owned(),
            pool_size: 4,
            pool_wait: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            statement_timeout: Duration::from_secs(60),
            lock_timeout: None,
            step_pace: Duration::ZERO,
        })
        .expect("the address can be read")
    }

    /// A connection as an operator has one.
    pub async fn client(&self) -> Client {
        connect(&self.url).await
    }

    /// Runs one statement on a fresh connection.
    ///
    /// # Panics
    /// When Postgres refuses it.
    pub async fn sql(&self, statement: &str, parameters: &[&(dyn ToSql + Sync)]) -> Vec<Row> {
        self.client()
            .await
            .query(statement, parameters)
            .await
            .unwrap_or_else(|e| panic!("{statement}: {e:?}"))
    }

    /// The first column of the first row.
    pub async fn number(&self, statement: &str) -> i64 {
        self.sql(statement, &[]).await[0].get(0)
    }

    /// Deletes the schema.
    pub async fn drop_schema(self) {
        let drop = format!("drop schema if exists {} cascade", self.schema);
        // On a fresh connection: a test may have stopped the server meanwhile.
        let client = self.client().await;
        let dropped = promptly("the schema's end", client.batch_execute(&drop)).await;
        dropped.expect("the schema can be dropped");
    }
}

async fn connect(url: &str) -> Client {
    let connected = promptly("a connection to Postgres", tokio_postgres::connect(url, NoTls)).await;
    let (client, connection) = connected.expect("Postgres lets us in");
    // The connection ends with its client.
    tokio::spawn(connection);
    client
}
