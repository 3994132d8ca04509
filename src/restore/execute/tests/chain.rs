//! Chains of backups: whatever happened to the files between them, each backup of a chain gives back
//! exactly what was there when it was made.

use proptest::prelude::*;

use super::*;
use crate::types::BackupType;

const BLOCK: usize = crate::backup::BLOCK_SIZE as usize;
const FULL: &str = "20261121-092452F";

/// What happens to the files between two backups.
#[derive(Clone, Debug)]
enum Edit {
    /// A page of a file becomes another one.
    Page {
        file: usize,
        page: usize,
        byte: u8,
    },
    /// A byte of a file changes, as a hint bit does.
    HintBit {
        file: usize,
        at: usize,
    },
    Grow {
        file: usize,
        bytes: usize,
        byte: u8,
    },
    Truncate {
        file: usize,
        bytes: usize,
    },
    /// The file is written again under a new name, with its old content.
    Move {
        file: usize,
    },
    Rewrite {
        file: usize,
        bytes: usize,
        seed: u8,
    },
    New {
        bytes: usize,
        seed: u8,
    },
    Drop {
        file: usize,
    },
}

/// A backup of the chain.
#[derive(Clone, Debug)]
struct Step {
    kind: BackupType,
    /// Whether the source leaves out what the prior backup has.
    told: bool,
    edits: Vec<Edit>,
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        Just(0),
        1..3 * BLOCK,
        (1_usize..40).prop_map(|blocks| blocks * BLOCK),
        (130_usize..300).prop_map(|blocks| blocks * BLOCK),
    ]
}

fn edit() -> impl Strategy<Value = Edit> {
    let file = 0..20_usize;
    prop_oneof![
        4 => (file.clone(), 0..300_usize, any::<u8>()).prop_map(|(file, page, byte)| Edit::Page { file, page, byte }),
        2 => (file.clone(), 0..2_000_000_usize).prop_map(|(file, at)| Edit::HintBit { file, at }),
        2 => (file.clone(), size(), any::<u8>()).prop_map(|(file, bytes, byte)| Edit::Grow { file, bytes, byte }),
        2 => (file.clone(), size()).prop_map(|(file, bytes)| Edit::Truncate { file, bytes }),
        1 => file.clone().prop_map(|file| Edit::Move { file }),
        1 => (file.clone(), size(), any::<u8>()).prop_map(|(file, bytes, seed)| Edit::Rewrite { file, bytes, seed }),
        1 => (size(), any::<u8>()).prop_map(|(bytes, seed)| Edit::New { bytes, seed }),
        1 => file.prop_map(|file| Edit::Drop { file }),
    ]
}

fn step() -> impl Strategy<Value = Step> {
    let kind = prop_oneof![Just(BackupType::Diff), Just(BackupType::Incr), Just(BackupType::Incr)];
    (kind, any::<bool>(), prop::collection::vec(edit(), 0..12))
        .prop_map(|(kind, told, edits)| Step { kind, told, edits })
}

/// Content in which every block differs from every other one.
fn content(bytes: usize, seed: u8) -> Vec<u8> {
    let word = |i: usize| (i / BLOCK * 31 + i % 251 * usize::from(seed) + usize::from(seed)) as u8;
    (0..bytes).map(word).collect()
}

/// The files of the made-up cluster: the number that names each, and what is in it.
#[derive(Clone, Debug, Default)]
struct Files {
    files: Vec<(usize, Vec<u8>)>,
    next: usize,
}

impl Files {
    fn add(&mut self, data: Vec<u8>) {
        self.files.push((self.next, data));
        self.next += 1;
    }

