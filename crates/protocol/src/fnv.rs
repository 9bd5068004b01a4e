//! The FNV-1a hash. It spreads ids; nothing relies on it being hard to invert.

/// 64 bits of `bytes`, continued from `seed`: 0, or the hash of what came before.
pub fn hash(seed: u64, bytes: &[u8]) -> u64 {
    bytes
        .iter()
        .fold(seed ^ 0xcbf2_9ce4_8422_2325, |hash, byte| (hash ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3))
}
