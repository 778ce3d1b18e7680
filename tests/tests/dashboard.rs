//! The dashboard, in a terminal, on a program that runs: keys are pressed, and the screen is read.

use std::{fs, process::Command};

use anyhow::{Context as _, Result, ensure};
use rustix::process::Signal;
use zc_trace_tests::{
    accounts::state,
    document::Document,
    process::{Process, STEP, wait_until},
    scenario::{Outcome, Scenario, require_program, require_root, scenario},
    screen::Screen,
    tracer,
};

/// A dd that copies until it is ended: in pieces so large that its calls are no storm, which would be summed and not joined, so
/// that there were two flows that change places.
fn dd(scenario: &Scenario) -> Result<Process> {
    require_root()?;
    let mut command = Command::new(require_program("dd")?);
    command.args(["if=/dev/zero", "of=/dev/null", "bs=1M", "status=none"]);
    scenario.spawn(&mut command)
}

/// Opens the dashboard on a process, with the terminal's settings noted before.
fn open(scenario: &Scenario, process: &Process, options: &str) -> Result<Screen> {
    open_with(scenario, process, "true", options)
}

/// The same, with a command for the shell before.
fn open_with(scenario: &Scenario, process: &Process, before: &str, options: &str) -> Result<Screen> {
    let screen = Screen::open(scenario, 100, 30)?;
    screen.line(scenario, before)?;
    screen.line(scenario, "stty -g > before")?;
    let zc_trace = tracer::binary()?;
    let command = format!(
        "{} -p {} {options}; echo exit $?; stty -g > after; echo compar''ed",
        zc_trace.display(),
        process.pid()
    );
    screen.line(scenario, &command)?;
    screen.wait_for(scenario, "copy amplification")?;
    Ok(screen)
}

/// Waits for the shell, and looks whether the terminal is as it was.
fn is_as_before(scenario: &Scenario, screen: &Screen, code: u8) -> Result<()> {
    let text = screen.wait_for(scenario, "compared")?;
    ensure!(text.contains(&format!("exit {code}")), "another exit code: {text}");
    ensure!(!text.contains("copy amplification"), "the dashboard is still on the screen: {text}");
    let settings = |name: &str| fs::read_to_string(scenario.path(name));
    ensure!(settings("before")? == settings("after")?, "the terminal has other settings than before");
    Ok(())
}

#[test]
fn views_and_keys() -> Outcome {
    scenario("dashboard/views and keys", |s| {
        let process = dd(s)?;
        let screen = open(s, &process, "")?;
        screen.wait_for(s, "/dev/zero")?;
        screen.press(s, &["2"])?;
        screen.wait_for(s, "COPIES/B")?;
        screen.press(s, &["Enter"])?;
        screen.wait_for(s, "The way of the bytes")?;
        screen.press(s, &["Escape"])?;
        screen.wait_for(s, "COPIES/B")?;
        screen.press(s, &["3"])?;
        screen.wait_for(s, "NUMBER")?;
        screen.wait_for(s, "read+write")?;
        screen.press(s, &["Down", "Enter"])?;
        screen.wait_for(s, "As it was")?;
        screen.press(s, &["4"])?;
        screen.wait_for(s, "p99")?;
        screen.press(s, &["Enter"])?;
        screen.wait_for(s, "Latency over time")?;
        screen.press(s, &["?"])?;
        screen.wait_for(s, "this help")?;
        screen.press(s, &["Escape"])?;
        screen.wait_without("this help")?;
        screen.press(s, &["5"])?;
        screen.wait_for(s, &process.pid().to_string())?;
        screen.press(s, &["Enter"])?;
        screen.wait_for(s, "Its flows")?;
        screen.wait_for(s, "/dev/zero")?;
        screen.press(s, &["7"])?;
        screen.wait_for(s, "OPERATIONS")?;
        screen.press(s, &["Enter"])?;
        screen.wait_for(s, "Its last transfers")?;
        screen.press(s, &["Escape"])?;
        screen.wait_for(s, "OPERATIONS")?;
        screen.press(s, &["/"])?;
        screen.type_in(s, "path=/nowhere")?;
        screen.press(s, &["Enter"])?;
        screen.wait_for(s, "Nothing matches the filter")?;
        screen.press(s, &["/", "C-u"])?;
        screen.type_in(s, "bytes>=many")?;
        screen.press(s, &["Enter"])?;
        screen.wait_for(s, "is not a size")?;
        screen.press(s, &["Escape"])?;
        screen.wait_without("is not a size")?;
        screen.press(s, &["Escape"])?;
        screen.wait_for(s, "/dev/null")?;
        screen.press(s, &["p"])?;
        screen.wait_for(s, "PAUSED")?;
        screen.press(s, &["p"])?;
        screen.wait_without("PAUSED")?;
        screen.press(s, &["c"])?;
        screen.wait_for(s, "COUNTED FOR")?;
        screen.press(s, &["C"])?;
        screen.wait_without("COUNTED FOR")?;
        screen.press(s, &["q"])?;
        is_as_before(s, &screen, 0)?;
        ensure!(screen.text()?.contains("copies per byte"), "no word on what the trace came to");
        ensure!(!process.has_ended()?, "the target has ended");
        Ok(())
    })
}

