//! How much of large request bodies is in memory at a time: what does not fit is refused while it is still being sent.

use std::{
    ops::AddAssign,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
};

use bytes::Bytes;

/// Bytes that are left for bodies. Clones share them.
#[derive(Clone, Debug)]
pub struct Room(Arc<AtomicUsize>);

/// A part of the room, given back when it is dropped.
#[derive(Debug)]
pub struct Space {
    bytes: usize,
    of: Room,
}

impl Room {
    pub fn of(bytes: usize) -> Self {
        Self(Arc::new(AtomicUsize::new(bytes)))
    }

    /// Whether so much would fit now.
    pub fn fits(&self, bytes: usize) -> bool {
        self.0.load(Ordering::Relaxed) >= bytes
    }

    /// Takes so much, if it is left.
    pub fn take(&self, bytes: usize) -> Option<Space> {
        let less = |left: usize| left.checked_sub(bytes);
        self.0.fetch_update(Ordering::Relaxed, Ordering::Relaxed, less).ok()?;
        Some(Space { bytes, of: self.clone() })
    }
}

impl AddAssign for Space {
    fn add_assign(&mut self, mut other: Self) {
        self.bytes += std::mem::take(&mut other.bytes);
    }
}

impl Drop for Space {
    fn drop(&mut self) {
        self.of.0.fetch_add(self.bytes, Ordering::Relaxed);
    }
}

/// Bytes that give back their space when the last who holds any of them lets go.
pub fn holding(bytes: Vec<u8>, space: Space) -> Bytes {
    struct Held(Vec<u8>, #[expect(dead_code, reason = "it is held")] Space);
    impl AsRef<[u8]> for Held {
        fn as_ref(&self) -> &[u8] {
            &self.0
        }
    }
    Bytes::from_owner(Held(bytes, space))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_taken_is_given_back_with_the_last_of_the_bytes() {
        let room = Room::of(10);
        let mut space = room.take(4).unwrap();
        space += room.take(4).unwrap();
        assert!(room.take(3).is_none() && room.fits(2) && !room.fits(3));
        let bytes = holding(vec![0; 8], space);
        let part = bytes.slice(2..3);
        drop(bytes);
        assert!(!room.fits(3));
        drop(part);
        assert!(room.fits(10));
    }
}