    fn apply(&mut self, edit: &Edit) {
        if let Edit::New { bytes, seed } = edit {
            return self.add(content(*bytes, *seed));
        }
        if self.files.is_empty() {
            return;
        }
        let count = self.files.len();
        let next = self.next;
        let of = |file: &usize| self.files[*file % count].1.clone();
        let (index, data) = match edit {
            Edit::Page { file, page, byte } => {
                let mut data = of(file);
                let pages = data.len() / BLOCK;
                if pages > 0 {
                    let at = page % pages * BLOCK;
                    data[at..at + BLOCK].fill(*byte);
                }
                (file, data)
            }
            Edit::HintBit { file, at } => {
                let mut data = of(file);
                let len = data.len();
                if len > 0 {
                    data[at % len] ^= 4;
                }
                (file, data)
            }
            Edit::Grow { file, bytes, byte } => {
                let mut data = of(file);
                data.resize(data.len() + bytes, *byte);
                (file, data)
            }
            Edit::Truncate { file, bytes } => {
                let mut data = of(file);
                data.truncate(data.len().saturating_sub(*bytes));
                (file, data)
            }
            Edit::Rewrite { file, bytes, seed } => (file, content(*bytes, *seed)),
            Edit::Move { file } => {
                self.files[*file % count].0 = next;
                self.next += 1;
                return;
            }
            Edit::Drop { file } => {
                self.files.remove(*file % count);
                return;
            }
            Edit::New { .. } => return,
        };
        self.files[*index % count].1 = data;
    }

    fn items(&self) -> Vec<Item> {
        let files = self.files.iter();
        let mut items = vec![directory("base")];
        items.extend(files.map(|(name, data)| file(format!("base/{name}"), data.clone())));
        cluster(items)
    }
}

/// A backup that was made, and what it is of.
struct Made {
    manifest: Manifest,
    items: Vec<Item>,
}

async fn make(bench: &Bench, files: &Files, step: &Step, number: usize, made: &[Made]) -> Made {
    let prior = match step.kind {
        BackupType::Incr => made.last(),
        _ => made.first(),
    };
    let prior = prior.unwrap();
    let full = FULL.parse().unwrap();
    let stamp = format!("20261121-10{number:02}00");
    let label = crate::types::BackupLabel::dependent(&full, step.kind, &stamp).unwrap();
    let making = Making { label: label.to_string(), ..Making::default() };
    let items = files.items();
    let left_out = if step.told { prior.items.as_slice() } else { &[] };
    let on = On { prior: &prior.manifest, left_out };
    let manifest = store_on(&bench.storage, &items, &making, Some(on)).await;
    Made { manifest, items }
}

async fn check(bench: &Bench, made: &Made) {
    let label = made.manifest.label.as_str();
    let plan = bench.plan_of(label, &PlacementOptions::default()).await.unwrap();
    bench.execute(&plan, Existing::Replace).await.unwrap();
    let (found, expected) = (tree(&bench.data()), expected(&made.items));
    let names =
        |tree: &BTreeMap<PathBuf, Option<Vec<u8>>>| tree.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(&found), names(&expected), "{label}");
    for (path, data) in &expected {
        assert!(found[path] == *data, "{} of {label}", path.display());
    }
}

async fn run(bench: Bench, sizes: Vec<(usize, u8)>, steps: Vec<Step>) {
    let mut files = Files::default();
    sizes.into_iter().for_each(|(bytes, seed)| files.add(content(bytes, seed)));
    let items = files.items();
    let mut made = vec![Made { manifest: bench.store(&items).await, items }];
    for (number, step) in steps.iter().enumerate() {
        step.edits.iter().for_each(|edit| files.apply(edit));
        let next = make(&bench, &files, step, number, &made).await;
        made.push(next);
    }
    for made in &made {
        check(&bench, made).await;
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 40, max_shrink_iters: 200, ..ProptestConfig::default() })]

    #[test]
    fn every_backup_of_a_chain_gives_back_what_was_there(
        sizes in prop::collection::vec((size(), any::<u8>()), 1..8),
        steps in prop::collection::vec(step(), 1..6),
        far in any::<bool>(),
    ) {
        let bench = if far { Bench::far() } else { Bench::new() };
        tokio::runtime::Runtime::new().unwrap().block_on(run(bench, sizes, steps));
    }
}