#[test]
fn files_are_written() -> Outcome {
    scenario("dashboard/files", |s| {
        let process = dd(s)?;
        let screen = open(s, &process, "")?;
        // The counters of a running target are not read in one moment: stopped, all must agree.
        process.signal(Signal::STOP)?;
        wait_until(STEP, "dd to stop", || Ok(state(process.pid())? == 'T'))?;
        screen.press(s, &["J"])?;
        screen.wait_for(s, "wrote zc-trace-")?;
        process.signal(Signal::CONT)?;
        screen.press(s, &["w"])?;
        screen.wait_for(s, "w ends it")?;
        screen.press(s, &["w"])?;
        screen.wait_for(s, "ended the trace file")?;
        screen.press(s, &["q"])?;
        is_as_before(s, &screen, 0)?;
        let json = Screen::files(s.folder(), "json")?;
        let document = Document::read(json.first().context("no document")?)?;
        document.is_coherent()?;
        ensure!(document.number("totals.calls")? > 0, "a document without calls");
        let ndjson = Screen::files(s.folder(), "ndjson")?;
        let lines = fs::read_to_string(ndjson.first().context("no lines")?)?;
        let types: Vec<&str> = lines
            .lines()
            .filter_map(|line| line.strip_prefix("{\"type\":\""))
            .filter_map(|line| line.split('"').next())
            .collect();
        ensure!(types.len() == lines.lines().count(), "a line without a type");
        ensure!(types.first() == Some(&"header") && types.last() == Some(&"summary"), "{types:?}");
        ensure!(types.contains(&"operation"), "no operation among the lines");
        Ok(())
    })
}

#[test]
fn the_end_of_the_target_is_announced() -> Outcome {
    scenario("dashboard/end of the target", |s| {
        let process = dd(s)?;
        let screen = open(s, &process, "")?;
        process.signal(Signal::TERM)?;
        screen.wait_for(s, "ENDED after")?;
        screen.press(s, &["2"])?;
        screen.wait_for(s, "/dev/zero")?;
        screen.press(s, &["C-c"])?;
        is_as_before(s, &screen, 0)
    })
}

#[test]
fn a_signal_gives_the_terminal_back() -> Outcome {
    scenario("dashboard/signal", |s| {
        let process = dd(s)?;
        let screen = open(s, &process, "")?;
        let option = format!("-p {}", process.pid());
        let found = Command::new("pgrep").args(["-n", "-f", &format!("zc-trace {option}")]).output()?;
        let pid: i32 = String::from_utf8(found.stdout)?.trim().parse().context("pgrep finds no zc-trace")?;
        let pid = rustix::process::Pid::from_raw(pid).context("no pid")?;
        rustix::process::kill_process(pid, Signal::TERM)?;
        is_as_before(s, &screen, 0)
    })
}

#[test]
fn any_size_and_back_again() -> Outcome {
    scenario("dashboard/sizes and suspend", |s| {
        let process = dd(s)?;
        let screen = open(s, &process, "--colors none")?;
        for (columns, rows) in [(60, 20), (30, 5), (250, 70)] {
            screen.resize(s, columns, rows)?;
            let text = if columns < 40 { "too small" } else { "CPU-copied" };
            screen.wait_for(s, text)?;
        }
        screen.press(s, &["C-z"])?;
        screen.wait_for(s, "Stopped")?;
        let before = Screen::files(s.folder(), "json")?.len();
        screen.line(s, "fg")?;
        screen.wait_for(s, "CPU-copied")?;
        screen.press(s, &["q"])?;
        // What it last showed is no sign: tmux may keep a line of it through changes of size.
        screen.line(s, "echo gone''by")?;
        screen.wait_for(s, "goneby")?;
        ensure!(Screen::files(s.folder(), "json")?.len() == before, "a file that nobody asked for");
        Ok(())
    })
}

