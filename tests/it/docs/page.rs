//! The pages of the documentation, and the blocks of code in them.

use std::{
    fs,
    path::{Path, PathBuf},
};

/// A Markdown file.
pub struct Page {
    /// Relative to the repository.
    pub path: String,
    pub text: String,
}

/// A fenced block.
#[derive(Clone, Debug)]
pub struct Block {
    /// The first word of its info string.
    pub language: String,
    /// The other words: `skip=…`, `with=…`, `for=…`, `fails`, `output`, `of=…`, `sdk=…`.
    tags: Vec<String>,
    pub text: String,
    /// Of its first fence, from one.
    pub line: usize,
}

impl Block {
    pub fn is(&self, tag: &str) -> bool {
        self.tags.iter().any(|known| known == tag)
    }

    /// What stands behind `name=`.
    pub fn tag(&self, name: &str) -> Option<&str> {
        self.tags.iter().find_map(|tag| tag.strip_prefix(name)?.strip_prefix('='))
    }

    /// Why it cannot run here.
    pub fn skipped(&self) -> Option<&str> {
        self.tag("skip")
    }

    /// Whether there has to be a PostgreSQL server.
    pub fn needs_postgresql(&self) -> bool {
        self.tag("with") == Some("postgresql")
    }

    /// Whether it makes settings for the next start.
    pub fn is_for_start(&self) -> bool {
        self.tag("for") == Some("start")
    }

    /// Whether it shows what the block before it prints.
    pub fn is_output(&self) -> bool {
        self.is("output")
    }
}

impl Page {
    pub fn read(path: &str) -> Self {
        let text = fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        Self { path: path.to_owned(), text }
    }

    pub fn is_chinese(&self) -> bool {
        self.path.ends_with(".zh-CN.md")
    }

    /// The same page in the other language, if it has one.
    pub fn twin(&self) -> Option<Self> {
        let path = self.path.strip_suffix(".md")?;
        let twin = match path.strip_suffix(".zh-CN") {
            Some(english) => format!("{english}.md"),
            None => format!("{path}.zh-CN.md"),
        };
        root().join(&twin).exists().then(|| Self::read(&twin))
    }

    pub fn blocks(&self) -> Vec<Block> {
        let mut blocks = Vec::new();
        let mut open: Option<Block> = None;
        for (number, line) in self.text.lines().enumerate() {
            match (line.trim().strip_prefix("```"), &mut open) {
                (Some(_), Some(_)) => blocks.extend(open.take()),
                (Some(info), None) => {
                    let mut words = info.split_whitespace().map(str::to_owned);
                    let language = words.next().unwrap_or_default();
                    open = Some(Block { language, tags: words.collect(), text: String::new(), line: number + 1 });
                }
                (None, Some(block)) => {
                    block.text.push_str(line);
                    block.text.push('\n');
                }
                (None, None) => {}
            }
        }
        assert!(open.is_none(), "{}: the last block has no end", self.path);
        blocks
    }

    /// The text outside of blocks, line by line.
    pub fn prose(&self) -> Vec<&str> {
        let mut inside = false;
        let outside = |line: &&str| {
            let fence = line.trim().starts_with("```");
            inside ^= fence;
            !inside && !fence
        };
        self.text.lines().filter(outside).collect()
    }

    /// The names that headings can be linked by.
    pub fn anchors(&self) -> Vec<String> {
        let headings = self.prose().into_iter().filter(|line| line.starts_with('#'));
        headings.map(|line| anchor(line.trim_start_matches('#').trim())).collect()
    }

    /// Where its links lead that do not leave the repository.
    pub fn links(&self) -> Vec<String> {
        let prose = self.prose().join("\n");
        let targets = prose.split("](").skip(1).filter_map(|rest| Some(rest.split_once(')')?.0.to_owned()));
        targets.filter(|target| !target.contains("://") && !target.starts_with("mailto:")).collect()
    }

    pub fn folder(&self) -> PathBuf {
        root().join(&self.path).parent().expect("a page lies in a folder").to_owned()
    }
}

/// As GitHub makes it of a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
    kept.map(|c| if c == ' ' { '-' } else { c.to_ascii_lowercase() }).collect()
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every page there is.
pub fn pages() -> Vec<Page> {
    let mut paths = Vec::new();
    for folder in ["", "docs", "examples", "tests", "fuzz", "deploy"] {
        collect(&root().join(folder), !folder.is_empty(), &mut paths);
    }
    paths.sort();
    let relative = |path: &PathBuf| path.strip_prefix(root()).expect("below the root").display().to_string();
    let pages: Vec<Page> = paths.iter().map(|path| Page::read(&relative(path))).collect();
    assert!(pages.len() > 20, "the pages were not found");
    pages
}

fn collect(folder: &Path, deeper: bool, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for path in entries.map(|entry| entry.expect("a folder can be read").path()) {
        if path.is_dir() && deeper && !path.ends_with("target") {
            collect(&path, true, found);
        } else if path.extension().is_some_and(|ending| ending == "md") {
            found.push(path);
        }
    }
}
