//! Puts the state on the screen: the head, the views' names, the view, the last line. Draws and changes nothing; says where
//! things came to stand, so that clicks find them.

use ratatui::{
    Frame as Screen,
    layout::{Constraint, Layout, Rect},
    style::Style,
    text::{Line, Span},
    widgets::{Block, Clear, Paragraph},
};

use super::{
    keys,
    state::State,
    table::{Align, Column, Row},
    theme::{Role, Theme},
    views::{self, Canvas, VIEWS},
};
use crate::view::format::{self, truncate_end, truncate_middle, width};

/// Below this nothing sensible can be shown.
const LEAST: (u16, u16) = (40, 8);

/// Where things came to stand.
#[derive(Clone, Debug, Default, Eq, PartialEq)]
pub(crate) struct Drawn {
    /// The names of the views.
    pub(crate) views: Vec<(Rect, usize)>,
    /// The heads of columns.
    pub(crate) heads: Vec<(Rect, usize)>,
    /// The rows of the list.
    pub(crate) rows: Rect,
    /// The first row on the screen.
    pub(crate) top: usize,
    /// Rows, or lines of what is open, that the screen has room for.
    pub(crate) height: usize,
    /// Lines of what is open.
    pub(crate) lines: usize,
}

/// Draws everything.
pub(crate) fn draw(state: &State, screen: &mut Screen<'_>) -> Drawn {
    let area = screen.area();
    let mut drawn = Drawn::default();
    if area.width < LEAST.0 || area.height < LEAST.1 {
        screen.render_widget(Paragraph::new("terminal too small"), area);
        return drawn;
    }
    let rows = Layout::vertical([
        Constraint::Length(1),
        Constraint::Length(1),
        Constraint::Min(1),
        Constraint::Length(1),
    ]);
    let [head, names, body, foot] = rows.areas(area);
    screen.render_widget(head_line(state, head.width), head);
    draw_names(state, screen, names, &mut drawn);
    draw_view(state, screen, body, &mut drawn);
    if let Some(top) = state.help {
        draw_help(state, screen, body, top, &mut drawn);
    }
    draw_foot(state, screen, foot);
    if let (Some(notice), true) = (&state.notice, state.typing.is_some()) {
        // Above the line that is being typed.
        let above = Rect { y: foot.y.saturating_sub(1), ..foot };
        let text = truncate_end(&state.theme.spell(&notice.text), usize::from(area.width)).into_owned();
        screen.render_widget(Clear, above);
        screen.render_widget(Paragraph::new(Span::styled(text, state.theme.style(Role::Warning))), above);
    }
    if !state.theme.unicode {
        // Whatever came through: cut marks, names of the target.
        for cell in &mut screen.buffer_mut().content {
            if let Some(character) = cell.symbol().chars().next().filter(|character| !character.is_ascii()) {
                cell.set_symbol(Theme::ascii(character));
            }
        }
    }
    drawn
}