#[test]
fn the_mouse_and_the_clipboard() -> Outcome {
    scenario("dashboard/mouse and clipboard", |s| {
        let process = dd(s)?;
        let screen = open(s, &process, "")?;
        // As terminals report a click: XTerm Control Sequences, "SGR mouse mode". Columns and rows count from 1.
        let click = |column: usize, row: usize| {
            screen.type_in(s, &format!("\x1b[<0;{column};{row}M\x1b[<0;{column};{row}m"))
        };
        let names = screen.wait_for(s, "2 Flows")?;
        let names = names.lines().find(|line| line.contains("2 Flows")).context("no names of views")?;
        let before = names.split("Flows").next().context("no Flows")?;
        click(before.chars().count() + 1, 2)?;
        screen.wait_for(s, "COPIES/B")?;
        screen.wait_for(s, "/dev/zero")?;
        click(3, 4)?;
        click(3, 4)?;
        screen.wait_for(s, "The way of the bytes")?;
        screen.press(s, &["Escape"])?;
        screen.wait_for(s, "COPIES/B")?;
        screen.tell(&["set", "-s", "set-clipboard", "on"])?;
        screen.press(s, &["y"])?;
        screen.wait_for(s, "copied to the clipboard")?;
        wait_until(STEP, "the clipboard", || {
            Ok(screen.tell(&["show-buffer"]).is_ok_and(|text| text.contains("/dev/zero")))
        })?;
        screen.press(s, &["q"])?;
        is_as_before(s, &screen, 0)
    })
}

/// Whether a colour is set in what tmux tells of a screen: SGR 30 to 37, 90 to 97, and 38, of letters; 4x of the background.
fn has_colors(painted: &str) -> bool {
    let codes = painted.split("\x1b[").skip(1).filter_map(|rest| rest.split_once('m'));
    let mut codes = codes.flat_map(|(codes, _)| codes.split(';')).filter_map(|code| code.parse::<u32>().ok());
    codes.any(|code| matches!(code, 30..=38 | 40..=48 | 90..=97 | 100..=107))
}

#[test]
fn colors_and_characters_are_those_that_were_asked_for() -> Outcome {
    scenario("dashboard/looks", |s| {
        let process = dd(s)?;
        let painted = |before: &str, options: &str| -> Result<(String, String)> {
            let screen = open_with(s, &process, before, options)?;
            screen.wait_for(s, "/dev/zero")?;
            let both = (screen.painted()?, screen.text()?);
            screen.press(s, &["q"])?;
            is_as_before(s, &screen, 0)?;
            Ok(both)
        };
        let (dark, text) = painted("unset NO_COLOR", "--colors dark")?;
        ensure!(has_colors(&dark), "no colours: {dark:?}");
        ensure!(!text.is_ascii(), "no bars: {text}");
        let (light, _) = painted("unset NO_COLOR", "--colors light")?;
        ensure!(has_colors(&light), "no colours: {light:?}");
        let (plain, _) = painted("export NO_COLOR=1", "")?;
        ensure!(!has_colors(&plain), "colours in spite of NO_COLOR: {plain:?}");
        let (_, ascii) = painted("true", "--ascii")?;
        ensure!(ascii.is_ascii(), "other characters than ASCII: {ascii}");
        Ok(())
    })
}

#[test]
fn a_running_target_is_told_as_such() -> Outcome {
    scenario("dashboard/unfinished document", |s| {
        let process = dd(s)?;
        let screen = open(s, &process, "")?;
        screen.press(s, &["J"])?;
        screen.wait_for(s, "wrote zc-trace-")?;
        screen.press(s, &["q"])?;
        is_as_before(s, &screen, 0)?;
        let json = Screen::files(s.folder(), "json")?;
        let document = Document::read(json.first().context("no document")?)?;
        ensure!(document.get("unfinished")? == true, "it does not say that tracing went on");
        let agree = document.get("totals.kernel_accounts.agree")?;
        ensure!(agree.is_null() || *agree == true, "counters of several moments were compared: {agree}");
        Ok(())
    })
}

/// Runs in the terminal of the next one.
#[test]
#[ignore = "panics: the next one runs it"]
fn falls() {
    zc_trace::Rehearsal::new(80, 24).fall().expect("a terminal");
}

#[test]
fn a_panic_gives_the_terminal_back() -> Outcome {
    scenario("dashboard/panic", |s| {
        require_root()?;
        let screen = Screen::open(s, 100, 30)?;
        screen.line(s, "stty -g > before")?;
        let this = std::env::current_exe()?;
        let test = "--ignored --exact --nocapture dashboard::falls";
        screen.line(
            s,
            &format!(
                "RUST_BACKTRACE=0 {} {test}; echo exit $?; stty -g > after; echo compar''ed",
                this.display()
            ),
        )?;
        screen.wait_for(s, "1 Overview")?;
        is_as_before(s, &screen, 101)?;
        let text = screen.text()?;
        ensure!(text.contains("the dashboard fell"), "no message: {text}");
        ensure!(!text.contains("1 Overview"), "the dashboard is still on the screen: {text}");
        Ok(())
    })
}
