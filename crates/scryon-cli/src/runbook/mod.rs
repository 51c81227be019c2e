//! `scryon runbook`: pages that are true because they are executed. Operators read and run them; `drill` makes the
//! trouble of a page on a practice stack, sees that it stays, applies the remedy as printed and measures.

mod page;
mod session;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use serde_json::json;

use crate::output::{Failure, Output};
use crate::runbook::page::{HEADINGS, Page, REMEDIATION, Step};
use crate::runbook::session::{Ended, Session};

/// Between two looks at a condition.
const LOOK: Duration = Duration::from_millis(500);
/// For the trouble to be seen after it was made.
const APPEARS: Duration = Duration::from_secs(60);
/// What a new page begins as.
const TEMPLATE: &str = include_str!("../../../../docs/templates/runbook.md");
/// What is executed before the remedy, and after it.
const CHECKS: [&str; 2] = [HEADINGS[2], HEADINGS[3]];
const AFTERWARDS: [&str; 2] = [HEADINGS[5], HEADINGS[6]];

#[derive(Args)]
pub(crate) struct RunbookArguments {
    /// The folder that holds docs/ and deploy/.
    #[arg(long, default_value = ".", global = true)]
    root: PathBuf,
    #[command(subcommand)]
    command: RunbookCommand,
}

#[derive(Subcommand)]
enum RunbookCommand {
    /// List the pages.
    List,
    /// Print a page.
    Show { id: String },
    /// Carry out a page's steps, as printed: checks, remedy, validation.
    Run {
        id: String,
        /// A value for a word in angle brackets, as `callId=…`.
        #[arg(long = "set", value_parser = pair)]
        set: Vec<(String, String)>,
        /// Of a remedy with several ways: which; the first without this.
        #[arg(long)]
        way: Option<String>,
        /// Print the steps with their values and carry out none.
        #[arg(long)]
        dry_run: bool,
        /// Do not ask before the remedy.
        #[arg(long)]
        yes: bool,
    },
    /// Write a new page from the template.
    New { id: String },
    /// Say what is wrong with the pages.
    Lint,
    /// Make a page's trouble, see that it stays, apply the remedy, measure, undo. For a practice stack: it breaks things.
    Drill {
        id: String,
        /// It may break what API_URL and DATABASE_URL lead to.
        #[arg(long, required = true)]
        on_this_stack: bool,
    },
}

fn pair(text: &str) -> Result<(String, String), String> {
    let (name, value) = text.split_once('=').ok_or("is not of the form name=value")?;
    Ok((name.to_owned(), value.to_owned()))
}

pub(crate) async fn runbook(output: &Output, arguments: RunbookArguments) -> Result<u8, Failure> {
    let root = &arguments.root;
    match arguments.command {
        RunbookCommand::List => list(output, root),
        RunbookCommand::Show { id } => output.text(&open(root, &id)?.markdown),
        RunbookCommand::Run { id, set, way, dry_run, yes } => {
            let page = open(root, &id)?;
            let session = Session::open(root, true)?;
            give(&session, &page, set).await?;
            if dry_run {
                print(output, &session, &page, way.as_deref()).await
            } else {
                run(output, &session, &page, way.as_deref(), yes).await
            }
        }
        RunbookCommand::New { id } => new(output, root, &id),
        RunbookCommand::Lint => lint(output, root),
        RunbookCommand::Drill { id, on_this_stack: _ } => drill(output, root, &open(root, &id)?).await,
    }
}

fn folder(root: &Path) -> PathBuf {
    root.join("docs/runbooks")
}

fn open(root: &Path, id: &str) -> Result<Page, Failure> {
    let file = folder(root).join(format!("{id}.md"));
    let text = std::fs::read_to_string(&file).map_err(|e| {
        Failure::new(
            Failure::USAGE,
            format!("{}: {e}; `scryon runbook list` names the pages", file.display()),
        )
    })?;
    Page::read(id, &text).map_err(|e| Failure::new(Failure::USAGE, format!("{id} {e}")))
}