fn head_line(state: &State, columns: u16) -> Paragraph<'static> {
    let theme = &state.theme;
    let target = &state.target;
    let snapshot = &state.frame.look.snapshot;
    let living = state.frame.look.living_threads;
    let dot = theme.pick(" · ", " | ");
    let mut lists = vec![format!("{} ({})", format::escape(&target.comm), target.pid)];
    if target.pids.len() > 1 {
        lists.push(format!("and {} more", target.pids.len() - 1));
    }
    if let Some(user) = &target.user {
        lists.push(format::escape(user).into_owned());
    }
    lists.push(format::counted(living, "thread"));
    if let Some(age) = state.age_ns {
        let up = age.saturating_add(state.frame.elapsed_ns);
        lists.push(format!("up {}", format::minutes_and_seconds(up)));
    }
    lists.push(format!("traced for {}", format::minutes_and_seconds(state.frame.elapsed_ns)));
    let mut marks = Vec::new();
    if let Some(why) = &state.ended {
        marks.push(why.clone());
    }
    if state.paused {
        marks.push("PAUSED".to_owned());
    }
    if let Some((at, _)) = &state.cleared {
        let ago = format::minutes_and_seconds(state.frame.elapsed_ns.saturating_sub(*at));
        marks.push(format!("COUNTED FOR {ago}"));
    }
    if let Some(name) = &state.recording.stream {
        marks.push(format!("writing {name}"));
    }
    let lost = views::losses(snapshot);
    if lost > 0 {
        marks.push(format!("LOST DETAIL {}", format::count(lost)));
    }
    let marks = theme.spell(&marks.join(dot));
    let room = usize::from(columns).saturating_sub(width(&marks) + 11);
    let text = theme.spell(&truncate_end(&lists.join(dot), room));
    let gap = usize::from(columns).saturating_sub(10 + width(&text) + width(&marks));
    Paragraph::new(Line::from(vec![
        Span::styled(" zc-trace ", theme.style(Role::Heading)),
        Span::styled(text, theme.style(Role::Text)),
        Span::raw(" ".repeat(gap)),
        Span::styled(marks, theme.style(Role::Warning)),
    ]))
}

fn draw_names(state: &State, screen: &mut Screen<'_>, area: Rect, drawn: &mut Drawn) {
    let shown = |view: &views::View, short: bool| {
        let name = if short { view.title.chars().take(5).collect() } else { view.title.to_owned() };
        (view.title, name)
    };
    let all = |short: bool| -> Vec<String> {
        VIEWS.iter().enumerate().map(|(at, view)| format!(" {} {} ", at + 1, shown(view, short).1)).collect()
    };
    let mut names = all(false);
    if names.iter().map(|name| width(name)).sum::<usize>() > usize::from(area.width) {
        names = all(true);
    }
    let mut x = area.x;
    let mut spans = Vec::new();
    for (at, name) in names.into_iter().enumerate() {
        let columns = width(&name) as u16;
        drawn.views.push((Rect { x, width: columns, ..area }, at));
        x = x.saturating_add(columns);
        let chosen = at == state.view;
        // Not by colour alone: without colours the selected one is reversed.
        let role = if chosen { Role::Selected } else { Role::Faint };
        let name = if chosen { name.replacen(' ', state.theme.pick("▸", ">"), 1) } else { name };
        spans.push(Span::styled(name, state.theme.style(role)));
    }
    screen.render_widget(Paragraph::new(Line::from(spans)), area);
}

fn draw_view(state: &State, screen: &mut Screen<'_>, area: Rect, drawn: &mut Drawn) {
    let Some(view) = VIEWS.get(state.view) else { return };
    let canvas =
        Canvas { theme: &state.theme, width: usize::from(area.width), height: usize::from(area.height) };
    if let Some(opened) = state.opened {
        let open = view.open.and_then(|open| open(&state.frame, opened.key, &canvas));
        let gone = || vec![Line::from(" It is gone from the list. Esc closes.")];
        return draw_lines(state, screen, area, open.unwrap_or_else(gone), opened.top, drawn);
    }
    match view.picture {
        Some(picture) => draw_lines(state, screen, area, picture(state, &canvas), 0, drawn),
        None => draw_list(state, view, screen, area, drawn),
    }
}

fn draw_lines(
    state: &State,
    screen: &mut Screen<'_>,
    area: Rect,
    lines: Vec<Line<'static>>,
    top: usize,
    drawn: &mut Drawn,
) {
    drawn.lines = lines.len();
    drawn.height = usize::from(area.height);
    let top = top.min(drawn.lines.saturating_sub(drawn.height));
    let shown: Vec<Line<'static>> = lines.into_iter().skip(top).take(drawn.height).collect();
    screen.render_widget(Paragraph::new(shown).style(state.theme.style(Role::Text)), area);
}

