//! Sends with MSG_ZEROCOPY of which the kernel has not yet reported whether it copied them after all.
//!
//! A socket numbers these sends. The reports that the program takes from the error queue name the numbers, often much
//! later (Documentation/networking/msg_zerocopy.rst).

use std::collections::VecDeque;

use super::{endpoints::EndpointId, flow::FlowId, hash::HashMap, part::Part};

/// Most sends that wait for their report, over all sockets. Beyond them the oldest wait no more and stay as the copy table has
/// them: programs that never take their reports must not keep others' from being tied.
const MOST: usize = 65_536;

/// What a flow's sends with MSG_ZEROCOPY came to.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(crate) struct Sends {
    pub(crate) sends: u64,
    /// Reported as copied after all.
    pub(crate) copied: u64,
    /// Reported as not copied.
    pub(crate) by_reference: u64,
}

impl Sends {
    pub(crate) fn add(&mut self, other: &Self) {
        self.sends = self.sends.saturating_add(other.sends);
        self.copied = self.copied.saturating_add(other.copied);
        self.by_reference = self.by_reference.saturating_add(other.by_reference);
    }
}

/// One send that waits for its report.
#[derive(Clone, Debug)]
pub(crate) struct Sent {
    /// Counts all sends.
    serial: u64,
    /// Its first number, and
    first: u32,
    /// how many it has: one, but for `sendmmsg`.
    numbers: u32,
    /// Of these, reported, and
    done: u32,
    /// reported as copied.
    copied: u32,
    /// The step from user memory into the socket, in each flow that it served.
    pub(crate) parts: Vec<(FlowId, Part)>,
}

impl Sent {
    /// Of all its numbers, how many were reported as copied.
    pub(crate) fn verdict(&self) -> (u32, u32) {
        (self.copied, self.numbers)
    }

    /// How many of `numbers` numbers from `first` on are its own. They wrap (`sk_zckey` is 32 bits wide).
    fn overlap(&self, first: u32, numbers: u32) -> u32 {
        let ahead = first.wrapping_sub(self.first);
        let behind = self.first.wrapping_sub(first);
        if ahead < self.numbers {
            numbers.min(self.numbers - ahead)
        } else if behind < numbers {
            self.numbers.min(numbers - behind)
        } else {
            0
        }
    }
}

/// All sends that wait.
#[derive(Debug, Default)]
pub(crate) struct Waiting {
    by_socket: HashMap<EndpointId, VecDeque<Sent>>,
    waiting: usize,
    /// Serials and sockets of sends in their order, some of which wait no more.
    order: VecDeque<(u64, EndpointId)>,
    next: u64,
}

impl Waiting {
    /// A send got the numbers from `first` to before `end`.
    pub(crate) fn sent(&mut self, socket: EndpointId, first: u32, end: u32, parts: Vec<(FlowId, Part)>) {
        if self.order.len() >= 2 * MOST {
            let waits = |&(serial, socket): &(u64, EndpointId)| self.place(serial, socket).is_some();
            self.order = self.order.iter().copied().filter(waits).collect();
        }
        while self.waiting >= MOST {
            let Some((serial, socket)) = self.order.pop_front() else { break };
            self.give_up(serial, socket);
        }
        let serial = self.next;
        self.next += 1;
        self.waiting += 1;
        let sent = Sent { serial, first, numbers: end.wrapping_sub(first).max(1), done: 0, copied: 0, parts };
        self.by_socket.entry(socket).or_default().push_back(sent);
        self.order.push_back((serial, socket));
    }

    fn place(&self, serial: u64, socket: EndpointId) -> Option<usize> {
        self.by_socket.get(&socket)?.binary_search_by_key(&serial, |sent| sent.serial).ok()
    }

    fn give_up(&mut self, serial: u64, socket: EndpointId) {
        let Some(at) = self.place(serial, socket) else { return };
        let Some(sends) = self.by_socket.get_mut(&socket) else { return };
        sends.remove(at);
        self.waiting -= 1;
        if sends.is_empty() {
            self.by_socket.remove(&socket);
        }
    }

    /// The kernel is done with the numbers from `first` to before `end`. Gives those sends to `each` that are
    /// done with.
    pub(crate) fn done(
        &mut self,
        socket: EndpointId,
        first: u32,
        end: u32,
        copied: bool,
        mut each: impl FnMut(&Sent),
    ) {
        let Some(sends) = self.by_socket.get_mut(&socket) else { return };
        let before = sends.len();
        let numbers = end.wrapping_sub(first);
        sends.retain_mut(|sent| {
            let own = sent.overlap(first, numbers);
            sent.done = sent.done.saturating_add(own);
            if copied {
                sent.copied = sent.copied.saturating_add(own).min(sent.numbers);
            }
            if sent.done >= sent.numbers {
                each(sent);
                return false;
            }
            true
        });
        self.waiting -= before - sends.len();
        if sends.is_empty() {
            self.by_socket.remove(&socket);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn verdicts(waiting: &mut Waiting, first: u32, end: u32, copied: bool) -> Vec<(u32, u32)> {
        let mut found = Vec::new();
        waiting.done(EndpointId::USER, first, end, copied, |sent| found.push(sent.verdict()));
        found
    }

    #[test]
    fn reports_may_cover_several_sends_and_numbers_wrap() {
        let mut waiting = Waiting::default();
        for first in [u32::MAX - 1, u32::MAX, 0, 1] {
            waiting.sent(EndpointId::USER, first, first.wrapping_add(1), Vec::new());
        }
        assert_eq!(verdicts(&mut waiting, u32::MAX - 1, 1, true), [(1, 1); 3]);
        assert_eq!(verdicts(&mut waiting, 1, 2, false), [(0, 1)]);
        assert_eq!(verdicts(&mut waiting, 1, 2, false), []);
        assert_eq!((waiting.waiting, waiting.by_socket.len()), (0, 0));
    }

    #[test]
    fn a_send_of_several_messages_is_done_when_all_are() {
        let mut waiting = Waiting::default();
        waiting.sent(EndpointId::USER, 10, 14, Vec::new());
        assert_eq!(verdicts(&mut waiting, 8, 12, true), []);
        assert_eq!(verdicts(&mut waiting, 12, 20, false), [(2, 4)]);
    }

    #[test]
    fn the_oldest_make_room() {
        let mut waiting = Waiting::default();
        let most = u32::try_from(MOST).unwrap();
        for first in 0..3 * most + 10 {
            waiting.sent(EndpointId::USER, first, first + 1, Vec::new());
        }
        assert_eq!(waiting.waiting, MOST);
        assert!(waiting.order.len() <= 2 * MOST);
        assert_eq!(
            verdicts(&mut waiting, 2 * most + 9, 2 * most + 11, false),
            [(0, 1)],
            "the one before waits no more"
        );
        assert_eq!(waiting.waiting, MOST - 1);
    }
}
