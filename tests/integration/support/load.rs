//! Writers that keep a cluster busy while a backup runs.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    thread::JoinHandle,
};

use tokio_postgres::NoTls;

use super::{cluster::Cluster, wait::wait_until};

/// Writers at work until dropped or stopped.
pub(crate) struct WriteLoad {
    stop: Arc<AtomicBool>,
    transactions: Arc<AtomicU64>,
    writers: Vec<JoinHandle<()>>,
}

const WRITERS: u32 = 2;

impl WriteLoad {
    /// Makes the table `load` and starts writers that insert, update, delete and add pages to it.
    pub(crate) fn start(cluster: &Cluster) -> Self {
        cluster.sql("create table load (id bigserial primary key, writer int, body text)");
        cluster.sql("insert into load (writer, body) select 0, md5(g::text) from generate_series(1, 20000) g");
        let stop = Arc::new(AtomicBool::new(false));
        let transactions = Arc::new(AtomicU64::new(0));
        let writers = (1..=WRITERS)
            .map(|writer| {
                let (stop, transactions) = (stop.clone(), transactions.clone());
                let mut config = tokio_postgres::Config::new();
                config.host_path(&cluster.socket_dir).port(cluster.port());
                config.user("postgres").dbname("postgres");
                std::thread::spawn(move || write(writer, &config, &stop, &transactions))
            })
            .collect();
        let load = Self { stop, transactions, writers };
        wait_until("the writers write", 30, || load.transactions() > 10);
        load
    }

    /// How many transactions were committed so far.
    pub(crate) fn transactions(&self) -> u64 {
        self.transactions.load(Ordering::Relaxed)
    }

    /// Stops the writers, after their last commit.
    pub(crate) fn stop(mut self) -> u64 {
        self.end();
        self.transactions()
    }

    fn end(&mut self) {
        self.stop.store(true, Ordering::Relaxed);
        for writer in self.writers.drain(..) {
            let _ = writer.join();
        }
    }
}

impl Drop for WriteLoad {
    fn drop(&mut self) {
        self.end();
    }
}

fn write(writer: u32, config: &tokio_postgres::Config, stop: &AtomicBool, done: &AtomicU64) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let Ok(runtime) = runtime else { return };
    runtime.block_on(async {
        let Ok((client, connection)) = config.connect(NoTls).await else { return };
        tokio::spawn(connection);
        while !stop.load(Ordering::Relaxed) {
            let step = done.load(Ordering::Relaxed);
            let sql = format!(
                "begin; \
                 insert into load (writer, body) select {writer}, repeat(md5(random()::text), 20) \
                 from generate_series(1, 20); \
                 update load set body = md5(body) where id % 1009 = {}; \
                 delete from load where id % 2003 = {} and writer = {writer}; commit",
                step % 1009,
                step % 2003
            );
            if client.batch_execute(&sql).await.is_err() {
                return;
            }
            done.fetch_add(1, Ordering::Relaxed);
        }
    });
}