fn draw_help(state: &State, screen: &mut Screen<'_>, body: Rect, top: usize, drawn: &mut Drawn) {
    let theme = &state.theme;
    let entry = |(keys, help): (&str, &str)| {
        Line::from(vec![
            Span::styled(format!(" {:<13}", theme.spell(keys)), theme.style(Role::Heading)),
            Span::raw(theme.spell(help)),
        ])
    };
    let mut lines = vec![entry(("1–7", "the views"))];
    lines.extend(keys::KEYS.iter().map(|binding| entry((binding.shown, binding.help))));
    lines.extend(keys::MOUSE.iter().map(|pair| entry(*pair)));
    lines.push(Line::default());
    lines.extend(format::LEGEND.iter().map(|text| Line::from(format!(" {text}"))));
    let area = Rect { x: body.x + body.width.saturating_sub(78) / 2, width: body.width.min(78), ..body };
    let block = Block::bordered().border_set(theme.border()).title(" Keys ");
    let inner = block.inner(area);
    screen.render_widget(Clear, area);
    screen.render_widget(block, area);
    draw_lines(state, screen, inner, lines, top, drawn);
}

fn draw_foot(state: &State, screen: &mut Screen<'_>, area: Rect) {
    let theme = &state.theme;
    let columns = usize::from(area.width);
    if let Some(line) = &state.typing {
        let prompt = if state.notice.is_some() { " filter (!): " } else { " filter: " };
        // The end that is being typed stays in sight.
        let room = columns.saturating_sub(width(prompt) + 1);
        let before: Vec<char> = format::escape(&line.before()).chars().collect();
        let skipped = before.len().saturating_sub(room);
        let shown: String = format::escape(&line.text()).chars().skip(skipped).take(room).collect();
        let at = width(prompt) + width(&before.iter().skip(skipped).collect::<String>());
        screen.render_widget(Paragraph::new(format!("{prompt}{shown}")), area);
        screen.set_cursor_position((area.x + at.min(columns.saturating_sub(1)) as u16, area.y));
        return;
    }
    let (text, style) = match &state.notice {
        Some(notice) => {
            (format!(" {}", notice.text), theme.style(if notice.bad { Role::Warning } else { Role::Good }))
        }
        None => (hints(state), theme.style(Role::Faint)),
    };
    screen.render_widget(
        Paragraph::new(Span::styled(truncate_end(&theme.spell(&text), columns).into_owned(), style)),
        area,
    );
}

fn hints(state: &State) -> String {
    let filter = if state.filter.is_empty() {
        String::new()
    } else {
        format!(" filter: {}  Esc drops it · ", format::escape(&state.filter.to_string()))
    };
    let look = &state.frame.look;
    let of_list = VIEWS.get(state.view).is_some_and(|view| view.flows_by.is_some());
    let listed = if of_list { look.snapshot.flows.len() } else { look.finding_flows };
    let all = look.flow_count;
    let partly = VIEWS.get(state.view).and_then(|view| view.partly).filter(|_| listed < all);
    let filter = match partly {
        Some(what) => {
            let (listed, all) = (format::count(listed as u64), format::count(all as u64));
            format!("{filter} {listed} of {all} flows {what} · ")
        }
        None => filter,
    };
    let has_list = VIEWS.get(state.view).is_some_and(|view| view.picture.is_none());
    let list = match (state.opened.is_some(), has_list) {
        (true, _) => "Esc close · ↑↓ scroll",
        (false, true) => "Enter open · s r sort · / filter",
        (false, false) => "1-7 views · c count from now",
    };
    let filter = if has_list { filter } else { String::new() };
    let copy = if has_list { " · y copy" } else { "" };
    format!("{filter} ? help · {list} · p pause · w trace · J JSON · q quit{copy}")
}

