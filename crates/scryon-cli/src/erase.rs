//! `scryon erase`: a user or a tenant with all that belongs to them, and a receipt that stays.

use std::time::Duration;

use clap::Args;
use scryon_blobs::Blobs;
use scryon_config::{Config, ProcessEnv};
use scryon_store::{ErasureBegin, Receipt, Store, Subject};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::backup::from_blobs;
use crate::output::{Failure, Output};
use crate::own_store;

const BATCH: i32 = 500;

#[derive(Args)]
#[group(id = "whom", required = true, args = ["user", "tenant", "receipt"])]
pub(crate) struct EraseArguments {
    /// A user, by id, by the identity provider's id or by e-mail address.
    #[arg(long)]
    user: Option<String>,
    /// A tenant with all its users.
    #[arg(long)]
    tenant: Option<String>,
    /// Why. It is kept in the receipt: no names of persons.
    #[arg(long, required_unless_present = "receipt", value_parser = clap::builder::NonEmptyStringValueParser::new())]
    reason: Option<String>,
    /// Who asks for it, as the receipt says it.
    #[arg(long, default_value = "operator")]
    by: String,
    /// It is meant. There is no way back.
    #[arg(long, required_unless_present = "receipt")]
    yes: bool,
    /// Print the receipt of an erasure instead.
    #[arg(long, value_name = "ID")]
    receipt: Option<Uuid>,
}

pub(crate) async fn erase(output: &Output, arguments: EraseArguments) -> Result<u8, Failure> {
    let config = Config::from_env(&ProcessEnv).map_err(|e| Failure::new(Failure::USAGE, e.to_string()))?;
    let store = own_store(&config, "scryon-erase", Duration::from_secs(60))?;
    if let Some(id) = arguments.receipt {
        return show(output, &store, id).await;
    }
    let subject = match (arguments.user, arguments.tenant) {
        (Some(user), _) => Subject::User(user),
        (None, tenant) => Subject::Tenant(tenant.unwrap_or_default()),
    };
    let blobs = Blobs::open(&config.storage).map_err(from_blobs)?;
    let reason = arguments.reason.unwrap_or_default();
    let begun = store.erasure_begin(&subject, &reason, &arguments.by).await.map_err(Failure::from_store)?;
    let id = match begun {
        ErasureBegin::Begun(id) => id,
        ErasureBegin::Found(0) => {
            return Err(Failure::new(Failure::USAGE, "nobody has that name; nothing was erased"));
        }
        ErasureBegin::Found(n) => {
            return Err(Failure::new(
                Failure::USAGE,
                format!("{n} users have that name; nothing was erased. Name one by its id"),
            ));
        }
    };
    output.note(&format!("receipt {id}"));
    // A batch at a time: workers and readers of other calls are not kept waiting. Cut short, the same command again
    // goes on under a receipt of its own.
    while store.erasure_calls(id, BATCH).await.map_err(Failure::from_store)? > 0 {}
    store.erasure_subject(id).await.map_err(Failure::from_store)?;
    let receipt = receipt(&store, id).await?;
    // What a restored backup is told.
    if receipt.subject == "tenant" && receipt.tenant_id != "default" {
        let prefix = format!("tenants/{}/", receipt.tenant_id);
        blobs.erasure_note(&prefix, chrono::Utc::now()).await.map_err(from_blobs)?;
    }
    blobs.receipt_note(id, json!(receipt).to_string().into_bytes()).await.map_err(from_blobs)?;
    show(output, &store, id).await
}

async fn receipt(store: &Store, id: Uuid) -> Result<Receipt, Failure> {
    let found = store.receipt(id).await.map_err(Failure::from_store)?;
    found.ok_or_else(|| Failure::new(Failure::USAGE, format!("there is no receipt {id}")))
}

async fn show(output: &Output, store: &Store, id: Uuid) -> Result<u8, Failure> {
    let receipt = receipt(store, id).await?;
    let copies: Vec<Value> = receipt
        .providers
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .map(|engine| json!({"engine": engine, "copies": copies_at(engine)}))
        .collect();
    if output.is_json() {
        let mut shown = json!(receipt);
        shown["providers"] = copies.into();
        return output.line(&shown.to_string());
    }
    let time = |at: Option<chrono::DateTime<chrono::Utc>>| {
        at.map_or_else(|| "not yet".to_owned(), |at| at.format("%Y-%m-%dT%H:%M:%SZ").to_string())
    };
    output.line(&format!("receipt           {}", receipt.id))?;
    output.line(&format!(
        "erased            {} {} of tenant {}",
        receipt.subject, receipt.subject_id, receipt.tenant_id
    ))?;
    output.line(&format!("reason            {}, asked for by {}", receipt.reason, receipt.requested_by))?;
    output.line(&format!("requested         {}", time(Some(receipt.requested_at))))?;
    output.line(&format!("rows gone         {}", time(receipt.rows_deleted_at)))?;
    for (what, count) in receipt.rows_deleted.as_object().into_iter().flatten() {
        output.line(&format!("  {what:<15} {count}"))?;
    }
    output.line(&format!(
        "objects gone      {} ({} so far)",
        time(receipt.completed_at),
        receipt.objects_deleted
    ))?;
    if receipt.provider_copies > 0 {
        output.line(&format!(
            "provider copies   {} deleted, {} to be deleted by the sweeper",
            receipt.provider_copies - receipt.provider_copies_left,
            receipt.provider_copies_left
        ))?;
    }
    for copy in &copies {
        output.line(&format!(
            "at {:<14} {}",
            copy["engine"].as_str().unwrap_or_default(),
            copy["copies"].as_str().unwrap_or_default()
        ))?;
    }
    Ok(0)
}

/// What is known about the copies at a provider.
fn copies_at(engine: &str) -> &'static str {
    match engine {
        "pyannote" => {
            "recordings and results expire at pyannoteAI by themselves within 48 hours; it offers no deletion"
        }
        "lemonfox" => {
            "Lemonfox says that it keeps no recordings after their transcription; it offers no deletion"
        }
        "assemblyai" => {
            "recordings and transcripts are deleted there by the sweeper, which needs SCRYON_ASSEMBLYAI_API_KEY"
        }
        "deepgram" => {
            "Deepgram keeps nothing unless the account takes part in its model improvement programme; it offers no deletion"
        }
        "openai" => {
            "requests are kept by OpenAI for up to 30 days to look for abuse, unless the account has zero retention; it offers no deletion"
        }
        "whisper-cpp" | "pocketsphinx" | "channels" | "extractive" => {
            "it ran on our own machines; there is no copy"
        }
        _ => "ask the provider; no deletion is known here",
    }
}