/// The ids of all pages.
fn ids(root: &Path) -> Result<Vec<String>, Failure> {
    let folder = folder(root);
    let entries = std::fs::read_dir(&folder).map_err(|e| {
        Failure::new(Failure::USAGE, format!("{}: {e}; --root names the folder above", folder.display()))
    })?;
    let names = entries.flatten().filter_map(|e| e.file_name().into_string().ok());
    let mut ids: Vec<String> = names.filter_map(|n| n.strip_suffix(".md").map(str::to_owned)).collect();
    ids.retain(|id| id != "README");
    ids.sort();
    Ok(ids)
}

fn list(output: &Output, root: &Path) -> Result<u8, Failure> {
    for id in ids(root)? {
        let page = open(root, &id)?;
        let front = &page.front;
        output.line(&if output.is_json() {
            json!({"id": id, "title": front.title, "severity": front.severity, "breaks": front.breaks, "needs": front.needs, "ways": page.ways()}).to_string()
        } else {
            format!("{id:<32} {:<6} {}", front.severity, front.title)
        })?;
    }
    Ok(0)
}

fn lint(output: &Output, root: &Path) -> Result<u8, Failure> {
    let mut wrong = false;
    for id in ids(root)? {
        let text = std::fs::read_to_string(folder(root).join(format!("{id}.md"))).unwrap_or_default();
        let problems = Page::read(&id, &text).map_or_else(|e| vec![e], |page| page.problems());
        for problem in problems {
            wrong = true;
            output.line(&format!("{id}: {problem}"))?;
        }
    }
    Ok(u8::from(wrong))
}

fn new(output: &Output, root: &Path, id: &str) -> Result<u8, Failure> {
    let named =
        !id.is_empty() && id.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-');
    if !named {
        return Err(Failure::new(Failure::USAGE, "a page's id has small letters, digits and `-` only"));
    }
    let file = folder(root).join(format!("{id}.md"));
    let stopped = |e: std::io::Error| Failure::new(Failure::USAGE, format!("{}: {e}", file.display()));
    let mut new = std::fs::File::create_new(&file).map_err(stopped)?;
    std::io::Write::write_all(&mut new, TEMPLATE.as_bytes()).map_err(stopped)?;
    output.note("Write it, then practise it: `make up`, and `scryon runbook drill` with its id.");
    output.line(&file.display().to_string())
}

/// Values for the words in angle brackets become variables of the session.
async fn give(session: &Session, page: &Page, set: Vec<(String, String)>) -> Result<(), Failure> {
    let set: BTreeMap<String, String> = set.into_iter().collect();
    if let Some(unknown) = set.keys().find(|name| !page.front.needs.contains_key(*name)) {
        return Err(Failure::new(Failure::USAGE, format!("{} has no <{unknown}>", page.id)));
    }
    for (name, meaning) in &page.front.needs {
        let Some(value) = set.get(name) else {
            let words = format!("<{name}> has no value: give {meaning} as --set {name}=…");
            return Err(Failure::new(Failure::USAGE, words));
        };
        let quoted = value.replace('\'', "'\\''");
        session.assign(&format!("{name}='{quoted}'")).await?;
    }
    Ok(())
}

async fn print(output: &Output, session: &Session, page: &Page, way: Option<&str>) -> Result<u8, Failure> {
    for step in chosen(page, way)? {
        output.line(&format!("# {}\n{}", step.section, session.filled(step).await?))?;
    }
    Ok(0)
}

/// The steps of a run, in the page's order.
fn chosen<'a>(page: &'a Page, way: Option<&str>) -> Result<Vec<&'a Step>, Failure> {
    let ways = page.ways();
    let first = ways.first().cloned().flatten();
    let way = way.map(str::to_owned).or(first);
    if way.is_some() && !ways.contains(&way) {
        let known: Vec<&str> = ways.iter().flatten().map(String::as_str).collect();
        return Err(Failure::new(
            Failure::USAGE,
            format!("the ways of {} are: {}", page.id, known.join(", ")),
        ));
    }
    Ok(page.steps.iter().filter(|s| s.section != REMEDIATION || s.way.is_none() || s.way == way).collect())
}

