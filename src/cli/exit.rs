//! What the process tells whoever started it.

use std::process::ExitCode;

/// How a command ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// It did what it was asked.
    Ok = 0,
    /// It could not, or found a fault.
    Failure = 1,
    /// It did not understand the command line.
    Usage = 2,
    /// The configuration is bad; nothing was started. The number is `EX_CONFIG` of `sysexits.h`.
    BadConfig = 78,
}

/// The same for people.
pub const HELP: &str = "\
Exit codes:
  0   done
  1   failed, or a fault was found
  2   the command line is wrong
  78  the configuration is bad";

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        Self::from(exit as u8)
    }
}
