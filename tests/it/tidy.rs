//! What holds for the sources as a whole: who may use what, and how files look.

use std::{
    fs,
    path::{Path, PathBuf},
};

use aws_lc_rs::digest;

/// Migrations that may have been applied somewhere, with their SHA-256. A new one adds a line; no line ever changes.
const MIGRATIONS: &[(&str, &str)] = &[
    ("0001_init.sql", "990d9f8156f4ae9a4efc5b559185d37402f5e75ac5526c7d3189a1b2f8d84b9e"),
    ("0002_protocols.sql", "9d19150e7bd19f15ee9ca00d3caed0ba0c2eba94b8c5c87a9b4a76e3150bcd99"),
    ("0003_responses.sql", "57c5d6cdd0be6db99c27ba1d398cf67bf3c94f61d643b4201c716689a6d6551c"),
    ("0006_keys.sql", "568e03b4a76ff9a4227837c504ce8a0e806d11b5b5e21db67d9243a27c2d7294"),
    ("0010_billed.sql", "b737cf6b53392b3d933b7bf9f2b6985bc1da2b6cdabbef0c99c57ff58de49d7e"),
    ("0011_cache.sql", "a5fcd514b4d33b25f229106654a710e3c5d1adf353fad14724aefcc1fe9ef7c5"),
    ("0012_provider_keys.sql", "54e095a99ad8f0f893ffd260a50df92429ec1aac2d93e484b694b54261efad7d"),
    ("0014_key_cache.sql", "ed46bedd5c6bc7edd9ceccd47109df831354c54bd7398bb2a88dc107fd068f19"),
    ("postgres/0005_log_by_time.sql", "e65ce06caa2380c37e019536b56133acc3d9a50eab5c0b60c3ba9f3e7e396159"),
    ("postgres/0009_cluster.sql", "8fbcf5411b3bf50d55f76290b7ce497232146e18f9aadd89eea79ef2b2f4360f"),
    ("postgres/0013_log_content.sql", "2831f8b8e52c7b769cd2bb7c0c732279e02923a6d3813703889381519de48eed"),
    ("sqlite/0009_cluster.sql", "5159d6c3afab8dbe6263e43b9e625e9b5295069225e9b1e5fe5b77b14769b158"),
    ("sqlite/0013_log_content.sql", "6144b46df547f0e45008c33df5084b4a075d22e472ec1ff8b7fd9f513268f3db"),
];

/// Longest file, tests at its end not counted.
const LONGEST_FILE: usize = 450;

struct Source {
    /// Relative to the repository.
    path: String,
    text: String,
}

impl Source {
    fn lies_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| self.path.starts_with(place))
    }

    /// What is compiled into the binary: everything before the tests at the end of the file.
    fn program(&self) -> &str {
        self.text.split("#[cfg(test)]").next().unwrap_or_default()
    }

    fn is_test(&self) -> bool {
        self.path.contains("/tests/") || self.path.starts_with("tests/") || self.path.ends_with("tests.rs")
    }
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn files_below(folder: &Path, ending: &str, found: &mut Vec<PathBuf>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, ending, found);
        } else if path.to_string_lossy().ends_with(ending) {
            found.push(path);
        }
    }
}

fn read(folders: &[&str], ending: &str) -> Vec<Source> {
    let mut paths = Vec::new();
    for folder in folders {
        files_below(&root().join(folder), ending, &mut paths);
    }
    paths.sort();
    let source = |path: PathBuf| Source {
        path: path.strip_prefix(root()).unwrap().to_string_lossy().into_owned(),
        text: fs::read_to_string(&path).unwrap(),
    };
    paths.into_iter().map(source).collect()
}

/// All Rust sources, tests included.
fn sources() -> Vec<Source> {
    let sources = read(&["src", "crates", "tests", "benches"], ".rs");
    assert!(sources.len() > 50, "the sources were not found");
    sources
}

/// Fails with every place where `fault` finds something wrong.
fn all(sources: impl IntoIterator<Item = Source>, rule: &str, fault: impl Fn(&Source) -> Option<String>) {
    let faults: Vec<String> =
        sources.into_iter().filter_map(|source| Some(format!("{}: {}", source.path, fault(&source)?))).collect();
    assert!(faults.is_empty(), "{rule}\n  {}", faults.join("\n  "));
}

/// The first line of the program that mentions `word`.
fn mention(text: &str, word: &str) -> Option<String> {
    let is_code = |line: &&str| !line.trim_start().starts_with("//");
    text.lines().filter(is_code).find(|line| line.contains(word)).map(|line| line.trim().to_owned())
}

