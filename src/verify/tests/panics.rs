//! A proof that panics is a fault of its own, and hides nothing else.

use super::*;

#[tokio::test(flavor = "multi_thread")]
async fn a_proof_that_panics_is_counted_and_reported() {
    let bench = Bench::new().await;
    let sound = bench.verify(None).await.checked.objects;
    bench.memory.damage(&bench.object("000000010000000000000007"), |bytes| *bytes = PANIC.to_vec());
    bench.memory.damage(&bench.object(&format!("{FULL}/bundle/00000001")), |bytes| {
        *bytes = PANIC.to_vec();
    });
    bench.flip("000000010000000000000003", |len| len - 1);
    let report = bench.verify(None).await;
    let faults = shown(&report);
    assert_eq!(report.checked.objects, sound, "{faults}");
    assert_eq!(report.worst(), Some(FaultKind::Damaged), "{faults}");
    for part in [
        "unproven archive/demo/15-1/0000000100000000/000000010000000000000007",
        "unproven backup/demo/20261121-092452F/bundle/00000001: its verification panicked",
        "damaged archive/demo/15-1/0000000100000000/000000010000000000000003",
    ] {
        assert!(faults.contains(part), "{part} in {faults}");
    }
    assert!(faults.contains("bundle/00000001: its verification panicked, so its state is unknown [F D I]; [\"F backup_label"), "{faults}");
}
