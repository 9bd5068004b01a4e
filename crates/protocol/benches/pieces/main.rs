//! What the pieces of the hot path cost, in instructions: a figure that does not depend on what else the machine does.
//!
//! `cargo bench -p llm-protocol --bench pieces` runs each piece under callgrind, prints what it took, and fails if one takes
//! a tenth more than `figures.txt` says. `-- --write` writes the figures down anew. Needs `valgrind`.

mod work;

use std::{
    collections::BTreeMap,
    fmt::Write as _,
    hint::black_box,
    path::{Path, PathBuf},
    process::{Command, ExitCode},
};

use work::PIECES;

/// A piece is run so often, and then twice as often: the difference is free of what the process takes to start.
const RUNS: u32 = 200;

/// Growth that is not a matter of chance.
const TOLERATED: f64 = 1.10;

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let has = |name: &str| arguments.iter().any(|argument| argument == name);
    if let [run, name, count] = &arguments[..]
        && run == "run"
    {
        run_piece(name, count.parse().expect("a number of runs"));
        return ExitCode::SUCCESS;
    }
    // Cargo says so when it runs benchmarks, and does not when it runs tests.
    if !has("--bench") {
        println!("Nothing is measured in a test run: use `cargo bench -p llm-protocol --bench pieces`.");
        return ExitCode::SUCCESS;
    }
    match measure_all(has("--write")) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run_piece(name: &str, count: u32) {
    let (_, prepare) = PIECES.iter().find(|(known, _)| *known == name).expect("a piece of that name");
    let mut piece = prepare();
    for _ in 0..count {
        black_box(piece());
    }
}

/// Measures every piece. Whether none has grown.
fn measure_all(write: bool) -> Result<bool, String> {
    let known = read_figures()?;
    let (mut grown, mut figures) = (false, String::new());
    println!("| piece | instructions | before |\n|---|---:|---:|");
    for (name, _) in PIECES {
        let took = measure(name)?;
        let before = known.get(*name).copied();
        let bad = before.is_some_and(|before| took as f64 > before as f64 * TOLERATED);
        grown |= bad;
        let told = before.map_or_else(|| "-".to_owned(), |before| before.to_string());
        println!("| {name} | {took} | {told}{} |", if bad { " **grown**" } else { "" });
        writeln!(figures, "{took:>9} {name}").map_err(|error| error.to_string())?;
    }
    if write {
        std::fs::write(figures_file(), figures).map_err(|error| error.to_string())?;
        return Ok(true);
    }
    if grown {
        eprintln!(
            "error: a piece takes a tenth more than `figures.txt` says; if it has to, run this with `-- --write`"
        );
    }
    Ok(!grown)
}

/// Instructions of one run.
fn measure(name: &str) -> Result<u64, String> {
    let [once, twice] = [RUNS, 2 * RUNS].map(|runs| instructions(name, runs));
    Ok((twice?.saturating_sub(once?)) / u64::from(RUNS))
}

/// Instructions of a process that runs a piece so often.
fn instructions(name: &str, runs: u32) -> Result<u64, String> {
    let program = std::env::current_exe().map_err(|error| error.to_string())?;
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(program)
        .args(["run", name, &runs.to_string()])
        .output()
        .map_err(|error| format!("cannot run valgrind: {error}"))?;
    let said = String::from_utf8_lossy(&output.stderr);
    said.lines()
        .find_map(|line| line.split_once("Collected :")?.1.trim().parse().ok())
        .ok_or_else(|| format!("valgrind counted nothing: {said}"))
}

fn figures_file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/pieces/figures.txt")
}

fn read_figures() -> Result<BTreeMap<String, u64>, String> {
    let text = std::fs::read_to_string(figures_file()).unwrap_or_default();
    let line = |line: &str| {
        let (count, name) = line.trim().split_once(' ')?;
        Some((name.to_owned(), count.parse().ok()?))
    };
    text.lines().map(|text| line(text).ok_or_else(|| format!("`{text}` is no figure"))).collect()
}
