//! What every view looks like: pictures of the test backend, narrow and wide, empty, busy, with losses, with hostile names.

use std::time::Duration;

use ratatui::{Terminal, backend::TestBackend};

use super::{
    action::{Action, Effect},
    draw::draw,
    frame::{Cost, Frame, ProgramCost},
    line_edit::Edit,
    list::Move,
    state::State,
    theme::{Environment, Palette, Theme},
    views::VIEWS,
};
use crate::{
    export::{document::Document, samples},
    findings::findings,
    look::{Lists, Look},
    model::{
        flow_detail::{CallUse, FlowDetail, ThreadUse, Use},
        flow_list::FlowOrder,
        heat::Heat,
        log2::Bucket,
        recent::{RecentTransfer, Step},
        snapshot::{Thread, Transfer, Transitions},
    },
};

const SIZES: [(u16, u16); 2] = [(80, 24), (120, 40)];

fn theme(ascii: bool) -> Theme {
    let environment = Environment { locale: Some("C.UTF-8"), ..Environment::default() };
    Theme::of(environment, Some(Palette::Dark), ascii)
}

/// A transfer of the sample, with the two calls that served it.
fn recent(transfer: Transfer) -> RecentTransfer {
    let step = |call: &str, start_ns, copies: &[usize]| Step {
        call: call.to_owned(),
        tid: transfer.tid,
        start_ns: Some(start_ns),
        duration_ns: Some(20_000),
        blocked_ns: Some(3_000),
        preempted_ns: Some(0),
        transitions: 2,
        shared: false,
        copies: copies.iter().filter_map(|at| transfer.copies.get(*at).cloned()).collect(),
    };
    let steps = vec![step("read", 100, &[0, 1]), step("sendto", 30_000, &[2])];
    RecentTransfer { number: 4_097, steps, more_steps: 0, transfer }
}

fn flow_detail() -> FlowDetail {
    let bucket = |from: u64, count| Bucket { from, to: 2 * from - 1, count };
    FlowDetail {
        chunk_bytes: vec![bucket(32_768, 3), bucket(65_536, 8_190)],
        latency_ns: vec![bucket(8_192, 5_000), bucket(16_384, 3_100), bucket(1 << 20, 93)],
        calls: vec![CallUse { name: "read".to_owned(), count: 4_096, bytes: 1 << 28, time_ns: 66_000_000 }],
        threads: vec![ThreadUse { tid: 4243, done: Use { operations: 8_193, bytes: 1 << 29 } }],
        other_threads: Use::default(),
        first_ns: Some(1),
        last_ns: Some(2),
    }
}

fn heat() -> Heat {
    Heat {
        column_ns: 1_000_000_000,
        first_ns: 5_000_000_000,
        buckets_from_ns: vec![4_096, 8_192, 16_384],
        counts: (0..100).map(|second| vec![second, 100 - second, u64::from(second % 10 == 0)]).collect(),
    }
}

