//! A runbook page: Markdown with front matter. Its fenced `sh` and `sql` blocks are the steps, literally.

use std::collections::BTreeMap;

use pulldown_cmark::{CodeBlockKind, Event, HeadingLevel, Parser, Tag, TagEnd};
use serde::{Deserialize, Serialize};

/// The headings of a page, in their order.
pub(crate) const HEADINGS: [&str; 8] = [
    "Symptom",
    "Scope",
    "Immediate checks",
    "Root cause isolation",
    "Remediation",
    "Validation",
    "Escalation and what to collect",
    "Prevention",
];
pub(crate) const REMEDIATION: &str = HEADINGS[4];

/// What stands before the page: who answers for it, and how it is practised.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Front {
    pub(crate) title: String,
    /// Who answers for the page.
    pub(crate) owner: String,
    /// SEV-1 (everybody) to SEV-4 (no haste).
    pub(crate) severity: String,
    /// What breaks, in a sentence.
    pub(crate) breaks: String,
    /// Words in angle brackets that a reader replaces, and what they mean.
    #[serde(default)]
    pub(crate) needs: BTreeMap<String, String>,
    pub(crate) drill: Drill,
}

/// How the trouble is made and seen. Shell, with the functions of deploy/drills/lib.sh.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Drill {
    /// Makes the trouble; sets the variables that stand for the words in angle brackets.
    pub(crate) inject: String,
    /// Succeeds while the trouble is there.
    pub(crate) before: String,
    /// Succeeds once all is well, and not before.
    pub(crate) after: String,
    /// Puts back what the drill changed.
    #[serde(default)]
    pub(crate) undo: String,
    /// Seconds for which the trouble must stay when nobody does anything.
    pub(crate) stays: u64,
    /// Seconds after the remedy within which all must be well.
    pub(crate) limit: u64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Language {
    Sh,
    Sql,
}

/// One step: a fenced block.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Step {
    /// The section it stands in.
    pub(crate) section: String,
    /// Of a remedy with several ways: which.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(crate) way: Option<String>,
    pub(crate) language: Language,
    pub(crate) text: String,
}

/// A page as it is read.
#[derive(Debug, Clone)]
pub(crate) struct Page {
    /// The file's name without `.md`.
    pub(crate) id: String,
    pub(crate) front: Front,
    pub(crate) markdown: String,
    pub(crate) steps: Vec<Step>,
    headings: Vec<String>,
}

impl Page {
    /// Reads a page.
    ///
    /// # Errors
    /// What is wrong, for whoever writes it.
    pub(crate) fn read(id: &str, text: &str) -> Result<Self, String> {
        let rest = text.strip_prefix("---\n").ok_or("has no front matter: it begins with a line `---`")?;
        let (front, markdown) =
            rest.split_once("\n---\n").ok_or("its front matter does not end with `---`")?;
        let front: Front = serde_norway::from_str(front).map_err(|e| format!("its front matter: {e}"))?;
        let (headings, steps) = walk(markdown);
        Ok(Self { id: id.to_owned(), front, markdown: markdown.trim_start().to_owned(), steps, headings })
    }

    /// The ways of the remedy; a page whose remedy has one way has one without a name.
    pub(crate) fn ways(&self) -> Vec<Option<String>> {
        let mut ways = Vec::new();
        for step in self.steps.iter().filter(|s| s.section == REMEDIATION) {
            if !ways.contains(&step.way) {
                ways.push(step.way.clone());
            }
        }
        if ways.len() > 1 {
            // Steps before the first way belong to every one.
            ways.retain(Option::is_some);
        }
        ways
    }

    /// The steps of a section; of the remedy those of one way, and those that all ways share.
    pub(crate) fn section(&self, section: &str, way: Option<&str>) -> impl Iterator<Item = &Step> {
        self.steps.iter().filter(move |s| {
            s.section == section && (s.way.is_none() || way.is_none() || s.way.as_deref() == way)
        })
    }

