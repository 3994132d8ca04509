//! What is known of objects that are read in ranges, so that many ranges of one cost a single look at its header.

use std::{
    collections::{HashMap, VecDeque},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use crate::{codec::encrypt::ObjectCipher, storage::ObjectPath};

/// Objects that are remembered: the bundles of a chain that is read. An entry takes less than a kilobyte.
const KNOWN_MAX: usize = 512;

/// The ciphers of objects, the oldest of which are forgotten.
#[derive(Debug, Default)]
pub(super) struct KnownObjects(Mutex<Inner>);

#[derive(Debug, Default)]
struct Inner {
    objects: HashMap<ObjectPath, Known>,
    order: VecDeque<ObjectPath>,
}

/// What is known of an object.
#[derive(Clone, Debug)]
pub(super) struct Known {
    pub(super) cipher: Arc<ObjectCipher>,
    /// Its stored size, once it was asked for.
    pub(super) stored: Option<u64>,
}

impl KnownObjects {
    pub(super) fn get(&self, path: &ObjectPath) -> Option<Known> {
        self.lock().objects.get(path).cloned()
    }

    pub(super) fn set(&self, path: &ObjectPath, known: Known) {
        let mut inner = self.lock();
        if inner.objects.insert(path.clone(), known).is_none() {
            inner.order.push_back(path.clone());
        }
        while inner.objects.len() > KNOWN_MAX {
            let Some(oldest) = inner.order.pop_front() else { return };
            inner.objects.remove(&oldest);
        }
    }

    /// Objects that are gone, or may be others under the same names.
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
        let known = KnownObjects::default();
        for n in 0..3 * KNOWN_MAX {
            known.set(&path(n), Known { cipher: cipher.clone(), stored: None });
            known.set(&path(n), Known { cipher: cipher.clone(), stored: Some(1) });
            if n % 2 == 0 {
                known.forget(&[path(n), path(n + 1)]);
            }
        }
        let inner = known.lock();
        assert_eq!((inner.objects.len(), inner.order.len()), (KNOWN_MAX, KNOWN_MAX));
        assert!(inner.objects.contains_key(&path(3 * KNOWN_MAX - 1)));
    }
}
