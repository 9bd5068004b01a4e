//! The documentation says what holds: its programs run, its examples are read, its links lead somewhere.

mod backup;
mod guarantees;
mod output;
mod page;
mod proxy;
mod sandbox;

use std::{collections::BTreeSet, fs, path::Path};

use llm_orchestrator::{
    config::{self, Config, Environment},
    http::openapi,
    providers,
};
use serde_json::Value;

use self::{
    page::{Block, Page, pages, root},
    sandbox::{Sandbox, Tools, runs},
};

/// Runs every page of a language, and returns the calls that they made.
async fn run_pages(chinese: bool) -> Option<BTreeSet<String>> {
    let tools = Tools::prepare().await?;
    let (mut called, mut faults) = (BTreeSet::new(), Vec::new());
    for page in pages().iter().filter(|page| page.is_chinese() == chinese && page.blocks().iter().any(runs)) {
        match Sandbox::for_page(page).await.run(page, &tools).await {
            Ok(calls) => called.extend(calls),
            Err(fault) => faults.push(fault),
        }
    }
    assert!(faults.is_empty(), "{} pages show what does not work:\n{}", faults.len(), faults.join("\n\n"));
    Some(called)
}

/// The operations of the API that nothing in `called` is a call of.
fn never_called(called: &BTreeSet<String>) -> Vec<String> {
    let document = serde_json::to_value(openapi()).expect("the document is JSON");
    let mut missing = Vec::new();
    for (path, methods) in document["paths"].as_object().expect("there are paths") {
        // PUT does what PATCH does.
        for method in methods.as_object().expect("a path has methods").keys().filter(|method| *method != "put") {
            let operation = format!("{} {path}", method.to_uppercase());
            if !called.iter().any(|call| is_call_of(&operation, call)) {
                missing.push(operation);
            }
        }
    }
    missing
}

