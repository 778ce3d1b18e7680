//! Where each quantity comes from on this kernel, as the document and `doctor` tell it.

use std::collections::BTreeMap;

use crate::{
    export::document::EvidenceSource,
    model::evidence::Evidence::{self, Derived, Measured, Modelled, Unknown},
    probe::Probe,
};

/// By quantity.
pub fn sources(probe: &Probe) -> BTreeMap<String, EvidenceSource> {
    let mut sources = BTreeMap::new();
    let mut put = |quantity: &str, source: &str, evidence: Evidence| {
        sources.insert(quantity.to_owned(), EvidenceSource { source: source.to_owned(), evidence });
    };
    let hooks = probe.form().hooks();
    let calls = format!("{hooks}:sys_enter, {hooks}:sys_exit");
    let results = format!("return values of calls at {hooks}:sys_exit");
    put("operations", &calls, Measured);
    put("read_bytes", &results, Measured);
    put("written_bytes", &results, Measured);
    put("cpu_copied_bytes", "return values of calls, by the copy table", Derived);
    let switches = format!("task_struct.nvcsw, .nivcsw at {hooks}:sched_switch");
    put("context_switches", &switches, Measured);
    put("page_faults", "task_struct.min_flt, .maj_flt", Measured);
    put("transitions.syscall", &calls, Measured);
    let accounts = probe.storage_accounts();
    let hooked = probe.sources();
    let requests = format!("{hooks}:block_bio_queue, by bio → page → inode");
    let account = "task_struct.ioac.read_bytes around each call; what is written later is not seen";
    let (block, block_evidence) =
        if hooked.block { (requests.as_str(), Measured) } else { (account, Modelled) };
    put_if(&mut sources, "dma_bytes.block", block, hooked.block || accounts, block_evidence);
    let packets = format!("{hooks}:net_dev_start_xmit, by skb → sock");
    let table = "the copy table, by the device of the socket's route";
    let (sent, sent_evidence) = if hooked.network { (packets.as_str(), Measured) } else { (table, Modelled) };
    put_if(&mut sources, "dma_bytes.network_sent", sent, true, sent_evidence);
    put_if(&mut sources, "dma_bytes.network_received", table, true, Modelled);
    let source = format!("{block}; {sent}; of what is received: {table}");
    put_if(&mut sources, "dma_bytes", &source, hooked.block || accounts, Modelled);
    put_if(&mut sources, "kernel_accounts", "task_struct.ioac", accounts, Measured);
    let missing = |names: &[&str]| probe.missing().iter().any(|(hook, _)| names.contains(&hook.name));
    put_if(
        &mut sources,
        "transitions.exception",
        &format!("{hooks}:page_fault_user"),
        !missing(&["page_fault_user"]),
        Measured,
    );
    let interrupts = !missing(&["irq_handler_entry", "local_timer_entry"]);
    let source = format!("{hooks}:irq_handler_entry and irq_vectors; from user mode by the saved registers");
    put_if(&mut sources, "transitions.interrupt", &source, interrupts, Derived);
    sources
}

fn put_if(
    sources: &mut BTreeMap<String, EvidenceSource>,
    quantity: &str,
    source: &str,
    known: bool,
    evidence: Evidence,
) {
    let (source, evidence) = if known { (source, evidence) } else { ("not on this kernel", Unknown) };
    sources.insert(quantity.to_owned(), EvidenceSource { source: source.to_owned(), evidence });
}