fn state(document: &Document) -> State {
    let mut state = State::new(document.target.clone(), theme(false), Duration::from_millis(500));
    state.age_ns = Some(100_000_000_000);
    let busy = document.snapshot.totals.calls > 0;
    for second in 1..=20_u64 {
        let mut snapshot = document.snapshot.clone();
        snapshot.threads.extend(busy.then(|| Thread {
            pid: 4242,
            tid: samples::transfer().tid,
            comm: "relay/worker".to_owned(),
            calls: 8_321,
            transitions: Transitions { syscall: 16_641, exception: 342, interrupt: 1_024 },
            read_bytes: 256 << 20,
            written_bytes: 256 << 20,
            blocked_ns: 12_300_000,
            ..Thread::default()
        }));
        for (id, flow) in (0..).zip(&mut snapshot.flows) {
            flow.id = id;
        }
        snapshot.totals.calls = snapshot.totals.calls * second * second / 400;
        snapshot.totals.payload_bytes_at_most = snapshot.totals.payload_bytes_at_most * second / 20;
        let mut transfer = samples::transfer();
        if let Some(flow) = snapshot.flows.first() {
            transfer.source = flow.source.clone();
        }
        state.apply(Frame {
            elapsed_ns: second * 1_000_000_000,
            look: Look {
                lists: Lists::ALL,
                living_threads: snapshot.threads.iter().filter(|thread| !thread.ended).count() as u64,
                findings: findings(&snapshot),
                finding_flows: snapshot.flows.len(),
                transfers: if busy { vec![recent(transfer)] } else { Vec::new() },
                flow_count: snapshot.flows.len(),
                flow: busy.then(|| (0, flow_detail())),
                thread: busy.then(|| {
                    let flows = snapshot.flows.iter();
                    let done = Use { operations: 12, bytes: 1 << 20 };
                    let tid = snapshot.threads.first().map_or(0, |thread| thread.tid);
                    (tid, flows.map(|flow| (flow.clone(), done)).collect())
                }),
                heat: Some(("write".to_owned(), heat())),
                snapshot,
                ..Look::default()
            },
            cost: Cost {
                cpu_ns: Some(second * 12_000_000),
                resident_bytes: Some(21 << 20),
                programs: busy.then_some(ProgramCost { time_ns: 9_000, runs: 100 }),
            },
            ..Frame::default()
        });
    }
    state
}

fn picture(state: &mut State, (width, height): (u16, u16)) -> String {
    let mut terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
    let mut drawn = None;
    terminal.draw(|screen| drawn = Some(draw(state, screen))).unwrap();
    state.was_drawn(drawn.unwrap(), Duration::from_micros(800));
    let text = terminal.backend().to_string();
    // The backend frames its lines with quotation marks.
    text.lines().map(|line| line.trim_matches('"').trim_end().to_owned() + "\n").collect()
}

fn views_of(name: &str, document: &Document) {
    for size in SIZES {
        let mut state = state(document);
        let mut all = String::new();
        for (number, view) in VIEWS.iter().enumerate() {
            state.handle(Action::View(number));
            all += &picture(&mut state, size);
            let before = state.opened;
            state.handle(Action::Open);
            if state.opened != before {
                all += &format!("──── {} opened ────\n", view.title);
                all += &picture(&mut state, size);
                state.handle(Action::Close);
            }
        }
        assert!(!all.contains(['\x1b', '\u{9b}', '\u{202e}', '\u{200b}']), "{all}");
        insta::assert_snapshot!(format!("{name}_{}x{}", size.0, size.1), all);
    }
}

#[test]
fn empty() {
    views_of("empty", &samples::empty());
}

#[test]
fn busy() {
    views_of("busy", &samples::busy());
}

#[test]
fn lossy() {
    views_of("lossy", &samples::lossy());
}

#[test]
fn hostile() {
    views_of("hostile", &samples::hostile());
}

#[test]
fn with_ascii_characters_only() {
    let mut state = state(&samples::busy());
    state.theme = theme(true);
    for view in 0..VIEWS.len() {
        state.handle(Action::View(view));
        state.handle(Action::Open);
        let text = picture(&mut state, (80, 24));
        assert!(text.is_ascii(), "{text}");
    }
}

#[test]
fn help_pause_and_filter() {
    let mut state = state(&samples::busy());
    state.handle(Action::View(1));
    state.handle(Action::Pause);
    state.handle(Action::Help);
    let help = picture(&mut state, (80, 24));
    state.handle(Action::Close);
    state.handle(Action::Filter);
    for character in "bytes>=".chars() {
        state.handle(Action::Edit(Edit::Insert(character)));
    }
    state.handle(Action::Accept);
    let wrong = picture(&mut state, (80, 24));
    assert!(state.typing.is_some(), "what is wrong stays to be put right");
    state.handle(Action::Edit(Edit::Insert('1')));
    state.handle(Action::Edit(Edit::Insert('G')));
    state.handle(Action::Accept);
    let nothing = picture(&mut state, (80, 24));
    insta::assert_snapshot!([help, wrong, nothing].join("\n"));
}