/// Only sources in `places` may mention `word`.
fn only_in(word: &str, places: &[&str]) {
    let program = sources().into_iter().filter(|source| !source.is_test() && !source.lies_in(places));
    all(program, &format!("`{word}` may appear in {places:?} only"), |source| mention(source.program(), word));
}

#[test]
fn only_the_store_speaks_sql() {
    only_in("sqlx::", &["src/store/"]);
}

#[test]
fn only_one_file_speaks_with_redis() {
    for word in ["redis::Client", "redis::aio", "redis::Script", "use redis::"] {
        only_in(word, &["src/shared/redis.rs"]);
    }
}

#[test]
fn only_the_edges_know_the_web_framework() {
    only_in("axum::", &["src/http/", "src/gateway/", "src/admin/"]);
}

#[test]
fn only_the_clock_reads_the_time_of_day() {
    only_in("SystemTime::now", &["src/clock.rs"]);
}

#[test]
fn all_chance_comes_from_one_place() {
    for word in ["rand::rng()", "rand::random()"] {
        only_in(word, &["src/chance.rs"]);
    }
}

#[test]
fn the_protocol_crate_has_no_runtime_and_no_network() {
    let manifest = fs::read_to_string(root().join("crates/protocol/Cargo.toml")).unwrap();
    let manifest: toml::Table = manifest.parse().unwrap();
    let names: Vec<&str> = manifest["dependencies"].as_table().unwrap().keys().map(String::as_str).collect();
    assert_eq!(names, ["aws-smithy-eventstream", "base64", "bytes", "memchr", "serde", "serde_json", "simdutf8"]);
    let protocol = || sources().into_iter().filter(|source| source.lies_in(&["crates/protocol/src/"]));
    for word in ["std::net", "std::fs", "std::env", "std::thread", "Instant::now"] {
        all(protocol(), "the protocol crate only computes", |source| mention(source.program(), word));
    }
}

#[test]
fn every_source_begins_with_what_it_is_for() {
    all(sources(), "a file opens with `//!`", |source| {
        (!source.text.starts_with("//!")).then(|| "has no such head".to_owned())
    });
}

#[test]
fn no_program_file_is_too_long_to_read() {
    let program = sources().into_iter().filter(|source| !source.is_test());
    all(program, "files stay short", |source| {
        let lines = source.program().lines().count();
        (lines > LONGEST_FILE).then(|| format!("{lines} lines"))
    });
}

#[test]
fn nothing_unfinished_or_forced_is_left() {
    let program = || sources().into_iter().filter(|source| !source.is_test());
    for word in [".unwrap()", "todo!(", "unimplemented!(", "dbg!(", "#[allow(", "#![allow("] {
        all(program(), &format!("`{word}` has no place in the program"), |source| mention(source.program(), word));
    }
    for word in ["TODO", "FIXME", "XXX"] {
        let rule = format!("`{word}` is either done or written down elsewhere");
        all(sources().into_iter().filter(|source| !source.path.ends_with("tidy.rs")), &rule, |source| {
            source.text.lines().find(|line| line.contains(word)).map(str::to_owned)
        });
    }
}

#[test]
fn nothing_names_the_machine_it_was_written_on() {
    let ours = |source: &Source| !source.path.ends_with("tidy.rs");
    let mut everything = sources();
    everything.extend(read(&["docs", "migrations", "examples", "deploy"], ""));
    for name in ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "config.example.toml", "Cargo.toml"] {
        if let Ok(text) = fs::read_to_string(root().join(name)) {
            everything.push(Source { path: name.to_owned(), text });
        }
    }
    all(everything.into_iter().filter(ours), "no path of a developer's machine", |source| {
        let named = |line: &&str| ["/work/", "/root/", "/home/"].iter().any(|place| line.contains(place));
        source.text.lines().find(named).map(str::to_owned)
    });
}

#[test]
fn an_applied_migration_is_never_edited() {
    let hash = |text: &str| -> String {
        digest::digest(&digest::SHA256, text.as_bytes()).as_ref().iter().map(|byte| format!("{byte:02x}")).collect()
    };
    let found: Vec<(String, String)> = read(&["migrations"], ".sql")
        .into_iter()
        .map(|source| (source.path.trim_start_matches("migrations/").to_owned(), hash(&source.text)))
        .collect();
    let known: Vec<(String, String)> =
        MIGRATIONS.iter().map(|(name, hash)| ((*name).to_owned(), (*hash).to_owned())).collect();
    assert_eq!(found, known, "write a new migration instead, and add its line here");
}