async fn run(
    output: &Output,
    session: &Session,
    page: &Page,
    way: Option<&str>,
    yes: bool,
) -> Result<u8, Failure> {
    let mut asked = yes;
    for step in chosen(page, way)? {
        let text = session.filled(step).await?;
        output.note(&format!("\n# {}\n{text}", step.section));
        if step.section == REMEDIATION && !asked {
            asked = confirmed(output)?;
            if !asked {
                output.note("Nothing was changed.");
                return Ok(0);
            }
        }
        let ended = session.step(step).await?;
        if !ended.status.success() {
            let words = format!(
                "a step of {} ended with {}; the steps after it were not carried out",
                page.id, ended.status
            );
            return Err(Failure::new(Failure::STOPPED, words));
        }
    }
    Ok(0)
}

fn confirmed(output: &Output) -> Result<bool, Failure> {
    output.note("Carry out the remedy? Type yes:");
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer).map_err(|e| Failure::new(Failure::STOPPED, e.to_string()))?;
    Ok(answer.trim() == "yes")
}

/// Practises every way of a page's remedy; prints the seconds each took.
async fn drill(output: &Output, root: &Path, page: &Page) -> Result<u8, Failure> {
    for way in page.ways() {
        let session = Session::open(root, false)?;
        let practice = Practice { session: &session, page, way: way.as_deref() };
        let result = practice.through().await;
        // Whatever happened: the stack is left as it was found.
        let undone = session.drill(&page.front.drill.undo).await;
        let seconds = result?;
        practice.must("undo", &undone?)?;
        let name = way.as_deref().unwrap_or("the remedy");
        output.line(&if output.is_json() {
            json!({"page": page.id, "way": way, "secondsToRemedy": seconds, "limit": page.front.drill.limit, "stayedWithout": page.front.drill.stays}).to_string()
        } else {
            format!("{:<32} {name:<28} remedied in {seconds:>5.1} s (limit {} s); without it the trouble stayed for {} s", page.id, page.front.drill.limit, page.front.drill.stays)
        })?;
    }
    Ok(0)
}

struct Practice<'a> {
    session: &'a Session,
    page: &'a Page,
    way: Option<&'a str>,
}

impl Practice<'_> {
    async fn through(&self) -> Result<f64, Failure> {
        let drill = &self.page.front.drill;
        self.must("inject", &self.session.drill(&drill.inject).await?)?;
        self.until("the trouble to be seen (before)", &drill.before, APPEARS).await?;
        self.steps(&CHECKS).await?;
        // Without the remedy nothing gets well: else the page would remedy nothing.
        let made = Instant::now();
        while made.elapsed() < Duration::from_secs(drill.stays) {
            if self.session.drill(&drill.after).await?.status.success() {
                return Err(self.failure("all was well without the remedy"));
            }
            tokio::time::sleep(LOOK).await;
        }
        let begun = Instant::now();
        self.steps(&[REMEDIATION]).await?;
        self.until("all to be well (after)", &drill.after, Duration::from_secs(drill.limit)).await?;
        let seconds = begun.elapsed().as_secs_f64();
        self.steps(&AFTERWARDS).await?;
        Ok(seconds)
    }

    async fn steps(&self, sections: &[&str]) -> Result<(), Failure> {
        for section in sections {
            for step in self.page.section(section, self.way) {
                let ended = self.session.step(step).await?;
                self.must(&format!("{section}:\n{}", step.text), &ended)?;
            }
        }
        Ok(())
    }

    async fn until(&self, what: &str, condition: &str, patience: Duration) -> Result<(), Failure> {
        let begun = Instant::now();
        loop {
            let ended = self.session.drill(condition).await?;
            if ended.status.success() {
                return Ok(());
            }
            if begun.elapsed() > patience {
                return Err(self.failure(&format!(
                    "waited {} s in vain for {what}\n{}",
                    patience.as_secs(),
                    ended.said
                )));
            }
            tokio::time::sleep(LOOK).await;
        }
    }

    fn must(&self, what: &str, ended: &Ended) -> Result<(), Failure> {
        if ended.status.success() {
            return Ok(());
        }
        Err(self.failure(&format!("{what}\n{}\n{}", ended.said, ended.status)))
    }

    fn failure(&self, what: &str) -> Failure {
        let way = self.way.map(|w| format!(" ({w})")).unwrap_or_default();
        Failure::new(Failure::STOPPED, format!("{}{way}: {what}", self.page.id))
    }
}