fn draw_list(state: &State, view: &views::View, screen: &mut Screen<'_>, area: Rect, drawn: &mut Drawn) {
    let theme = &state.theme;
    let [head, body] = Layout::vertical([Constraint::Length(1), Constraint::Min(1)]).areas(area);
    let widths = widths(view.columns, usize::from(area.width));
    let sorted = state.list().sorted;
    let mut spans = Vec::new();
    let mut x = head.x;
    for (at, column) in view.columns.iter().enumerate() {
        let Some(columns) = widths.get(at).copied().flatten() else { continue };
        let mark = match sorted {
            Some((by, true)) if by == at => theme.pick("▼", "v"),
            Some((by, false)) if by == at => theme.pick("▲", "^"),
            _ => "",
        };
        let title = format!("{}{mark}", column.title);
        spans.push(Span::styled(fit(&title, columns, column.align), theme.style(Role::Heading)));
        spans.push(Span::raw(" "));
        drawn.heads.push((Rect { x, width: columns as u16, ..head }, at));
        x = x.saturating_add(columns as u16 + 1);
    }
    screen.render_widget(Paragraph::new(Line::from(spans)), head);
    drawn.rows = body;
    drawn.height = usize::from(body.height);
    drawn.top = state.list().top(&state.rows, drawn.height);
    if state.rows.is_empty() {
        let why =
            if state.filter.is_empty() { view.empty } else { "Nothing matches the filter. Esc drops it." };
        screen.render_widget(Paragraph::new(Span::styled(format!(" {why}"), theme.style(Role::Faint))), body);
        return;
    }
    let selected = state.list().selected(&state.rows);
    let lines = (drawn.top..).zip(&state.rows[drawn.top..]).take(drawn.height).map(|(at, row)| {
        let style = row_style(theme, row, selected == Some(at));
        let mut text = String::with_capacity(usize::from(area.width));
        for ((cell, column), columns) in row.cells.iter().zip(view.columns).zip(&widths) {
            if let Some(columns) = columns {
                text.push_str(&fit(&theme.spell_if_ours(&cell.shown()), *columns, column.align));
                text.push(' ');
            }
        }
        let gap = usize::from(area.width).saturating_sub(width(&text));
        text.push_str(&" ".repeat(gap));
        Line::styled(text, style)
    });
    screen.render_widget(Paragraph::new(lines.collect::<Vec<Line<'_>>>()), body);
}

fn row_style(theme: &Theme, row: &Row, selected: bool) -> Style {
    let style = theme.style(if row.marked { Role::Warning } else { Role::Text });
    if selected { style.patch(theme.style(Role::Selected)) } else { style }
}

/// Brings a text to that many columns.
fn fit(text: &str, columns: usize, align: Align) -> String {
    let text = match align {
        Align::Left => truncate_middle(text, columns),
        Align::Right => truncate_end(text, columns),
    };
    let gap = " ".repeat(columns.saturating_sub(width(&text)));
    match align {
        Align::Left => format!("{text}{gap}"),
        Align::Right => format!("{gap}{text}"),
    }
}

/// Columns on the screen for each column of the table; `None` for those that find no room. What numbers leave is shared
/// among names.
fn widths(columns: &[Column], room: usize) -> Vec<Option<usize>> {
    let mut shown: Vec<bool> = vec![true; columns.len()];
    let least = |shown: &[bool]| -> usize {
        let kept = columns.iter().zip(shown).filter(|(_, shown)| **shown);
        kept.map(|(column, _)| usize::from(column.width) + 1).sum()
    };
    while least(&shown) > room {
        let spare = (0..columns.len()).filter(|at| shown[*at] && columns[*at].spare > 0);
        let Some(last) = spare.max_by_key(|at| columns[*at].spare) else { break };
        shown[last] = false;
    }
    let names =
        columns.iter().zip(&shown).filter(|(column, shown)| **shown && column.align == Align::Left).count();
    let more = room.saturating_sub(least(&shown)).checked_div(names).unwrap_or(0);
    let width = |(column, shown): (&Column, &bool)| {
        let more = if column.align == Align::Left { more } else { 0 };
        shown.then(|| usize::from(column.width) + more)
    };
    columns.iter().zip(&shown).map(width).collect()
}