    /// What a reader at night would stumble over.
    pub(crate) fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.headings != HEADINGS {
            problems.push(format!(
                "its headings are not {}: {}",
                HEADINGS.join(", "),
                self.headings.join(", ")
            ));
        }
        if !self.markdown.starts_with(&format!("# {}\n", self.front.title)) {
            problems.push(format!("its first line is not `# {}`", self.front.title));
        }
        if !["SEV-1", "SEV-2", "SEV-3", "SEV-4"].contains(&self.front.severity.as_str()) {
            problems.push("its severity is none of SEV-1 to SEV-4".to_owned());
        }
        for section in [HEADINGS[2], REMEDIATION, HEADINGS[5]] {
            if self.section(section, None).next().is_none() {
                problems.push(format!("nothing can be executed under {section}"));
            }
        }
        if self.front.drill.limit == 0 || self.front.drill.stays == 0 {
            problems.push("its drill has a limit and a time for which the trouble stays".to_owned());
        }
        for step in &self.steps {
            for word in placeholders(&step.text) {
                if !self.front.needs.contains_key(word) {
                    problems.push(format!("<{word}> is not among what the page needs"));
                }
            }
        }
        for word in self.front.needs.keys() {
            if !self.steps.iter().any(|s| s.text.contains(&format!("<{word}>"))) {
                problems.push(format!("it needs {word}, and no step uses <{word}>"));
            }
        }
        problems
    }
}

/// Words in angle brackets that stand for something: letters only, as `<callId>`.
pub(crate) fn placeholders(text: &str) -> Vec<&str> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices('<') {
        let Some(end) = text[at + 1..].find('>') else { continue };
        let word = &text[at + 1..at + 1 + end];
        if !word.is_empty() && word.chars().all(|c| c.is_ascii_alphabetic()) && !found.contains(&word) {
            found.push(word);
        }
    }
    found
}

/// Headings of the second level, and the steps under them.
fn walk(markdown: &str) -> (Vec<String>, Vec<Step>) {
    let (mut headings, mut steps) = (Vec::<String>::new(), Vec::new());
    let mut way = None;
    let mut heading: Option<(HeadingLevel, String)> = None;
    let mut block: Option<(Language, String)> = None;
    for event in Parser::new(markdown) {
        match event {
            Event::Start(Tag::Heading { level, .. }) => heading = Some((level, String::new())),
            Event::End(TagEnd::Heading(_)) => match heading.take() {
                Some((HeadingLevel::H2, text)) => {
                    headings.push(text);
                    way = None;
                }
                Some((HeadingLevel::H3, text)) => way = Some(text),
                _ => {}
            },
            Event::Start(Tag::CodeBlock(CodeBlockKind::Fenced(info))) => {
                block = match info.as_ref() {
                    "sh" => Some((Language::Sh, String::new())),
                    "sql" => Some((Language::Sql, String::new())),
                    _ => None,
                };
            }
            Event::End(TagEnd::CodeBlock) => {
                if let (Some((language, text)), Some(section)) = (block.take(), headings.last()) {
                    steps.push(Step { section: section.clone(), way: way.clone(), language, text });
                }
            }
            Event::Text(text) | Event::Code(text) => {
                if let Some((_, block)) = &mut block {
                    block.push_str(&text);
                } else if let Some((_, heading)) = &mut heading {
                    heading.push_str(&text);
                }
            }
            _ => {}
        }
    }
    (headings, steps)
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEMPLATE: &str = include_str!("../../../../docs/templates/runbook.md");

    #[test]
    fn the_template_is_a_page() {
        let page = Page::read("template", TEMPLATE).unwrap();
        assert_eq!(page.problems(), Vec::<String>::new());
        assert_eq!(page.ways(), [Some("By SQL".to_owned()), Some("By the command line".to_owned())]);
        let sql: Vec<_> = page.section(REMEDIATION, Some("By SQL")).map(|s| s.language).collect();
        assert_eq!(sql, [Language::Sql]);
    }

    #[test]
    fn a_page_that_would_fail_at_night_is_refused() {
        for (change, problem) in [
            (("## Scope", "## Range"), "headings"),
            (("severity: SEV-3", "severity: bad"), "SEV-1"),
            (("<callId>", "<otherId>"), "otherId"),
            (("# Title of the page", "# Another title"), "first line"),
            (("limit: 60", "limit: 0"), "limit"),
        ] {
            let text = TEMPLATE.replace(change.0, change.1);
            let problems = Page::read("x", &text).unwrap().problems().join("; ");
            assert!(problems.contains(problem), "{change:?}: {problems}");
        }
        for text in ["# no front matter", "---\ntitle: x\n", "---\ntitle: x\n---\n# x\n"] {
            assert!(Page::read("x", text).is_err(), "{text}");
        }
    }

    #[test]
    fn words_in_angle_brackets_are_found_and_operators_of_shells_are_not() {
        let text = "WHERE id = '<callId>' AND a < b AND c > d; cat <<EOF >out; x <userId> <callId> <2x>";
        assert_eq!(placeholders(text), ["callId", "userId"]);
    }
}