/// Whether a call is one of the operation; `{…}` stands for anything.
fn is_call_of(operation: &str, call: &str) -> bool {
    let Some((before, rest)) = operation.split_once('{') else { return operation == call };
    let after = rest.split_once('}').map_or("", |(_, after)| after);
    call.strip_prefix(before).is_some_and(|middle| {
        middle.strip_suffix(after).is_some_and(|id| !id.is_empty() && (after.is_empty() || !id.contains('/')))
    })
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_english_pages_show_runs_and_leaves_no_endpoint_out() {
    let Some(called) = run_pages(false).await else { return };
    let missing = never_called(&called);
    assert!(missing.is_empty(), "no page shows how to call:\n  {}", missing.join("\n  "));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_chinese_pages_show_runs() {
    run_pages(true).await;
}

#[test]
fn what_cannot_run_here_says_why() {
    let (mut skipped, mut unchecked) = (Vec::new(), Vec::new());
    for page in pages() {
        for block in page.blocks() {
            let place = format!("{}:{} {}", page.path, block.line, block.language);
            match block.skipped() {
                Some(reason) => skipped.push(format!("{place}: {reason}")),
                None if is_checked(&block) => {}
                None => unchecked.push(place),
            }
        }
    }
    assert!(unchecked.is_empty(), "nothing checks these: tag them `skip=` and why\n  {}", unchecked.join("\n  "));
    println!("{} blocks are not run:\n  {}", skipped.len(), skipped.join("\n  "));
}

/// Whether a block is a program that runs, data that is read, or for the eye only.
fn is_checked(block: &Block) -> bool {
    runs(block) || block.is_output() || matches!(block.language.as_str(), "" | "text" | "toml" | "json")
}

#[test]
fn settings_and_data_on_the_pages_can_be_read() {
    let folder = tempfile::tempdir().expect("a temporary folder can be made");
    for page in pages() {
        for block in page.blocks() {
            let place = format!("{}:{}", page.path, block.line);
            match block.language.as_str() {
                "json" => {
                    for value in serde_json::Deserializer::from_str(&block.text).into_iter::<Value>() {
                        value.unwrap_or_else(|error| panic!("{place}: {error}"));
                    }
                }
                "toml" if block.tag("of").is_some() => {
                    block.text.parse::<toml::Table>().unwrap_or_else(|error| panic!("{place}: {error}"));
                }
                "toml" => check_config(folder.path(), &block.text).unwrap_or_else(|error| panic!("{place}: {error}")),
                _ => {}
            }
        }
    }
}

fn check_config(folder: &Path, text: &str) -> Result<(), String> {
    let file = folder.join("block.toml");
    fs::write(&file, text).map_err(|error| error.to_string())?;
    let nothing: Environment = std::iter::empty::<(&str, &str)>().collect();
    Config::load_from(Some(&file), &nothing).map(drop).map_err(|error| error.to_string())
}

#[test]
fn a_chinese_page_shows_the_same_programs_as_its_english_twin() {
    let bare = |page: &Page| -> Vec<String> {
        let blocks = page.blocks();
        blocks.iter().map(|block| format!("{}\n{}", block.language, without_comments(block))).collect()
    };
    let mut compared = 0;
    for (english, chinese) in pages().into_iter().filter_map(|page| Some((page.twin()?, page))) {
        if chinese.is_chinese() {
            compared += 1;
            for (page, other) in [(&chinese, &english), (&english, &chinese)] {
                let name = other.path.rsplit('/').next().expect("a path has a last part");
                assert!(page.links().iter().any(|link| link == name), "{} does not link to {name}", page.path);
            }
            similar_blocks(&chinese.path, &bare(&english), &bare(&chinese));
        }
    }
    assert!(compared >= 8, "only {compared} pages were compared");
}

fn similar_blocks(path: &str, english: &[String], chinese: &[String]) {
    for (ours, theirs) in chinese.iter().zip(english) {
        assert_eq!(ours, theirs, "{path} shows another block than its English twin");
    }
    assert_eq!(chinese.len(), english.len(), "{path} has more or fewer blocks than its English twin");
}

/// What of a block is the same in every language.
fn without_comments(block: &Block) -> String {
    let mark = if matches!(block.language.as_str(), "js" | "ts" | "rust") { "//" } else { "#" };
    let is_transcript = block.language.is_empty() || block.language == "text";
    let bare = |line: &str| {
        let comment = line.find(&format!(" {mark}")).or_else(|| line.starts_with(mark).then_some(0));
        // In a table of commands, what stands behind two spaces is prose.
        let indent = line.len() - line.trim_start().len();
        let prose = line[indent..].find("  ").map(|at| indent + at).filter(|_| is_transcript);
        line[..comment.or(prose).unwrap_or(line.len())].trim_end().to_owned()
    };
    block.text.lines().map(bare).filter(|line| !line.is_empty()).collect::<Vec<_>>().join("\n")
}

#[test]
fn every_link_leads_somewhere() {
    let mut lost = Vec::new();
    for page in pages() {
        for link in page.links() {
            let (path, anchor) = link.split_once('#').unwrap_or((&link, ""));
            let target = if path.is_empty() { root().join(&page.path) } else { page.folder().join(path) };
            if !target.exists() || !anchor.is_empty() && !anchors(&target).contains(&anchor.to_owned()) {
                lost.push(format!("{}: {link}", page.path));
            }
        }
    }
    assert!(lost.is_empty(), "these links lead nowhere:\n  {}", lost.join("\n  "));
}

fn anchors(path: &Path) -> Vec<String> {
    let path = path.canonicalize().expect("it exists");
    Page::read(&path.strip_prefix(root()).expect("it is ours").display().to_string()).anchors()
}

/// Stands before what the code writes.
const GENERATED: &str =
    "<!-- Written by `llm-orchestrator check-config --reference`; UPDATE_DOCS=1 writes it anew. -->\n";

#[test]
fn the_reference_of_the_configuration_is_what_the_code_writes() {
    let page = Page::read("docs/configuration.md");
    let (prose, generated) = page.text.split_once(GENERATED).expect("the page has a generated part");
    let current = config::reference();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        fs::write(root().join(&page.path), format!("{prose}{GENERATED}{current}")).expect("the page can be written");
    } else {
        assert!(generated == current, "docs/configuration.md is out of date: run this test with UPDATE_DOCS=1");
    }
}

#[test]
fn the_chinese_reference_has_the_same_keys_variables_defaults_and_ranges() {
    let rows = |text: &str| -> Vec<String> {
        let rows = text.lines().filter(|line| line.starts_with("| `") || line.starts_with("## ["));
        rows.map(|row| row.rsplit_once(" | ").map_or(row, |(facts, _)| facts).to_owned()).collect()
    };
    let (ours, theirs) = (rows(&Page::read("docs/configuration.zh-CN.md").text), rows(&config::reference()));
    let missing: Vec<_> = theirs.iter().filter(|row| !ours.contains(row)).collect();
    let stale: Vec<_> = ours.iter().filter(|row| !theirs.contains(row)).collect();
    assert!(missing.is_empty() && stale.is_empty(), "docs/configuration.zh-CN.md lacks {missing:#?}, has {stale:#?}");
    assert_eq!(ours, theirs, "the order differs");
}

#[test]
fn every_type_of_provider_is_named() {
    for name in ["docs/adding-a-provider.md", "docs/adding-a-provider.zh-CN.md"] {
        let text = Page::read(name).text;
        let missing: Vec<_> =
            providers::all().map(|kind| kind.name).filter(|kind| !text.contains(&format!("`{kind}`"))).collect();
        assert!(missing.is_empty(), "{name} does not name {missing:?}");
    }
}

#[test]
fn every_code_of_an_error_is_explained() {
    let known: BTreeSet<String> = error_codes();
    assert!(known.len() > 25 && known.contains("connect") && known.contains("rate_limit_exceeded"), "{known:?}");
    for name in ["docs/troubleshooting.md", "docs/troubleshooting.zh-CN.md"] {
        let text = Page::read(name).text;
        let missing: Vec<_> = known.iter().filter(|code| !text.contains(&format!("`{code}`"))).collect();
        assert!(missing.is_empty(), "{name} explains nothing of {missing:?}");
    }
}

/// The codes that errors and log rows can have, by the sources: `ErrorKind::code`, and the reasons that are more exact.
fn error_codes() -> BTreeSet<String> {
    let read = |path: &str| fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
    let quoted = |text: &str, open: &str| -> Vec<String> {
        text.split(open).skip(1).filter_map(|rest| Some(rest.split_once('"')?.0.to_owned())).collect()
    };
    let kinds = read("crates/protocol/src/ir/error.rs");
    let kinds = kinds.split_once("pub fn code(self)").expect("kinds of error have codes").1;
    let kinds = kinds.split_once("\n    }\n").expect("the function ends").0;
    let mut codes: BTreeSet<String> =
        quoted(&kinds.replace("{\n                \"", "=> \""), "=> \"").into_iter().collect();
    for text in sources() {
        codes.extend(quoted(&text, "reason: Some(\""));
    }
    let connecting = read("src/upstream/client.rs");
    let connecting = connecting.split_once("let (reason, message)").expect("failures to connect have reasons").1;
    let connecting = connecting.split_once("};").expect("the table ends").0;
    codes.extend(quoted(connecting, "=> (\""));
    codes.insert("client_closed".to_owned());
    codes
}

/// The program's sources.
fn sources() -> Vec<String> {
    let mut texts = Vec::new();
    let mut folders = vec![root().join("src"), root().join("crates/protocol/src")];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).expect("sources can be read") {
            let path = entry.expect("sources can be read").path();
            if path.is_dir() {
                folders.push(path);
            } else if let Ok(text) = fs::read_to_string(&path) {
                texts.push(text);
            }
        }
    }
    texts
}
