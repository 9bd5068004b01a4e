//! Values that tests measure, kept below `target` until a page is written from them.

use std::{
    fs,
    path::{Path, PathBuf},
};

fn folder(target: &Path) -> PathBuf {
    target.join("measures")
}

/// Keeps the latest value of a measure; `text` is the value with its unit, as readers are to see it.
pub fn keep(target: &Path, name: &str, text: &str) {
    println!("{name}: {text}");
    let folder = folder(target);
    let kept = fs::create_dir_all(&folder).and_then(|()| fs::write(folder.join(name), text));
    kept.expect("the folder for measures can be written");
}

/// The latest value of a measure, if it was ever taken here.
pub fn latest(target: &Path, name: &str) -> Option<String> {
    fs::read_to_string(folder(target).join(name)).ok()
}

/// The value below which `share` (0..=1) of `values` lie; zero of nothing.
pub fn quantile(values: &mut [f64], share: f64) -> f64 {
    values.sort_by(f64::total_cmp);
    let at = ((values.len() as f64 * share).ceil() as usize).saturating_sub(1);
    values.get(at).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_quantile_is_a_value_that_was_there() {
        let mut values = vec![5.0, 1.0, 4.0, 2.0, 3.0];
        assert_eq!((quantile(&mut values, 0.5), quantile(&mut values, 0.99)), (3.0, 5.0));
        assert_eq!((quantile(&mut values, 0.0), quantile(&mut [], 0.5)), (1.0, 0.0));
    }

    #[test]
    fn the_latest_value_is_kept() {
        let folder = std::env::temp_dir().join(format!("measures-{}", std::process::id()));
        keep(&folder, "wait", "2 ms");
        keep(&folder, "wait", "3 ms");
        assert_eq!((latest(&folder, "wait").as_deref(), latest(&folder, "other")), (Some("3 ms"), None));
        fs::remove_dir_all(folder).expect("it is ours");
    }
}
