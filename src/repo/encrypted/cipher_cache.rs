//! Remembers the ciphers of objects that are read in ranges, so that the header of each is read only once.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{codec::encrypt::ObjectCipher, storage::ObjectPath};

/// Enough for the bundles of a chain that is restored. An entry takes less than a kilobyte.
const OBJECTS_MAX: usize = 512;

/// Evicts the oldest entry first.
#[derive(Debug, Default)]
pub(super) struct CipherCache(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    objects: HashMap<ObjectPath, CachedCipher>,
    order: VecDeque<ObjectPath>,
}

#[derive(Clone, Debug)]
pub(super) struct CachedCipher {
    pub(super) cipher: Arc<ObjectCipher>,
    /// `None` until it was needed.
    pub(super) stored_size: Option<u64>,
}

impl CipherCache {
    pub(super) fn get(&self, path: &ObjectPath) -> Option<CachedCipher> {
        self.lock().objects.get(path).cloned()
    }

    pub(super) fn set(&self, path: &ObjectPath, cached: CachedCipher) {
        let mut inner = self.lock();
        if inner.objects.insert(path.clone(), cached).is_none() {
            inner.order.push_back(path.clone());
        }
        while inner.objects.len() > OBJECTS_MAX {
            let Some(oldest) = inner.order.pop_front() else { return };
            inner.objects.remove(&oldest);
        }
    }

    /// Forgets objects that were removed or replaced.
    pub(super) fn forget(&self, paths: &[ObjectPath]) {
        let mut inner = self.lock();
        let mut any = false;
        for path in paths {
            any |= inner.objects.remove(path).is_some();
        }
        if any {
            let Inner { objects, order } = &mut *inner;
            order.retain(|path| objects.contains_key(path));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::codec::encrypt::{CipherHeader, DataKey};

    #[test]
    fn what_is_remembered_is_bounded() {
        let key = DataKey::generate().unwrap();
        let header = CipherHeader::new(key.id()).unwrap();
        let cipher = Arc::new(ObjectCipher::new(&key, &header, "a").unwrap());
        let path = |n: usize| ObjectPath::new(format!("b/{n}")).unwrap();
        let cached = CipherCache::default();
        for n in 0..3 * OBJECTS_MAX {
            cached.set(&path(n), CachedCipher { cipher: cipher.clone(), stored_size: None });
            cached.set(&path(n), CachedCipher { cipher: cipher.clone(), stored_size: Some(1) });
            if n % 2 == 0 {
                cached.forget(&[path(n), path(n + 1)]);
            }
        }
        let inner = cached.lock();
        assert_eq!((inner.objects.len(), inner.order.len()), (OBJECTS_MAX, OBJECTS_MAX));
        assert!(inner.objects.contains_key(&path(3 * OBJECTS_MAX - 1)));
    }
}
