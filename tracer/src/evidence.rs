//! Where each quantity comes from on this kernel, as the document and `doctor` tell it.

use std::collections::BTreeMap;

use crate::{
    export::document::EvidenceSource,
    model::{
        evidence::Evidence::{self, Derived, Measured, Modelled, Unknown},
        sources::Sources,
    },
    probe::Probe,
};

/// What would turn derived copies into measured ones.
const FEXIT: &str = "a kernel that takes programs on function exits (fexit): Linux 5.17 with BPF trampolines";

/// Copies by the CPU: the quantity, the hook, whether it counts, and what else says it.
type Copies = (&'static str, &'static str, fn(&Sources) -> bool);

const COPIES: &[Copies] = &[
    ("copies.page_cache_to_user", "fexit:filemap_read", |sources| sources.file_read),
    ("copies.tmpfs_to_user", "fexit:shmem_file_read_iter", |sources| sources.tmpfs_read),
    ("copies.user_to_page_cache", "fexit:generic_perform_write", |sources| sources.file_write),
    ("copies.user_to_page_cache_iomap", "fexit:iomap_file_buffered_write", |sources| sources.iomap_write),
    ("copies.socket_to_user", "skb_copy_datagram_iovec", |sources| sources.socket_receive),
    ("copies.user_to_tcp", "fexit:tcp_sendmsg_locked, less what it took by reference", |sources| {
        sources.tcp_send
    }),
    ("copies.user_to_udp", "fexit:ip_generic_getfrag", |sources| sources.udp_send),
    ("copies.user_to_unix", "fexit:skb_copy_datagram_from_iter", |sources| sources.unix_send),
    ("copies.pipe_to_user", "fexit:pipe_read", |sources| sources.pipe_read),
    ("copies.user_to_pipe", "fexit:pipe_write", |sources| sources.pipe_write),
    ("copies.splice", "fexit:copy_splice_read", |sources| sources.splice_copy),
];

/// By quantity.
pub fn sources(probe: &Probe) -> BTreeMap<String, EvidenceSource> {
    let mut rows = Rows::default();
    let hooks = probe.form().hooks();
    let entries = probe.sources().entries;
    let calls =
        if entries { format!("{hooks}:sys_enter, {hooks}:sys_exit") } else { format!("{hooks}:sys_exit") };
    let results = format!("return values of calls at {hooks}:sys_exit");
    rows.put("operations", &calls, Measured);
    rows.put("read_bytes", &results, Measured);
    rows.put("written_bytes", &results, Measured);
    rows.put(
        "payload_bytes",
        "return values; reads are joined to writes by buffer and samples of it",
        Modelled,
    );
    rows.put("cpu_copied_bytes", "the copies below; else return values, by the copy table", Derived);
    rows.copies(&probe.sources(), hooks);
    let switches = format!("task_struct.nvcsw, .nivcsw at {hooks}:sched_switch");
    rows.put("context_switches", &switches, Measured);
    rows.put("page_faults", "task_struct.min_flt, .maj_flt", Measured);
    // Where entries are not hooked, each return stands for two.
    rows.put("transitions.syscall", &calls, if entries { Measured } else { Derived });
    let accounts = probe.storage_accounts();
    rows.devices(&probe.sources(), hooks, accounts);
    rows.put_if("kernel_accounts", "task_struct.ioac", accounts, Measured);
    let missing = |names: &[&str]| probe.missing().iter().any(|(hook, _)| names.contains(&hook.name));
    let exception = format!("{hooks}:page_fault_user");
    rows.put_if("transitions.exception", &exception, !missing(&["page_fault_user"]), Measured);
    let interrupts = !missing(&["irq_handler_entry", "local_timer_entry"]);
    let source = format!("{hooks}:irq_handler_entry and irq_vectors; from user mode by the saved registers");
    rows.put_if("transitions.interrupt", &source, interrupts, Derived);
    let source = format!("{hooks}:io_uring_complete; submission at {hooks}:io_uring_submit_req or _sqe");
    rows.put_if("requests", &source, probe.traces_requests(), Measured);
    rows.0
}

#[derive(Default)]
struct Rows(BTreeMap<String, EvidenceSource>);

impl Rows {
    fn row(&mut self, quantity: &str, source: &str, evidence: Evidence, better: Option<&str>) {
        let row = EvidenceSource { source: source.to_owned(), evidence, better: better.map(str::to_owned) };
        self.0.insert(quantity.to_owned(), row);
    }

    fn put(&mut self, quantity: &str, source: &str, evidence: Evidence) {
        self.row(quantity, source, evidence, None);
    }

    fn put_if(&mut self, quantity: &str, source: &str, known: bool, evidence: Evidence) {
        let (source, evidence) = if known { (source, evidence) } else { ("not on this kernel", Unknown) };
        self.put(quantity, source, evidence);
    }

    fn copies(&mut self, sources: &Sources, hooks: &str) {
        for (quantity, hook, counts) in COPIES {
            let is_exit = hook.starts_with("fexit:");
            let hook = if is_exit { (*hook).to_owned() } else { format!("{hooks}:{hook}") };
            if counts(sources) {
                self.put(quantity, &hook, Measured);
            } else {
                let better = if is_exit { FEXIT } else { "a kernel with this tracepoint" };
                self.row(quantity, "return values, by the copy table", Derived, Some(better));
            }
        }
    }
    fn devices(&mut self, sources: &Sources, hooks: &str, accounts: bool) {
        let table = "the copy table, by the device of the socket's route";
        let better = Some("a kernel with this tracepoint");
        let block = if sources.block {
            let requests = format!("{hooks}:block_bio_queue, by bio → page → inode");
            self.put("dma_bytes.block", &requests, Measured);
            requests
        } else if accounts {
            let account = "task_struct.ioac.read_bytes around each call; what is written later is not seen";
            self.row("dma_bytes.block", account, Modelled, better);
            account.to_owned()
        } else {
            self.row("dma_bytes.block", "not on this kernel", Unknown, better);
            "not of block devices".to_owned()
        };
        let sent = if sources.network {
            let packets = format!("{hooks}:net_dev_start_xmit, by skb → sock");
            self.put("dma_bytes.network_sent", &packets, Measured);
            packets
        } else {
            self.row("dma_bytes.network_sent", table, Modelled, better);
            table.to_owned()
        };
        self.put("dma_bytes.network_received", table, Modelled);
        self.put_if(
            "swiotlb_bounced_bytes",
            &format!("{hooks}:swiotlb_bounced, of the whole machine"),
            sources.bounces,
            Measured,
        );
        let all = format!("{block}; {sent}; of what is received: {table}");
        self.put_if("dma_bytes", &all, sources.block || accounts, Modelled);
    }
}