/// No size and no key breaks it.
#[test]
fn any_size_and_any_key() {
    let documents = [samples::empty(), samples::hostile()];
    for (width, height) in [(1, 1), (39, 8), (40, 8), (60, 20), (400, 12)] {
        for document in &documents {
            let mut state = state(document);
            for binding in super::keys::KEYS {
                for view in 0..VIEWS.len() {
                    state.handle(Action::View(view));
                    state.handle(binding.action);
                    picture(&mut state, (width, height));
                    state.handle(Action::Open);
                    state.handle(Action::Click(width / 2, height / 2));
                    picture(&mut state, (width, height));
                    state.handle(Action::Cancel);
                }
            }
        }
    }
}

#[test]
fn clicks_find_what_is_there() {
    let mut state = state(&samples::busy());
    let text = picture(&mut state, (80, 24));
    let names = text.lines().nth(1).unwrap();
    let column = names[..names.find("Flows").unwrap()].chars().count() as u16;
    state.handle(Action::Click(column, 1));
    assert_eq!(VIEWS[state.view].title, "Flows");
    let sorted = state.list().sorted;
    picture(&mut state, (80, 24));
    state.handle(Action::Click(1, 2));
    assert_ne!(state.list().sorted, sorted);
    picture(&mut state, (80, 24));
    state.handle(Action::Click(5, 4));
    assert_eq!(state.list().selected(&state.rows), Some(1));
    assert!(state.opened.is_none());
    state.handle(Action::Click(5, 4));
    assert!(state.opened.is_some(), "the second click opens");
}

#[test]
fn paused_the_picture_stands_still_and_rates_go_on() {
    let mut state = state(&samples::busy());
    state.handle(Action::View(3));
    assert_eq!(state.handle(Action::Pause), Some(Effect::Look));
    assert!(state.wanted().whole, "any view may be looked at while it stands");
    let whole = Look { whole: true, ..state.frame.look.clone() };
    state.apply(Frame { elapsed_ns: state.frame.elapsed_ns + 1, look: whole, ..state.frame.clone() });
    let before = state.frame.elapsed_ns;
    assert!(!state.wanted().whole);
    let intervals = state.history.rates(usize::MAX, |sample| sample.calls).len();
    state.apply(Frame { elapsed_ns: before + 1_000_000_000, ..state.frame.clone() });
    assert_eq!(state.frame.elapsed_ns, before);
    assert_eq!(state.history.rates(usize::MAX, |sample| sample.calls).len(), intervals + 1);
}

#[test]
fn where_there_are_more_flows_than_are_listed_the_model_is_asked_for_others() {
    let mut state = state(&samples::busy());
    assert_eq!(state.handle(Action::View(1)), Some(Effect::Look), "each view has its own");
    assert_eq!(state.handle(Action::Reverse), None, "all are here");
    state.frame.look.flow_count = 100_000;
    assert_eq!(state.wanted().flows_by, FlowOrder::Payload);
    assert!(state.wanted().least_first);
    assert_eq!(state.handle(Action::Reverse), Some(Effect::Look));
    assert!(!state.wanted().least_first);
    for character in "tcp".chars() {
        state.handle(Action::Filter);
        state.handle(Action::Edit(Edit::Insert(character)));
    }
    assert_eq!(state.handle(Action::Accept), Some(Effect::Look));
    assert_eq!(state.wanted().flow_filter, state.filter);
    assert!(picture(&mut state, (120, 40)).contains("of 100,000 flows listed"));
    state.handle(Action::View(0));
    assert_eq!(state.wanted().flows_by, FlowOrder::CpuCopied);
    assert!(state.wanted().flow_filter.is_empty(), "findings are made of all");
}

#[test]
fn what_is_copied_is_one_line() {
    let mut state = state(&samples::hostile());
    state.handle(Action::View(1));
    state.handle(Action::Move(Move::First));
    let Some(Effect::Copy(text)) = state.handle(Action::Copy) else { panic!("nothing") };
    assert!(text.contains('\t') && !text.contains(['\n', '\x1b']), "{text}");
}