fn stored_by(manifest: &Manifest) -> (u64, u64) {
    (manifest.totals.size_delta, manifest.totals.map_size)
}

#[tokio::test]
async fn what_did_not_change_is_not_stored_again() {
    let bench = Bench::new();
    let mut files = Files::default();
    files.add(content(300 * BLOCK, 3));
    files.add(content(5 * BLOCK + 77, 5));
    let full = Made { manifest: bench.store(&files.items()).await, items: files.items() };
    let step = Step { kind: BackupType::Incr, told: false, edits: Vec::new() };
    let nothing = make(&bench, &files, &step, 1, std::slice::from_ref(&full)).await;
    assert_eq!(stored_by(&nothing.manifest), (0, 0));

    files.apply(&Edit::HintBit { file: 0, at: 100 * BLOCK + 5 });
    let chain = [full, nothing];
    let page = make(&bench, &files, &step, 2, &chain).await;
    let (data, maps) = stored_by(&page.manifest);
    assert_eq!(data, BLOCK as u64);
    assert!(maps < 50, "{maps} bytes of maps for one page");

    // The same, told by a source that knows.
    let told = Step { told: true, ..step.clone() };
    let page = make(&bench, &files, &told, 3, &chain).await;
    assert_eq!(page.manifest.totals.size_delta, BLOCK as u64);

    // Of a file that grew, the short last block and what follows.
    files.apply(&Edit::Grow { file: 1, bytes: 2 * BLOCK, byte: 9 });
    let grown = make(&bench, &files, &step, 4, &[page]).await;
    assert_eq!(grown.manifest.totals.size_delta, 2 * BLOCK as u64 + 77);
    check(&bench, &grown).await;
}

#[tokio::test]
async fn a_database_that_was_copied_or_moved_is_not_stored_again() {
    let bench = Bench::new();
    let database = |oid: u32| {
        let relation = file(format!("base/{oid}/1259"), content(20 * BLOCK, 3));
        [directory(format!("base/{oid}")), relation]
    };
    let items = |oids: &[u32]| {
        let databases = oids.iter().flat_map(|oid| database(*oid));
        cluster(std::iter::once(directory("base")).chain(databases).collect())
    };
    let (before, after) = (items(&[1]), items(&[1, 5]));
    let full = bench.store(&before).await;
    let making = Making { label: format!("{FULL}_20261121-100100I"), ..Making::default() };
    let on = On { prior: &full, left_out: &[] };
    let copied = store_on(&bench.storage, &after, &making, Some(on)).await;
    assert_eq!(stored_by(&copied), (0, 0));
    check(&bench, &Made { manifest: copied, items: after }).await;
}

#[tokio::test]
async fn damage_in_a_parent_is_found_before_it_is_written() {
    damage_in_a_parent_is_found(Bench::new()).await;
    damage_in_a_parent_is_found(Bench::far()).await;
}

async fn damage_in_a_parent_is_found(bench: Bench) {
    let mut files = Files::default();
    files.add(content(300 * BLOCK, 3));
    let full = Made { manifest: bench.store(&files.items()).await, items: files.items() };
    files.apply(&Edit::HintBit { file: 0, at: 5 });
    let step = Step { kind: BackupType::Diff, told: false, edits: Vec::new() };
    let diff = make(&bench, &files, &step, 1, std::slice::from_ref(&full)).await;
    let bundle = format!("backup/demo/{FULL}/bundle/00000001");
    bench.memory.damage(&crate::storage::ObjectPath::new(bundle).unwrap(), |bytes| {
        let middle = bytes.len() / 2;
        bytes[middle] ^= 1;
    });
    let label = diff.manifest.label.as_str();
    let plan = bench.plan_of(label, &PlacementOptions::default()).await.unwrap();
    let error = bench.execute(&plan, Existing::Replace).await.unwrap_err();
    assert!(error.to_string().contains(FULL), "{error}");
    assert!(!bench.data().join("global/pg_control").exists());
}
